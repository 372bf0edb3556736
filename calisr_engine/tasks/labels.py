"""Labels of classes: a label is its text, and the same cell is the same class in every file.

CSV and TSV files have texts only, so "007" and "7", "1_000" and "1000", "1e3" and "1000", "1.0" and
"1" are different classes there; spaces around a label do not count. JSON and Parquet files also
have numbers and booleans, which are classes by these rules:

- A whole number is the text of its digits: the number 1 and the text "1" are one class.
- Where the column has nothing but numbers in all files, 1 and 1.0 are one class, "1"; else the
  number 1.0 is the text "1.0".
- true and false are the texts "true" and "false"; where any file has such a boolean, the texts
  "True", "TRUE" and so on of all files are that too.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from calisr_engine.errors import DataError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks.cells import HALF, at, is_missing, no_label, word
from calisr_engine.tasks.lines import BREAKS
from calisr_engine.tasks.table import Table

LARGEST_WHOLE = 2**53
"""Up to here floating-point numbers hold every whole number."""

_WHOLE = re.compile(r"[+-]?[0-9]+(\.0+)?")
_SPELLED = ("true", "false")
_MARKS = {"-", "?", "-100", "hidden", "unlabeled", "unlabelled", "n/a", "null"}
""""-" of SNLI, "hidden" of GLUE, -100 of libraries, and their like."""


def class_labels(tables: Sequence[Table], column: str) -> list[list[str]]:
    """The labels of a column in each of the files of a task.

    Raises:
        DataError: a label is empty or NaN, has a fraction, or is no label at all.
    """
    files = [
        [_checked(table, column, row, cell) for row, cell in enumerate(table.column(column))]
        for table in tables
    ]
    kinds = {type(cell) for cells in files for cell in cells}
    numeric, booleans = kinds <= {int, float}, bool in kinds
    return [[_label(cell, numeric, booleans) for cell in cells] for cells in files]


def _checked(table: Table, column: str, row: int, cell: Any) -> bool | int | float | str:
    if isinstance(cell, str):
        cell = cell.strip()
    if is_missing(cell):
        raise no_label(table, column, row, cell)
    if isinstance(cell, str):
        check_name(cell, at(table, column, row))
    if isinstance(cell, float) and not (cell.is_integer() and abs(cell) <= LARGEST_WHOLE):
        size = "" if abs(cell) <= LARGEST_WHOLE else "; write large numbers without a point"
        raise DataError(
            f"{at(table, column, row)}: {cell} is no class",
            f'for numbers with fractions set task.kind = "regression"{size}',
        )
    if isinstance(cell, bool | int | float | str):
        return cell
    mend = "write a name or a whole number"
    if isinstance(cell, list):
        mend += (
            '; for several labels a text set task.kind = "multi_label", for a tag of each word '
            '"token"'
        )
    raise DataError(f"{at(table, column, row)}: {word(cell)} where a label is expected", mend)


def check_name(name: str, where: str, what: str = "label") -> None:
    """Refuse a name of a class that no table could hold: labels, tags, columns that are labels.

    A run writes the names of its classes into tables, and reads them back.

    Args:
        where: the file, line and column it stands in.
        what: "label", "tag" or "column".

    Raises:
        DataError: it has a tab, a line break or half of a character.
    """
    if found := fault(name):
        raise DataError(f"{where}: the {what} {quoted(name)} holds {found[0]}", found[1])


def fault(name: str) -> tuple[str, str] | None:
    """What a name holds that no class can be called, and the mend; None where there is nothing."""
    if HALF.search(name):
        return "half of a character (a lone surrogate)", "write the whole character"
    if cut := BREAKS.search(name):
        sign = "a tab" if cut[0] == "\t" else "a line break"
        return f"{sign}, at which tables are cut", "write a space or another sign in its place"
    return None


def _label(cell: bool | int | float | str, numeric: bool, booleans: bool) -> str:
    if isinstance(cell, float) and numeric:
        return str(int(cell))
    text = str(cell)
    return text.lower() if booleans and text.lower() in _SPELLED else text


def ordered(names: Iterable[str]) -> list[str]:
    """Names of classes: whole numbers in order, else in alphabetical order."""
    found = list(names)
    if all(_WHOLE.fullmatch(name) for name in found):
        return sorted(found, key=lambda name: (Decimal(name), name))
    return sorted(found)


def class_names(table: Table, column: str, labels: Sequence[str]) -> tuple[str, ...]:
    """The classes of a training column: numbers in order, else names in alphabetical order.

    Raises:
        DataError: there is one class only, or as good as one for each row.
    """
    names = ordered(set(labels))
    if len(names) == 1:
        raise DataError(
            f"{table.path}, column {quoted(column)}: all {len(labels):,} rows have the label "
            f"{quoted(names[0])}",
            "there is nothing to learn from one class; add rows of another, or name another column",
        )
    if len(labels) > 50 and len(names) > len(labels) / 2:
        raise DataError(
            f"{table.path}, column {quoted(column)}: {len(names):,} different labels in "
            f"{len(labels):,} rows",
            'name the column that holds the class, or set task.kind = "regression"',
        )
    return tuple(names)


def class_numbers(
    table: Table, column: str, labels: Sequence[str], names: Sequence[str]
) -> tuple[int, ...]:
    """Class numbers of a column's labels.

    Raises:
        DataError: a label is none of `names`.
    """
    number = {name: position for position, name in enumerate(names)}
    result = []
    for row, label in enumerate(labels):
        found = number.get(label)
        if found is None:
            raise unknown(at(table, column, row), label, names)
        result.append(found)
    return tuple(result)


def unknown(where: str, label: str, names: Sequence[str], what: str = "label") -> DataError:
    """The sentence for a label or tag that is none of those that are learned.

    Args:
        where: the file, line and column it stands in.
        what: "label" or "tag".
    """
    hint = _unknown_hint(label, names, what)
    return DataError(f"{where}: unknown {what} {quoted(label)}", hint)


def _unknown_hint(label: str, names: Sequence[str], what: str) -> str:
    shown = ", ".join(map(quoted, names[:12])) + (", ..." if len(names) > 12 else "")
    alike = next((name for name in names if _looks(name) == _looks(label)), None)
    if alike is not None:
        return f"did you mean {quoted(alike)}? Write it alike in all files; known {what}s: {shown}"
    if _looks(label) == _looks("-1"):
        return (
            "public data sets mark rows without a label so; remove these rows, or give the file "
            f"that has their {what}s; known {what}s: {shown}"
        )
    near = difflib.get_close_matches(label[:200], [name[:200] for name in names], n=1, cutoff=0.6)
    meant = f"did you mean {quoted(near[0])}? " if near else ""
    return f"{meant}known {what}s: {shown}"


def check_no_label(
    tables: Sequence[Table], column: str, files: Sequence[Sequence[str]], notes: list[str]
) -> None:
    """Refuse or note -1 where it may be the mark of rows without a label.

    Beside 0, 1, 2 and more it is that mark, as in SNLI. Beside 0 and 1 (or 0) it may as well be
    a class, as of sentiment, and is noted. Beside anything else it is a class.

    Raises:
        DataError: there are such rows.
    """
    names = {label for labels in files for label in labels}
    if not all(_WHOLE.fullmatch(name) for name in names):
        return
    values = {Decimal(name) for name in names}
    others = sorted(values - {Decimal(-1)})
    marks = {name for name in names if Decimal(name) == -1}
    if not marks or others != list(range(len(others))):
        return
    for table, labels in zip(tables, files, strict=True):
        marked = [row for row, label in enumerate(labels) if label in marks]
        if not marked:
            continue
        if len(others) > 2:
            raise DataError(
                f"{at(table, column, marked[0])}: the label -1 beside 0 to {others[-1]} marks rows "
                f"without a label in public data sets; {len(marked):,} of {len(labels):,} rows "
                "have it",
                "remove these rows; if -1 is a class, give it another name",
            )
        notes.append(
            f"{table.path}, column {quoted(column)}: {len(marked):,} of {len(labels):,} rows have "
            "the label -1, which is a class like any other here; where it marks rows without a "
            "label, remove them"
        )


def look_alikes(names: Sequence[str]) -> list[str]:
    """Notes on classes that differ only in how a number or a name is written, the first three."""
    groups: dict[object, list[str]] = defaultdict(list)
    for name in names:
        groups[_looks(name)].append(name)
    return [
        f"the labels {', '.join(map(quoted, alike[:5]))} are {len(alike)} classes, since a label "
        "is its text"
        for alike in groups.values()
        if len(alike) > 1
    ][:3]


def _looks(label: str) -> object:
    """The number that a label spells, however it is written; else its letters without case,
    in one form of Unicode and without characters of no width."""
    plain = unicodedata.normalize("NFKC", label).replace("\N{MINUS SIGN}", "-")
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf").strip().casefold()
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return plain
    return number if number.is_finite() else plain


def marks(names: Sequence[str]) -> list[str]:
    """A note on classes whose names mark rows without a label in public data sets."""
    found = [name for name in names if name.casefold() in _MARKS]
    if not found or len(found) == len(names):
        return []
    return [
        f"{', '.join(map(quoted, found))} is a class like any other here; where it marks rows "
        "without a label, remove them"
    ]
