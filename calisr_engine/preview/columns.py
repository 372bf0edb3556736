"""What the columns of a table hold, as counts that roles can be guessed from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from calisr_engine.tasks.cells import has_decimal_commas, is_missing, word
from calisr_engine.tasks.label_sets import as_list
from calisr_engine.tasks.table import Table

SAMPLE = 20_000
"""Rows that are looked at, spread evenly; more would not change a guess."""

Kind = Literal["text", "words", "whole", "number", "boolean", "list", "nested", "repeated", "empty"]

KINDS: dict[Kind, str] = {
    "text": "texts",
    "words": "words",
    "whole": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "list": "lists",
    "nested": "lists or objects",
    "repeated": "several columns of that name",
    "empty": "nothing",
}
"""What to call a column of that kind."""

_WHOLE = re.compile(r"\s*[+-]?\d{1,18}(\.0+)?\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
_BOOLEANS = {"true", "false"}


@dataclass(frozen=True)
class Column:
    """One column, from at most `SAMPLE` rows of it.

    Attributes:
        kind: what its cells are: "text" has spaces in it, "words" mostly has none; "list" are
            lists of words or whole numbers, also those that a text writes.
        distinct: different values among `rows`; of lists, of their entries.
        missing: rows without a value.
        words: of a cell in the mean; of lists, entries.
        longest: characters of its longest cell.
        example: the first cell that is not empty, as text.
        counts: its values by how often they come, the commonest first, at most 200; of lists, of
            their entries.
        rising: its numbers grow from each row to the next.
    """

    name: str
    kind: Kind
    rows: int
    distinct: int
    missing: int
    words: float
    longest: int
    example: str
    counts: Mapping[str, int] = field(default_factory=dict)
    rising: bool = False


def columns(table: Table) -> tuple[Column, ...]:
    """Every column of a table; those that were not read are nested, or have a name that others
    have, too."""
    step = max(1, -(-len(table) // SAMPLE))
    found = []
    for name in dict.fromkeys(table.header):
        cells = table.columns.get(name)
        if cells is None or table.header.count(name) > 1:
            kind: Kind = "repeated" if table.header.count(name) > 1 else "nested"
            found.append(Column(name, kind, 0, 0, 0, 0.0, 0, ""))
        else:
            found.append(_column(name, cells[::step]))
    return tuple(found)


def _column(name: str, cells: Sequence[Any]) -> Column:
    there = [cell for cell in cells if not is_missing(cell)]
    entries = lists_of(there)
    if entries is not None:
        counted = Counter(entry for each in entries for entry in each)
        first = next((each for each in entries if each), [])
        return Column(
            name,
            "list",
            len(cells),
            len(counted),
            len(cells) - len(there),
            sum(map(len, entries)) / len(entries),
            max(sum(map(len, each)) for each in entries),
            " ".join(first),
            dict(counted.most_common(200)),
        )
    if any(isinstance(cell, dict | list | bytes) for cell in there):
        example = word(next(c for c in there if isinstance(c, dict | list | bytes)))
        return Column(name, "nested", len(cells), 0, len(cells) - len(there), 0.0, 0, example)
    texts = [cell.strip() if isinstance(cell, str) else str(cell) for cell in there]
    if has_decimal_commas(texts):
        texts = [text.replace(",", ".") for text in texts]
    counts = Counter(texts)
    lengths = [text.count(" ") + 1 for text in texts]
    numbers = [float(text) for text in texts] if _all(texts, _NUMBER) else []
    return Column(
        name,
        _kind(texts, counts),
        len(cells),
        len(counts),
        len(cells) - len(there),
        sum(lengths) / max(1, len(lengths)),
        max(map(len, texts), default=0),
        texts[0] if texts else "",
        dict(counts.most_common(200)),
        len(numbers) > 1 and all(a < b for a, b in pairwise(numbers)),
    )


def lists_of(cells: Sequence[Any]) -> list[list[str]] | None:
    """The entries of cells that are all lists of words or whole numbers; None where one is not."""
    found: list[list[str]] = []
    for cell in cells:
        value = cell if isinstance(cell, list | tuple) else as_list(cell)
        if value is None or not all(isinstance(each, str | int) for each in value):
            return None
        found.append([str(each) for each in value])
    return found or None


def _kind(texts: Sequence[str], counts: Mapping[str, int]) -> Kind:
    if not texts:
        return "empty"
    if _all(texts, _WHOLE):
        return "whole"
    if _all(texts, _NUMBER):
        return "number"
    if {text.lower() for text in counts} <= _BOOLEANS:
        return "boolean"
    # A name of two words is no text; scripts without spaces have long "words".
    spaced = sum(count for text, count in counts.items() if text.count(" ") > 1 or len(text) > 40)
    return "text" if spaced > len(texts) / 5 else "words"


def _all(texts: Sequence[str], pattern: re.Pattern[str]) -> bool:
    return bool(texts) and all(pattern.fullmatch(text) for text in texts)
