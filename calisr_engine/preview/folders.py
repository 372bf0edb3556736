"""The data files of a folder, by what their names say they are for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calisr_engine.errors import DataError
from calisr_engine.tasks.files import unreadable
from calisr_engine.tasks.formats import FORMATS
from calisr_engine.tasks.own_names import use_of

SUFFIXES = tuple(FORMATS)
"""Endings of the files that are read."""


@dataclass(frozen=True)
class DataFiles:
    """The files of one folder.

    Attributes:
        why: why each file was taken for what it is, by "train", "validation" and "test".
    """

    train: Path
    validation: Path | None
    test: Path | None
    why: dict[str, str]


def data_files(folder: Path) -> list[Path]:
    """The files of a folder that end as a format which is read, by name.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        found = sorted(
            each
            for each in folder.iterdir()
            if each.suffix.lower() in FORMATS and not each.name.startswith(".") and each.is_file()
        )
        # Most texts in a folder are no data: one must say by its name that it is.
        return [each for each in found if each.suffix.lower() != ".txt" or use_of(each)]
    except OSError as error:
        raise unreadable(folder, error) from error


def find(folder: Path) -> DataFiles:
    """Which file of a folder trains, validates and tests.

    Raises:
        DataError: none or several could be the training file; the message names them.
    """
    files = data_files(folder)
    by_use: dict[str, list[Path]] = {"train": [], "validation": [], "test": [], "": []}
    for file in files:
        by_use[use_of(file)].append(file)
    train = by_use["train"] or by_use[""]
    for use, found in (("training", train), *((u, by_use[u]) for u in ("validation", "test"))):
        if len(found) > 1:
            raise DataError(
                f"{folder}: several files could be the {use} data: "
                f"{', '.join(each.name for each in found[:8])}",
                "name one with --train, --validation or --test; join the parts of a set to one",
            )
    if not train:
        named = ", ".join(each.name for each in files[:8])
        raise DataError(
            f"{folder}: there is no training file in it"
            + (f" (found: {named})" if named else " (no CSV, TSV, JSONL or Parquet file at all)"),
            "name it with --train, or call it train.csv",
        )
    why = {"train": "its name" if by_use["train"] else "the only data file of the folder"}
    chosen = {use: next(iter(by_use[use]), None) for use in ("validation", "test")}
    why |= dict.fromkeys((use for use, file in chosen.items() if file), "its name")
    return DataFiles(train[0], chosen["validation"], chosen["test"], why)
