"""Several labels a text: one column that has all of them, or a column of 0 and 1 for each.

A label is its text, as for single classes (`labels`). In one column the labels of a row stand with
a separator between them, or as a list: a list of JSONL and Parquet files, or a text that writes one
(`["a", "b"]`, also with the single quotes of Python, or numpy's `['a' 'b']`). A row may have no
label at all.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from calisr_engine.errors import DataError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks import labels
from calisr_engine.tasks.cells import at, is_missing, word
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.table import Table

MOST_LABELS = 5000

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
SEPARATORS = ("|", ";", ",", "/")
"""Those that are looked for where none is named."""

_ON, _OFF = ("1", "1.0", "true"), ("0", "0.0", "false")

Rows = tuple[tuple[int, ...], ...]
"""A tuple of 0 and 1 a row, one for each label."""


def read(
    tables: Sequence[Table], settings: TaskSettings, notes: list[str]
) -> tuple[tuple[str, ...], list[Rows]]:
    """(label names, the labels of each table); the first one trains.

    Raises:
        DataError: a cell is no list of labels, a label of the others is not in the training data,
            or no label tells rows apart.
    """
    if settings.label_columns:
        names = settings.label_columns
        for name in names:
            labels.check_name(name, f"{tables[0].path}, header")
        found = [_of_columns(table, names) for table in tables]
    else:
        assert settings.label_column is not None
        names, found = _of_lists(tables, settings.label_column, settings.label_separator, notes)
    _check_spread(tables[0], names, found[0], notes)
    for table, rows in zip(tables, found, strict=True):
        without = sum(not any(row) for row in rows)
        if without:
            notes.append(f"{table.path}: {without:,} of {len(rows):,} rows have no label")
    return names, found


def _of_columns(table: Table, names: Sequence[str]) -> Rows:
    columns = [
        [_switch(table, name, row, cell) for row, cell in enumerate(table.column(name))]
        for name in names
    ]
    return tuple(zip(*columns, strict=True))


def _switch(table: Table, column: str, row: int, cell: Any) -> int:
    text = "" if is_missing(cell) else str(cell).strip().lower()
    if text in _ON:
        return 1
    if text in _OFF:
        return 0
    shown = "an empty cell" if not text else quoted(str(cell))
    raise DataError(
        f"{at(table, column, row)}: {shown} where 0 or 1 is expected",
        "write 1 where the row has the label and 0 where not, or leave the column out of "
        "task.label_columns",
    )


def _of_lists(
    tables: Sequence[Table], column: str, separator: str | None, notes: list[str]
) -> tuple[tuple[str, ...], list[Rows]]:
    files = [lists(table, column, separator) for table in tables]
    if separator is not None and not any(
        isinstance(cell, str) and separator in cell for cell in tables[0].column(column)
    ):
        raise _never(tables[0], column, separator)
    counted = list(dict.fromkeys(name for row in files[0] for name in row))
    if not counted:
        raise DataError(
            f"{tables[0].path}, column {quoted(column)}: no row has a label",
            "name another column",
        )
    names = tuple(labels.ordered(counted))
    if len(names) > MOST_LABELS:
        raise DataError(
            f"{tables[0].path}, column {quoted(column)}: {len(names):,} different labels",
            f"at most {MOST_LABELS:,} can be learned; name another column or separator",
        )
    notes.extend(labels.look_alikes(names))
    number = {name: place for place, name in enumerate(names)}
    found = []
    for table, rows in zip(tables, files, strict=True):
        coded = []
        for row, given in enumerate(rows):
            unknown = next((name for name in given if name not in number), None)
            if unknown is not None:
                raise labels.unknown(at(table, column, row), unknown, names)
            own = {number[name] for name in given}
            coded.append(tuple(int(place in own) for place in range(len(names))))
        found.append(tuple(coded))
    return names, found


def lists(table: Table, column: str, separator: str | None) -> list[tuple[str, ...]]:
    """The labels of each row of a column.

    Raises:
        DataError: a cell is no list of labels.
    """
    return [
        _listed(table, column, row, cell, separator)
        for row, cell in enumerate(table.column(column))
    ]


def _listed(
    table: Table, column: str, row: int, cell: Any, separator: str | None
) -> tuple[str, ...]:
    if isinstance(cell, list | tuple):
        parts = list(cell)
    elif is_missing(cell):
        return ()
    elif isinstance(cell, str) and separator is not None:
        parts = [part for part in (each.strip() for each in cell.split(separator)) if part]
    else:
        written = as_list(cell)
        if written is None and separator is None and isinstance(cell, str):
            raise DataError(
                f"{at(table, column, row)}: {quoted(cell)} is no list of labels",
                'write ["a", "b"], or name what stands between the labels: '
                'task.label_separator = ";"',
            )
        parts = [cell] if written is None else written
    found = []
    for part in parts:
        if isinstance(part, float) and part.is_integer():
            part = int(part)
        if not isinstance(part, str | int) or (isinstance(part, str) and not part.strip()):
            shown = "an empty label" if isinstance(part, str) else word(part)
            raise DataError(
                f"{at(table, column, row)}: {shown} in the list of labels",
                "write names or whole numbers",
            )
        name = str(part).strip()
        labels.check_name(name, at(table, column, row))
        found.append(name)
    return tuple(dict.fromkeys(found))


def as_list(cell: Any) -> list[Any] | None:
    """The list that a text writes, as JSON, Python or numpy; None where it is no list."""
    if not isinstance(cell, str) or not cell.strip().startswith("["):
        return None
    text = cell.strip()
    shape = re.sub(_QUOTED, "Q", text)
    if re.search(r"Q\s*Q", shape):  # Python would put these texts together
        if not re.fullmatch(r"\[\s*Q(\s+Q)+\s*\]", shape):
            return None
        text = re.sub(_QUOTED, r"\g<0>,", text)
    for reading in (json.loads, ast.literal_eval):
        try:
            value = reading(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, list) else None
    return None


def _never(table: Table, column: str, separator: str) -> DataError:
    cells = [cell for cell in table.column(column) if isinstance(cell, str) and cell.strip()]
    there = [each for each in SEPARATORS if each != separator and any(each in c for c in cells)]
    shown = f"such as {quoted(cells[0], 60)}" if cells else "which has no texts"
    if there:
        mend = f"did you mean task.label_separator = {quoted(there[0])}? "
    elif any(as_list(cell) is not None for cell in cells):
        mend = "its cells are lists: leave task.label_separator out; "
    else:
        mend = ""
    return DataError(
        f"{table.path}, column {quoted(column)}: the separator {quoted(separator)} comes in "
        f"none of its {len(table):,} cells ({shown})",
        f'{mend}for one label a text set task.kind = "classification"',
    )


def _check_spread(table: Table, names: Sequence[str], rows: Rows, notes: list[str]) -> None:
    """Refuse labels of which none tells rows apart; note those of which one does not.

    Raises:
        DataError: there is nothing to learn.
    """
    counts = [sum(row[place] for row in rows) for place in range(len(names))]
    alike = [(name, n) for name, n in zip(names, counts, strict=True) if n in (0, len(rows))]
    if len(alike) == len(names):
        raise DataError(
            f"{table.path}: each label is that of all rows or of none: nothing to learn",
            "add rows with other labels, or name other columns",
        )
    for name, count in alike:
        said = "no row has" if not count else f"all {count:,} rows have"
        notes.append(
            f"{table.path}: {said} the label {quoted(name)}, so that nothing is learned of it"
        )
