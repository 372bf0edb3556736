"""What a page may say: parsed, bounded, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LONGEST_MESSAGE = 1 << 20
"""Bytes of a message: a large paste, and no more."""

COLUMNS = (10, 600)
ROWS = (4, 250)
"""Least and most cells of a terminal; a screen of 4K with small letters has 540 x 216."""

LONGEST_PING = 32


@dataclass(frozen=True)
class Size:
    """Cells of a terminal."""

    columns: int
    rows: int


@dataclass(frozen=True)
class Typed:
    """Keys, mouse and pastes, as a terminal sends them."""

    data: bytes


@dataclass(frozen=True)
class Ping:
    """Asks for the same text back."""

    text: str


@dataclass(frozen=True)
class Focus:
    """Whether the page has the focus now."""

    here: bool


Message = Size | Typed | Ping | Focus


def parse(text: str) -> Message | None:
    """A message of the page: a JSON list of its kind and its data; None where it is none."""
    try:
        envelope = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match envelope:
        case ["stdin", str(data)]:
            return Typed(data.encode(errors="replace"))  # half a surrogate pair becomes a "?"
        case ["resize", {"width": width, "height": height}]:
            return clamped(width, height)
        case ["ping", str(sent)] if len(sent) <= LONGEST_PING:
            return Ping(sent)
        case ["focus" | "blur" as kind]:
            return Focus(kind == "focus")
    return None


def clamped(columns: Any, rows: Any) -> Size | None:
    """The nearest size that is allowed; None where one of the two is no whole number."""
    if type(columns) is not int or type(rows) is not int:
        return None
    return Size(_within(columns, COLUMNS), _within(rows, ROWS))


def first_size(columns: str, rows: str) -> Size:
    """The size that a page opens its socket with; 80 x 24 where it says none that can be read."""
    return clamped(_number(columns, 80), _number(rows, 24)) or Size(80, 24)


def _within(number: int, bounds: tuple[int, int]) -> int:
    least, most = bounds
    return max(least, min(most, number))


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise
