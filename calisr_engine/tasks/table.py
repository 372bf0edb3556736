"""A table as read from a file, whose errors name file, line and column."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calisr_engine.errors import DataError
from calisr_engine.plain_words import counted, quoted


@dataclass(frozen=True)
class Table:
    """A file's rows, held by column.

    Attributes:
        header: names of all columns of the file.
        columns: cells by column name, at least of the columns that were asked for and are there;
            None where a row has no value.
        lines: 1-based line (row, for Parquet) where each row begins.
        place: what to call those numbers, "line" or "row".
        short: lines with too few or too many cells that were left out (only where allowed).
        blank: lines that were left out because each of their cells is empty.
        repeated: names that one row holds more than once (JSON), with the first such line.
        separator: what stands between the fields of a line ("" where there are none).
        encoding: of a text file ("" where the format has its own).
        per_line: each row stands on several lines, one for each entry of the lists in its cells.
    """

    path: Path
    header: tuple[str, ...]
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    place: str = "line"
    short: tuple[int, ...] = ()
    blank: tuple[int, ...] = ()
    repeated: Mapping[str, int] = field(default_factory=dict)
    separator: str = ""
    encoding: str = ""
    per_line: bool = False

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def left_out(self) -> list[str]:
        """What is told of `blank`: nothing, or one sentence."""
        if not self.blank:
            return []
        what = f"{counted(len(self.blank), 'line')} without any cell left out"
        return [f"{self.path}: {what}, the first is line {self.blank[0]}"]

    def column(self, name: str) -> Sequence[Any]:
        """Cells of a column.

        Raises:
            DataError: there is no such column, or more than one.
        """
        check_column(self.path, self.header, name)
        if name in self.repeated:
            raise DataError(
                f"{self.path}, line {self.repeated[name]}: the key {quoted(name)} comes twice",
                "keep one of them",
            )
        return self.columns[name]

    def at(self, row: int, entry: int = 0) -> str:
        """Where a row stands, for messages: "FILE, line 7"; with an entry of its lists where
        these have lines of their own."""
        line = self.lines[row] + (entry if self.per_line else 0)
        return f"{self.path}, {self.place} {line}"


def check_column(path: Path, header: Sequence[str], name: str) -> None:
    """Refuse a name that a header does not have, or has more than once."""
    found = header.count(name)
    if found > 1:
        raise DataError(
            f"{path}: the header has {found} columns named {quoted(name)}",
            "rename all but one",
            name,
        )
    if not found:
        # A file without header has texts for names: not all of them, and not at full length.
        names = [each[:200] for each in header[:200]]
        near = difflib.get_close_matches(name.lower(), [h.lower() for h in names], n=1, cutoff=0.4)
        meant = next((h for h in names if near and h.lower() == near[0]), None)
        raise DataError(
            f"{path}: there is no column {quoted(name)}",
            (f"did you mean {quoted(meant)}? " if meant is not None else "")
            + f"columns: {', '.join(map(quoted, names[:20]))}",
            name,
        )
