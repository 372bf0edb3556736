"""JSONL files: one JSON object a line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
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
    """The named keys of one object a line, or all of them; None where an object lacks one.

    Raises:
        DataError: a line is not a JSON object, or the file is one JSON document.
    """
    columns: dict[str, list[Any]] = {name: [] for name in names or ()}
    header: dict[str, None] = {}
    repeated: dict[str, int] = {}
    numbers: list[int] = []
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        try:
            value = _parsed(line)
        except RecursionError:
            raise DataError(
                f"{path}, line {number}: not valid JSON for this program: nested too deep",
                "write one JSON object a line, with texts and labels for values",
            ) from None
        except ValueError as error:
            if not numbers and _is_document(text):
                raise _one_document(path) from error
            raise DataError(
                f"{path}, line {number}: not valid JSON ({error})", "write one JSON object a line"
            ) from error
        if not isinstance(value, _Object):
            if not numbers and _is_document(text):
                raise _one_document(path)
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


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a whole number of thousands of digits
        return json.loads(text, object_pairs_hook=_Object, parse_int=_whole)


def _whole(digits: str) -> int | float:
    """A whole number, or infinity (which is no text and no label) where it is endless."""
    return int(digits) if len(digits) <= MOST_DIGITS else float("inf")


def _is_document(text: str) -> bool:
    """Is all of it one list of objects, or one object over several lines?"""
    try:
        value = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, dict) for each in value)
    return isinstance(value, dict)


def _one_document(path: Path) -> DataError:
    return DataError(
        f"{path}: this is one JSON document, not one JSON object a line",
        "write one object a line (jq -c '.[]' does that with a list)",
    )


def _json_word(value: object) -> str:
    words = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")
