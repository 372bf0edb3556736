"""JSON files: one object a line, or one list of objects."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from calisr_engine.errors import DataError
from calisr_engine.tasks.files import split_lines
from calisr_engine.tasks.table import Table

MOST_DIGITS = 4000
"""Of a whole number; Python refuses to read or write those with more than 4,300."""


class _Object(dict[str, Any]):
    """A JSON object that knows which of its keys came more than once."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: tuple[str, ...] = ()
        if len(self) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self.repeated = tuple(key for key, count in counts.items() if count > 1)


def read_json_lines(path: Path, text: str, names: Sequence[str] | None) -> Table:
    """The named keys of each object, or all of them; None where an object lacks one.

    One object a line, or one list of objects.

    Raises:
        DataError: something there is not a JSON object.
    """
    columns: dict[str, list[Any]] = {name: [] for name in names or ()}
    header: dict[str, None] = {}
    repeated: dict[str, int] = {}
    numbers: list[int] = []
    found = _of_list if text.lstrip().startswith("[") else _of_lines
    for number, value in found(path, text):
        if not isinstance(value, _Object):
            raise DataError(
                f"{path}, line {number}: {_json_word(value)} where an object is expected",
                'write one object a line, such as {"text": "...", "label": "..."}',
            )
        header |= dict.fromkeys(value)
        if names is None:
            for name in value:
                columns.setdefault(name, [None] * len(numbers))
        for name, cells in columns.items():
            cells.append(value.get(name))
        for key in value.repeated:
            repeated.setdefault(key, number)
        numbers.append(number)
    return Table(path, tuple(header), columns, numbers, repeated=repeated)


def _of_lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """(number of the line, value)."""
    lines = ((number, line.strip()) for number, line in enumerate(split_lines(text), 1))
    first = True
    for number, line in lines:
        if not line:
            continue
        try:
            value, end = _parsed(line, 0)
            if end < len(line):
                raise json.JSONDecodeError("Extra data", line, end)
        except (ValueError, RecursionError) as error:
            if first and _is_object(text):
                raise DataError(
                    f"{path}: this is one JSON object over several lines",
                    "write one object a line, or a list of objects",
                ) from error
            raise _broken(path, number, error) from error
        first = False
        yield number, value


def _of_list(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """(number of the line on which it begins, entry) of the list that is all of the text."""
    number, seen = 1, 0
    at = _after(text, text.index("[") + 1)
    more = text[at : at + 1] != "]"
    try:
        while more:
            number, seen = number + text.count("\n", seen, at), at
            value, at = _parsed(text, at)
            yield number, value
            at = _after(text, at)
            more = text[at : at + 1] == ","
            if more:
                at = _after(text, at + 1)
        if text[at : at + 1] != "]" or text[at + 1 :].strip():
            raise json.JSONDecodeError("Expecting ',' or the list's end", text, at)
    except (ValueError, RecursionError) as error:
        number += text.count("\n", seen, at)
        raise _broken(path, getattr(error, "lineno", number), error) from error


def _after(text: str, at: int) -> int:
    """Where the next sign that is no blank stands."""
    blank = _BLANK.match(text, at)
    assert blank is not None
    return blank.end()


def _parsed(text: str, at: int) -> tuple[Any, int]:
    """The value that begins there, and where it ends."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a whole number of thousands of digits
        return _PATIENT.raw_decode(text, at)


def _whole(digits: str) -> int | float:
    """A whole number, or infinity (which is no text and no label) where it is endless."""
    return int(digits) if len(digits) <= MOST_DIGITS else float("inf")


_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=_Object)
_PATIENT = json.JSONDecoder(object_pairs_hook=_Object, parse_int=_whole)


def _is_object(text: str) -> bool:
    """Whether all of it is one object."""
    try:
        return isinstance(json.loads(text, parse_int=_whole), dict)
    except (ValueError, RecursionError):
        return False


def _broken(path: Path, number: int, error: Exception) -> DataError:
    if isinstance(error, RecursionError):
        return DataError(
            f"{path}, line {number}: not valid JSON for this program: nested too deep",
            "write one JSON object a line, with texts and labels for values",
        )
    return DataError(
        f"{path}, line {number}: not valid JSON ({error})",
        "write one JSON object a line, or a list of objects",
    )


def _json_word(value: object) -> str:
    words = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")
