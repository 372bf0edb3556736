"""From the cells of a table to texts and targets; what cannot be one is refused with its line."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from typing import Any

from calisr_engine.errors import DataError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks.table import Table

LARGEST_TARGET = 1e18
"""The loss squares targets in 32-bit numbers, which end at 3.4e38."""

HALF = re.compile("[\ud800-\udfff]")
"""A lone surrogate, which no output can encode."""

_WITH_COMMA = re.compile(r"\s*[+-]?(\d+)(?:,(\d+))?\s*")


def texts(table: Table, column: str, notes: list[str]) -> tuple[str, ...]:
    """A column of texts; numbers become text, empty texts stay empty.

    Halves of characters (lone UTF-16 surrogates, which JSON can write) become U+FFFD, since no
    tokenizer takes them. That and empty texts are told in `notes`.

    Raises:
        DataError: a row has no text, or something else than a text; or all are empty.
    """
    result = [_text(table, column, row, cell) for row, cell in enumerate(table.column(column))]
    halves = [row for row, text in enumerate(result) if HALF.search(text)]
    for row in halves:
        result[row] = whole_characters(result[row])
    empty = [row for row, text in enumerate(result) if not text.strip()]
    if len(empty) == len(result):
        raise DataError(
            f"{table.path}, column {quoted(column)}: every text is empty", "name another column"
        )
    for rows, what in (
        (empty, "are empty"),
        (halves, "hold halves of characters (lone surrogates), which became U+FFFD"),
    ):
        if rows:
            notes.append(
                f"{table.path}, column {quoted(column)}: {len(rows):,} of {len(result):,} texts "
                f"{what}, the first in {table.place} {table.lines[rows[0]]}"
            )
    return tuple(result)


def whole_characters(text: str) -> str:
    """The text with U+FFFD for each half of a character, which no tokenizer takes."""
    return HALF.sub("\ufffd", text)


def _text(table: Table, column: str, row: int, cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    where = f"{at(table, column, row)}:"
    if is_missing(cell):
        raise DataError(f"{where} there is no text", "fill the cell in, or remove the row")
    if isinstance(cell, float) and math.isinf(cell):
        raise DataError(
            f"{where} a number that is too large to be read", "write it as a string, in quotes"
        )
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)
    mend = "write a string there"
    if isinstance(cell, list):
        mend += ', or set task.kind = "token", where each word of a list has a tag'
    raise DataError(f"{where} {word(cell)} where a text is expected", mend)


def targets(table: Table, column: str, notes: list[str]) -> tuple[float, ...]:
    """A column of regression targets.

    Raises:
        DataError: one is empty, NaN, infinite, too large to be squared, or not a number.
    """
    there = table.column(column)
    if has_decimal_commas([cell for cell in there if not is_missing(cell)]):
        there = [cell.replace(",", ".") for cell in there]
        notes.append(f"{table.path}, column {quoted(column)}: 3,5 is read as 3.5")
    return tuple(_target(table, column, row, cell) for row, cell in enumerate(there))


def has_decimal_commas(there: Sequence[Any]) -> bool:
    """Whether cells are numbers, some of them with a comma in the place of the point.

    Not where all commas may as well stand between thousands (1,234).
    """
    found = [isinstance(cell, str) and _WITH_COMMA.fullmatch(cell) for cell in there]
    commas = [each.groups() for each in found if each and each[2]]
    thousands = all(len(b) == 3 and len(a) <= 3 and a[0] != "0" for a, b in commas)
    return all(found) and bool(commas) and not thousands


def _target(table: Table, column: str, row: int, cell: Any) -> float:
    if isinstance(cell, str):
        cell = cell.strip()
    if is_missing(cell):
        raise no_label(table, column, row, cell)
    value = _number(cell)
    if value is None or math.isnan(value):
        hint = 'write a number, or set task.kind = "classification"'
        if isinstance(cell, str) and _number(cell.replace(",", "")) is not None:
            hint = "write decimals with a point, and thousands without a comma"
        shown = quoted(cell) if isinstance(cell, str) else word(cell)
        raise DataError(f"{at(table, column, row)}: {shown} is not a number to learn", hint)
    if abs(value) > LARGEST_TARGET:
        raise DataError(
            f"{at(table, column, row)}: {quoted(str(cell))} is too large to learn; the loss is the "
            "square of such a number, which 32 bits do not hold",
            "scale the column, to between -1 and 1 at best",
        )
    return value


def check_spread(table: Table, column: str, values: Sequence[float]) -> None:
    """Refuse targets that are all one number in the 32 bits that training has.

    Raises:
        DataError: they are.
    """
    if len(set(array("f", values))) > 1:
        return
    if len(set(values)) == 1:
        raise DataError(
            f"{table.path}, column {quoted(column)}: every row has the value {values[0]}",
            "there is nothing to learn from one value; name another column",
        )
    raise DataError(
        f"{table.path}, column {quoted(column)}: the values, from {min(values)} to {max(values)}, "
        "are all one number in 32 bits",
        "subtract their mean and scale them",
    )


def _number(cell: Any) -> float | None:
    """The number that a cell is or spells (infinite where it is beyond all range), else None.

    Python's own spelling with underscores is not taken: 1_000 may be a code.
    """
    if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def at(table: Table, column: str, row: int, entry: int = 0) -> str:
    """Where a cell stands, or an entry of its list: "FILE, line 7, column 'label'"."""
    return f"{table.at(row, entry)}, column {quoted(column)}"


def no_label(table: Table, column: str, row: int, cell: Any) -> DataError:
    """The sentence for a label or target that is missing."""
    what = "the label is empty" if cell is None or cell == "" else "the label is NaN"
    return DataError(f"{at(table, column, row)}: {what}", "fill it in, or remove the row")


def is_missing(cell: Any) -> bool:
    """Empty, null or NaN."""
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and cell.lower() in ("", "nan"))


def word(cell: Any) -> str:
    """What a cell is that is neither text nor number."""
    if isinstance(cell, dict):
        return "an object"
    words = {list: "a list", bool: "true or false", bytes: "bytes"}
    words |= {int: "a number", float: "a number"}
    return words.get(type(cell), f"a {type(cell).__name__}")
