"""Where lines of text are broken: between words, and long paths behind their separators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from rich.cells import cell_len, chop_cells

_WORD = re.compile(r"\s*\S+\s*")
_PART = re.compile(r"[/\\]*[^/\\]+[/\\]*|[/\\]+\s*")
SIGN = 2
"""Cells of a sign such as ✗ with its space: what follows it stays on its line."""


def breaks(line: str, width: int) -> list[int]:
    """Where in the line a new one begins, so that each has at most `width` cells.

    Space at the end of a line is not counted.
    """
    found: list[int] = []
    used = 0
    sign = 0 if line[:1].isalnum() else SIGN
    for word in _WORD.finditer(line):
        whole = cell_len(word[0].rstrip()) <= width and not 0 < used <= sign
        for start, part in [(word.start(), word[0])] if whole else _parts(word):
            room = width - used if 0 < used <= sign else width
            for at, piece in _folded(start, part, width, room):
                if at and used + cell_len(piece.rstrip()) > width:
                    found.append(at)
                    used = 0
                used += cell_len(piece)
    return found


def _parts(word: re.Match[str]) -> Iterator[tuple[int, str]]:
    """The folders of a path, each with the separator behind it."""
    return ((word.start() + part.start(), part[0]) for part in _PART.finditer(word[0]))


def _folded(start: int, part: str, width: int, room: int) -> Iterator[tuple[int, str]]:
    """The part itself, or pieces of it where no line is wide enough; `room` for the first."""
    while cell_len(part.rstrip()) > max(2, room):
        piece = chop_cells(part, max(2, room))[0]
        yield start, piece
        start, part, room = start + len(piece), part[len(piece) :], width
    yield start, part


def long_words_broken(line: str, width: int) -> list[int]:
    """`breaks` of a line in which a word hardly fits; none where breaking at spaces will do."""
    longest = max(map(cell_len, line.split()), default=0)
    return breaks(line, width) if longest > width - SIGN else []


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, each of at most `width` cells."""
    return [part for line in text.split("\n") for part in _divided(line, breaks(line, width))]


def with_paths_broken(text: str, width: int) -> str:
    """The text with ends of lines where a word is too long for one; else as it was."""
    lines = text.split("\n")
    return "\n".join("\n".join(_divided(e, long_words_broken(e, width))) for e in lines)


def _divided(line: str, places: list[int]) -> list[str]:
    return [line[a:b].rstrip() for a, b in pairwise([0, *places, len(line)])]
