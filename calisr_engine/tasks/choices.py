"""A choice: a text, several alternatives, and which of them is right.

An alternative is read as the second of a pair with the text, which has the question behind it where
there is one. COPA asks by a word, `cause` or `effect`, which is written out as other published
set-ups do. The label is the number of the right alternative from 0, or the name of its column.
"""

from __future__ import annotations

from collections.abc import Sequence

from calisr_engine.errors import DataError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks import cells, labels
from calisr_engine.tasks.table import Table

QUESTIONS = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}
"""COPA's words for its two questions, and how a model reads them."""


def asked(text: str, question: str) -> str:
    """The text with its question behind it."""
    question = question.strip()
    return f"{text.rstrip()} {QUESTIONS.get(question, question)}".strip()


def texts(table: Table, text: str, question: str | None, notes: list[str]) -> tuple[str, ...]:
    """The texts of a table, with their questions where a column has some.

    Raises:
        DataError: a row has no text or no question.
    """
    found = cells.texts(table, text, notes)
    if question is None:
        return found
    return tuple(map(asked, found, cells.texts(table, question, notes)))


def alternatives(table: Table, columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The alternatives of each row.

    Raises:
        DataError: one of them is empty.
    """
    found = []
    for name in columns:
        found.append(cells.texts(table, name, []))
        empty = next((row for row, each in enumerate(found[-1]) if not each.strip()), None)
        if empty is not None:
            raise DataError(
                f"{cells.at(table, name, empty)}: the alternative is empty",
                "fill it in, or remove the row: every row has all alternatives",
            )
    return tuple(zip(*found, strict=True))


def numbers(tables: Sequence[Table], label: str, columns: Sequence[str]) -> list[tuple[int, ...]]:
    """The numbers of the right alternatives in each table; the first one trains.

    Raises:
        DataError: a label is none of the alternatives, or that of all training rows is the same.
    """
    for name in columns:
        labels.check_name(name, f"{tables[0].path}, header", "column")
    number = {str(place): place for place in range(len(columns))}
    number |= {name.strip(): place for place, name in enumerate(columns)}
    found = []
    for table, given in zip(tables, labels.class_labels(tables, label), strict=True):
        unknown = next((row for row, each in enumerate(given) if each not in number), None)
        if unknown is not None:
            raise _unknown(table, label, unknown, given, columns)
        found.append(tuple(number[each] for each in given))
    if len(set(found[0])) == 1:
        raise DataError(
            f"{tables[0].path}, column {quoted(label)}: the right alternative of all "
            f"{len(found[0]):,} rows is {quoted(columns[found[0][0]])}",
            "a model could always say that one; shuffle the alternatives of each row",
        )
    return found


def _unknown(
    table: Table, label: str, row: int, given: Sequence[str], columns: Sequence[str]
) -> DataError:
    last = len(columns) - 1
    hint = f"write the number of the right one, from 0 to {last}, or the name of its column"
    if {str(last + 1)} <= set(given) <= {str(number) for number in range(1, last + 2)}:
        hint = f"these labels count from 1: subtract 1, so that they are 0 to {last}"
    elif given[row] == "-1":
        hint = "public data sets mark rows without a label so; remove these rows"
    names = ", ".join(map(quoted, columns[:12])) + (", ..." if len(columns) > 12 else "")
    return DataError(
        f"{cells.at(table, label, row)}: the label {quoted(given[row])} is none of the "
        f"{len(columns)} alternatives",
        f"{hint}; alternatives: {names}",
    )
