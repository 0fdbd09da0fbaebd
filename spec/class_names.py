"""Names that a data set's own files give to its labels."""

import csv
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("class_names.csv")
"""Of each label of a known data set its name: of CIFAR-100 `fine_label_names` of the file `meta`."""


@cache
def official(dataset: str) -> tuple[str, ...]:
    """Return the names of a known data set's labels 0, 1, ...; empty where its labels are all it has.

    >>> official("cifar100")[:3], official("digits")
    (('apple', 'aquarium_fish', 'baby'), ())
    """
    with open(TABLE, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    assert [int(row["label"]) for row in rows] == list(range(len(rows)))
    return tuple(row["name"] for row in rows)
