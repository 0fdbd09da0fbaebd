"""Vectors in Parquet: a column of lists of numbers, or columns of numbers, beside one of labels."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xnoreplay.flow.datasets import listed, parquet_file
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
from xnoreplay.spec.errors import FeatureError, SpecError, shown

VECTOR_COLUMNS = ("features", "embedding", "embeddings", "vector", "x")
"""Columns that are looked for where several hold lists of numbers."""
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "y", "target")
NUMBER_COLUMNS = re.compile(r"id|__index_level_\d+__")
"""Names of columns that number the rows, the latter as pandas writes an index: no features."""


class Columns(NamedTuple):
    """What the columns of a file are taken for.

    label : name of the column of labels
    features : names of the columns with features, in natural order of names; one name where it holds lists
    are_lists : whether it does
    width : features of a row; None where the first list says it
    others : names of columns that are passed over
    """

    label: str
    features: tuple[str, ...]
    are_lists: bool
    width: int | None
    others: tuple[str, ...]


def of_parquet(path: Path) -> VectorListing:
    """List the vectors of a ``.parquet`` file, or of a folder of such files.

    Raises
    ------
    SpecError
        Where a file is damaged, or has other columns.
    ToolError
        Where the library that reads Parquet is missing.
    """
    files = listed.parquet_files(path) if path.is_dir() else [path]
    parts, labels, tests, names = [], [], [], None
    given = False
    filled: list[tuple[Path, Columns]] = []
    with parquet_file.reader(path) as parquet:
        for file in files:
            reading.check_file(file)
            schema = parquet.read_schema(file)
            columns = _columns(schema, file)
            names = names or listed.hugging_names(schema.metadata, columns.label)
            count = parquet.read_metadata(file).num_rows
            if not count:
                continue
            filled.append((file, columns))
            _check_alike(*filled[0], *filled[-1])
            labels.append(parquet_file.integers(parquet, file, columns.label, "a vector"))
            flags = _tests(parquet, file, schema, labels[-1])
            given = given or flags is not None
            tests.append(np.zeros(count, bool) if flags is None else flags)
            width = columns.width
            if width is None:
                width = _first_width(parquet, file, columns.features[0])
            parts.append(_parquet_part(file, columns.features, count, width))
    if not parts:
        raise SpecError(f"{path} must hold vectors, but holds none")
    sizes = [part.size for part in parts]
    place = listed.place_in(sizes, "row", [file for file, _ in filled])
    is_test = np.concatenate(tests) if given else None
    if is_test is not None and is_test.all():
        is_test = None
    notes = _notes(path, [columns for _, columns in filled])
    return joined(path, files, parts, np.concatenate(labels), names, is_test, place, notes)


def _tests(parquet: Any, file: Path, schema: Any, labels: np.ndarray) -> np.ndarray | None:
    """Which rows of a file test, (n,) bool, by its column or its name; None where both say nothing of a test."""
    if TEST_COLUMN in schema.names:
        flags = parquet.read_table(file, columns=[TEST_COLUMN]).column(0).to_numpy()
        return listed.tests_of(flags, labels, f"column {TEST_COLUMN!r} of {file}")
    return np.ones(len(labels), bool) if listed.tests_by_name(file) else None


def _check_alike(first: Path, wanted: Columns, file: Path, columns: Columns) -> None:
    """SpecError where a file has its features in columns of other names than the first file of the set."""
    for one, other, where, there in (
        (wanted, columns, first, file),
        (columns, wanted, file, first),
    ):
        missing = set(one.features).difference(other.features)
        if missing:
            raise SpecError(
                f"files of a set must have their features in columns of the same names, but {where} has "
                f"{shown(min(missing))} and {there} has not"
            )
    if wanted.are_lists != columns.are_lists:
        raise SpecError(
            f"files of a set must all have lists of numbers in column {shown(wanted.features[0])}, or none, not {first} "
            f"beside {file}"
        )


def _notes(path: Path, found: list[Columns]) -> tuple[str, ...]:
    """Say which columns were taken and which were not, where that is a choice."""
    labels, others = (
        list(dict.fromkeys(names))
        for names in ([c.label for c in found], [n for c in found for n in c.others])
    )
    first = found[0]
    if first.are_lists and not others:
        return ()
    what = "lists of numbers" if first.are_lists else f"{len(first.features):,} columns of numbers"
    passed = f"; passed over: {shown(others)}" if others else ""
    return (
        f"of {path}, labels are {shown(labels)}, features the {what} {shown(list(first.features))}{passed}",
    )


def holds_bytes(kind: Any) -> bool:
    """Tell whether a column of a type of pyarrow's may hold encoded images."""
    import pyarrow

    is_bytes = pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
    return is_bytes or pyarrow.types.is_struct(kind)


def _is_number(kind: Any) -> bool:
    """Tell whether a type of pyarrow's is of values that features may have: integers, floats and Booleans."""
    from pyarrow import types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _columns(schema: Any, file: Path) -> Columns:
    """Choose the columns of a file; SpecError where they do not say which are meant."""
    import pyarrow

    if twice := [name for name, times in Counter(schema.names).items() if times > 1]:
        raise SpecError(f"columns of {file} must have different names, not {shown(twice[0])} twice")
    label = listed.column_of(schema.names, LABEL_COLUMNS, file)
    if more := [n for n in LABEL_COLUMNS if n in schema.names and n != label]:
        raise SpecError(
            f"{file} must have one column of labels, not {label!r} beside {more[0]!r}; drop or rename the one that is none"
        )
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
        known = [n for n in VECTOR_COLUMNS if n in lists][:1]
        if not known:
            raise SpecError(
                f"{file} must have one column of lists of numbers, or one that is called "
                f"{' or '.join(map(repr, VECTOR_COLUMNS))}, not {shown(lists)}"
            )
        lists = known
    if lists:
        kind = types[lists[0]]
        width = kind.list_size if pyarrow.types.is_fixed_size_list(kind) else None
        return Columns(label, (lists[0],), True, width, tuple(n for n in types if n != lists[0]))
    numbers = [n for n, t in types.items() if _is_number(t) and not NUMBER_COLUMNS.fullmatch(n)]
    if not numbers:
        raise SpecError(
            f"{file} must have a column of lists of numbers, or columns of numbers, beside {label!r}, but has "
            f"{shown(list(types))}"
        )
    numbers.sort(key=listed.natural)
    others = types.keys() - numbers
    return Columns(
        label, tuple(numbers), False, len(numbers), tuple(n for n in types if n in others)
    )


def _first_width(parquet: Any, file: Path, column: str) -> int:
    with parquet.ParquetFile(file) as table:
        first = next(table.iter_batches(batch_size=1, columns=[column])).column(0)
        return len(first[0].as_py() or ())


def _parquet_part(file: Path, columns: tuple[str, ...], count: int, width: int) -> Part:
    def blocks() -> Blocks:
        row, at_once = 0, min(1 << 16, rows_at_once(8 * width))
        with parquet_file.rows(FeatureError) as parquet, parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=at_once, columns=list(columns)):
                yield _of_batch(batch, columns, width, file, row)
                row += len(batch)

    return Part(count, width, blocks)


def _of_batch(
    batch: Any, columns: tuple[str, ...], width: int, file: Path, start: int
) -> np.ndarray:
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
