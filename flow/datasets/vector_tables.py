"""Vectors in Parquet: a column of lists of numbers, or columns of numbers, beside one of labels."""

from pathlib import Path
from typing import Any

import numpy as np

from xnoreplay.flow.datasets import listed
from xnoreplay.flow.datasets.vector_listing import (
    TEST_COLUMN,
    Blocks,
    Part,
    VectorListing,
    joined,
    read_doubles,
    rows_at_once,
)
from xnoreplay.spec import reading
from xnoreplay.spec.errors import FeatureError, SpecError, ToolError, shown

VECTOR_COLUMNS = ("features", "embedding", "embeddings", "vector", "x")
"""Columns that are looked for where several hold lists of numbers."""
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "y", "target")


def of_parquet(path: Path) -> VectorListing:
    """List the vectors of a ``.parquet`` file, or of a folder of such files.

    Raises
    ------
    SpecError
        Where a file is damaged, or has other columns.
    ToolError
        Where the library that reads Parquet is missing.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ToolError(
            f"a data set in Parquet must have pyarrow to read it (pip install 'xnoreplay[data]'), but: {error}"
        ) from None
    files = listed.parquet_files(path) if path.is_dir() else [path]
    parts, labels, tests, names = [], [], [], None
    given = False
    try:
        for file in files:
            reading.check_file(file)
            schema = parquet.read_schema(file)
            label = listed.column_of(schema.names, LABEL_COLUMNS, file)
            columns, width = _columns(schema, label, file)
            names = names or listed.hugging_names(schema.metadata, label)
            count = parquet.read_metadata(file).num_rows
            if not count:
                continue
            labels.append(_integers(parquet, file, label))
            if TEST_COLUMN in schema.names:
                flags = parquet.read_table(file, columns=[TEST_COLUMN]).column(0).to_numpy()
                tests.append(
                    listed.tests_of(flags, labels[-1], f"column {TEST_COLUMN!r} of {file}")
                )
                given = True
            else:
                by_name = listed.tests_by_name(file)
                given = given or by_name is True
                tests.append(np.full(count, bool(by_name)))
            if width is None:
                width = _first_width(parquet, file, columns[0])
            parts.append(_parquet_part(file, columns, count, width))
    except pyarrow.ArrowException as error:
        raise SpecError(f"{path} must be Parquet, but: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise SpecError(
            f"{path} must be Parquet that can be read, but: {error.strerror or error}"
        ) from None
    if not parts:
        raise SpecError(f"{path} must hold vectors, but holds none")
    starts = np.cumsum([0, *(part.size for part in parts)])

    def place(i: int) -> str:
        table = int(np.searchsorted(starts, i, "right")) - 1
        return f"row {i - starts[table]:,} of {files[table]}"

    is_test = np.concatenate(tests)
    given = given and not is_test.all()
    return joined(
        path, files, parts, np.concatenate(labels), names, is_test if given else None, place
    )


def _integers(parquet: Any, file: Path, column: str) -> np.ndarray:
    import pyarrow

    found = parquet.read_table(file, columns=[column]).column(0)
    if not pyarrow.types.is_integer(found.type) or found.null_count:
        nulls = f" with {found.null_count:,} nulls" if found.null_count else ""
        raise SpecError(f"column {column!r} of {file} must be integers, not {found.type}{nulls}")
    return listed.labels_of(found.to_numpy(), f"column {column!r} of {file}", "a vector")


def holds_bytes(kind: Any) -> bool:
    """Tell whether a column of a type of pyarrow's may hold encoded images."""
    import pyarrow

    is_bytes = pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
    return is_bytes or pyarrow.types.is_struct(kind)


def _is_number(kind: Any) -> bool:
    import pyarrow

    return pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)


def _columns(schema: Any, label: str, file: Path) -> tuple[list[str], int | None]:
    """Columns that hold the features, and their number; None where the rows of a column of lists say it."""
    import pyarrow

    types = {n: schema.field(n).type for n in schema.names if n not in (label, TEST_COLUMN)}
    lists = [
        n
        for n, t in types.items()
        if (
            pyarrow.types.is_list(t)
            or pyarrow.types.is_large_list(t)
            or pyarrow.types.is_fixed_size_list(t)
        )
        and _is_number(t.value_type)
    ]
    if len(lists) > 1:
        lists = [n for n in VECTOR_COLUMNS if n in lists][:1]
    if lists:
        kind = types[lists[0]]
        fixed = pyarrow.types.is_fixed_size_list(kind)
        return lists, kind.list_size if fixed else None
    numbers = [n for n, t in types.items() if _is_number(t)]
    if not numbers:
        raise SpecError(
            f"{file} must have a column of lists of numbers, or columns of numbers, beside {label!r}, but has "
            f"{shown(list(types))}"
        )
    return numbers, len(numbers)


def _first_width(parquet: Any, file: Path, column: str) -> int:
    with parquet.ParquetFile(file) as table:
        first = next(table.iter_batches(batch_size=1, columns=[column])).column(0)
        return len(first[0].as_py() or ())


def _parquet_part(file: Path, columns: list[str], count: int, width: int) -> Part:
    import pyarrow
    import pyarrow.parquet as parquet

    def blocks() -> Blocks:
        row, rows = 0, min(1 << 16, rows_at_once(8 * width))
        try:
            with parquet.ParquetFile(file) as table:
                for batch in table.iter_batches(batch_size=rows, columns=columns):
                    yield _of_batch(batch, columns, width, file, row)
                    row += len(batch)
        except (pyarrow.ArrowException, OSError) as error:
            raise FeatureError(
                f"a data set in Parquet must be whole, but: {' '.join(str(error).split())}"
            ) from None

    return Part(count, width, blocks)


def _of_batch(batch: Any, columns: list[str], width: int, file: Path, start: int) -> np.ndarray:
    """The vectors of some rows: (m, width)."""
    for name in columns:
        column = batch.column(batch.schema.get_field_index(name))
        if column.null_count:
            row = start + next(i for i, v in enumerate(column) if not v.is_valid)
            raise FeatureError(f"row {row:,} of {file} must have {name!r}, but has a null there")
    if len(columns) > 1 or _is_number(batch.column(0).type):
        parts = [
            read_doubles(
                batch.column(batch.schema.get_field_index(n)).to_numpy(zero_copy_only=False),
                lambda i: f"row {i:,} of {file}",
                start,
            )
            for n in columns
        ]
        return np.stack(parts, axis=1)
    column = batch.column(0)
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        row = int(np.flatnonzero(lengths != width)[0])
        raise FeatureError(
            f"row {start + row:,} of {file} must have {width:,} features, as the first has, not {lengths[row]:,}"
        )
    values = column.flatten()
    if values.null_count:
        row = next(i for i, v in enumerate(values) if not v.is_valid) // width
        raise FeatureError(f"row {start + row:,} of {file} must have numbers alone, but has a null")
    return values.to_numpy(zero_copy_only=False).reshape(-1, width)
