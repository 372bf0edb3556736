"""From the cells of a table to texts and labels; what cannot be one is refused with its line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

from calisr_engine.errors import DataError
from calisr_engine.tasks.tables import Table


def texts(table: Table, column: str) -> tuple[str, ...]:
    """A column of texts; numbers become text, empty texts stay empty.

    Raises:
        DataError: a row has no text, or something else than a text; or all are empty.
    """
    result = []
    for row, cell in enumerate(table.column(column)):
        if isinstance(cell, str):
            result.append(cell)
        elif _is_missing(cell):
            raise DataError(
                f"{table.at(row)}, column {column!r}: there is no text",
                "fill the cell in, or remove the row",
            )
        elif isinstance(cell, int | float) and not isinstance(cell, bool):
            result.append(str(cell))
        else:
            raise DataError(
                f"{table.at(row)}, column {column!r}: {_word(cell)} where a text is expected",
                "write a string there",
            )
    if not any(text.strip() for text in result):
        raise DataError(
            f"{table.path}, column {column!r}: every text is empty", "name another column"
        )
    return tuple(result)


def class_cells(table: Table, column: str) -> list[int | str]:
    """A column of class labels: whole numbers, or names without spaces around them.

    Whether numbers are meant is decided for the whole column: one name makes all of them names.

    Raises:
        DataError: a label is empty or NaN, has a fraction, or is no label at all.
    """
    cells = [_class_cell(table, column, row, cell) for row, cell in enumerate(table.column(column))]
    numbers = [_whole(cell) for cell in cells]
    if all(number is not None for number in numbers):
        return [number for number in numbers if number is not None]
    return [str(cell) for cell in cells]


def _class_cell(table: Table, column: str, row: int, cell: Any) -> int | float | str:
    if isinstance(cell, str):
        cell = cell.strip()
    if _is_missing(cell):
        raise _no_label(table, column, row, cell)
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | str):
        return cell
    if isinstance(cell, float):
        if cell.is_integer():
            return int(cell)
        raise DataError(
            f"{table.at(row)}, column {column!r}: {cell} is no class",
            'for numbers with fractions set task.kind = "regression"',
        )
    raise DataError(
        f"{table.at(row)}, column {column!r}: {_word(cell)} where a label is expected",
        "write a name or a whole number",
    )


def _whole(cell: int | float | str) -> int | None:
    """The whole number that this is or spells ("3", "3.0", -1), else None."""
    if isinstance(cell, int):
        return cell
    try:
        value = float(cell)
    except ValueError:
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else None


def class_names(table: Table, column: str, cells: Sequence[int | str]) -> tuple[str, ...]:
    """The classes of a training column: numbers in order, names in alphabetical order.

    Raises:
        DataError: there is one class only, or as good as one for each row.
    """
    classes = sorted(set(cells), key=lambda cell: (isinstance(cell, str), cell))
    if len(classes) == 1:
        raise DataError(
            f"{table.path}, column {column!r}: all {len(cells):,} rows have the label "
            f"{str(classes[0])!r}",
            "there is nothing to learn from one class; add rows of another, or name another column",
        )
    if len(cells) > 50 and len(classes) > len(cells) / 2:
        raise DataError(
            f"{table.path}, column {column!r}: {len(classes):,} different labels in "
            f"{len(cells):,} rows",
            'name the column that holds the class, or set task.kind = "regression"',
        )
    return tuple(str(each) for each in classes)


def class_numbers(
    table: Table, column: str, cells: Sequence[int | str], names: Sequence[str]
) -> tuple[int, ...]:
    """Class numbers of a column's labels.

    Raises:
        DataError: a label is none of `names`.
    """
    number = {name: position for position, name in enumerate(names)}
    result = []
    for row, cell in enumerate(cells):
        found = number.get(str(cell))
        if found is None:
            near = difflib.get_close_matches(str(cell), names, n=1, cutoff=0.6)
            meant = f"did you mean {near[0]!r}? " if near else ""
            shown = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
            raise DataError(
                f"{table.at(row)}, column {column!r}: unknown label {str(cell)[:80]!r}",
                f"{meant}known labels: {shown}",
            )
        result.append(found)
    return tuple(result)


def targets(table: Table, column: str) -> tuple[float, ...]:
    """A column of regression targets.

    Raises:
        DataError: one is empty, NaN, infinite or not a number.
    """
    result = []
    for row, cell in enumerate(table.column(column)):
        if isinstance(cell, str):
            cell = cell.strip()
        if _is_missing(cell):
            raise _no_label(table, column, row, cell)
        try:
            value = math.nan if isinstance(cell, bool) else float(cell)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            hint = 'write a number, or set task.kind = "classification"'
            if isinstance(cell, str) and _is_number(cell.replace(",", ".")):
                hint = "write decimals with a point"
            raise DataError(
                f"{table.at(row)}, column {column!r}: {str(cell)[:80]!r} is not a number to learn",
                hint,
            )
        result.append(value)
    return tuple(result)


def _no_label(table: Table, column: str, row: int, cell: Any) -> DataError:
    what = "the label is empty" if cell is None or cell == "" else "the label is NaN"
    return DataError(f"{table.at(row)}, column {column!r}: {what}", "fill it in, or remove the row")


def _is_missing(cell: Any) -> bool:
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and cell.lower() in ("", "nan"))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _word(cell: Any) -> str:
    words = {dict: "an object", list: "a list", bool: "true or false", bytes: "bytes"}
    return words.get(type(cell), f"a {type(cell).__name__}")
