"""What the curves are at a chart's cursor, in a box on its other side or beside the cursor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from calisr_tui.charts.axes import value_label
from calisr_tui.charts.plot import Piece, Plot, nearest
from calisr_tui.charts.stack import Stack
from calisr_tui.verbatim import Text

MOST = 1 / 3
"""Of the cells of a plot, those that a box may cover."""


class Value(NamedTuple):
    """What a curve is at some x; its sign tells it from the others without its name."""

    sign: str
    name: str
    said: str
    style: str

    def told(self, named: bool) -> str:
        return f"{self.sign[0]} {self.name} {self.said}" if named else f"{self.sign} {self.said}"


def values_at(
    plots: Sequence[Plot], cursor: float, styles: Mapping[str, str]
) -> dict[float, list[Value]]:
    """The values of all curves with a name, by where they are: single points have an x of theirs.

    The cursor's own x comes first.
    """
    found: dict[float, list[Value]] = {cursor: []}
    for each, line in ((plot, line) for plot in plots for line in plot.lines):
        name, point = line.label or each.name, nearest(line, cursor)
        if name and point is not None:
            at = point[0] if line.marker in ("points", "joined") else cursor
            role = "dim" if line.role == "raw" else line.role  # signs may be faint, letters not
            said = value_label(point[1], line.digits)
            sign = f"{line.glyph}{'→' if line.right else ''}"
            found.setdefault(at, []).append(Value(sign, name, said, styles[role]))
    return found


class Box(NamedTuple):
    """Lines of one width, and where the first of them begins."""

    lines: list[Piece]
    top: int
    left: int


def cursor_box(stack: Stack, whole: Sequence[Plot], styles: Mapping[str, str]) -> Box | None:
    """The box with every value at the cursor, at the end of the plot that is away from it.

    Where it would cover too much of a plot it has no names, which the legend has too. None where
    that is still too much, without a cursor, and of plots with a name: those have `put_values`.

    Args:
        whole: the plots with all their points, where those of the stack have fewer.
    """
    cursor = stack.cursor
    if cursor is None or any(plot.name for plot in whole):
        return None
    found = values_at(whole, cursor, styles)
    for named in (True, False):
        lines = _rimmed(found, styles, named)
        left = _away(stack, len(lines[0][0]))
        top = _top(stack, len(lines), len(lines[0][0]))
        if left is not None and top is not None:
            return Box(lines, top, left)
    return None


def _rimmed(
    found: Mapping[float, Sequence[Value]], styles: Mapping[str, str], named: bool
) -> list[Piece]:
    told: list[Piece] = []
    for at, values in found.items():
        told.append((f"at {at:g}", styles["cursor"]))
        for each in values:
            told.append((each.told(named), each.style))
    wide = max(len(text) for text, _ in told)
    rim = styles["axis"]
    return [
        (f"╭{'─' * (wide + 2)}╮", rim),
        *((f"│ {text:<{wide}} │", style) for text, style in told),
        (f"╰{'─' * (wide + 2)}╯", rim),
    ]


def _away(stack: Stack, wide: int) -> int | None:
    """The first cell of a box on the side away from the cursor; None where it would touch it."""
    (first, after), at = stack.span, stack.cursor_cell
    if at - first > after - 1 - at:
        return first if first + wide < at else None
    return after - wide if after - wide > at + 1 else None


def _top(stack: Stack, high: int, wide: int) -> int | None:
    """The highest line from which a box covers no more of any plot than it may."""
    first, after = stack.span
    fields = stack.fields

    def fits(top: int) -> bool:
        rows = range(top, top + high)
        covered = (
            (max(0, min(rows.stop, each.stop) - max(rows.start, each.start)), len(each))
            for each in fields
        )
        return all(part * wide <= MOST * total * (after - first) for part, total in covered)

    return next(filter(fits, range(fields[-1].stop - high + 1)), None)


def put_box(lines: list[list[Piece]], box: Box, width: int) -> None:
    """Lay the box over the lines."""
    for row, piece in enumerate(box.lines, box.top):
        lines[row] = _laid_over(lines[row], piece, box.left, width)


def put_values(
    lines: list[list[Piece]], stack: Stack, whole: Sequence[Plot], styles: Mapping[str, str]
) -> None:
    """Write the value of each plot with a name beside the cursor, in the plot's own line."""
    at, (first, after) = stack.cursor_cell, stack.span
    for plot, rows in zip(whole, stack.fields, strict=True):
        found = values_at([plot], stack.cursor or 0.0, styles) if plot.name else {}
        for each in (value for values in found.values() for value in values):
            text = f" {each.said} "
            left = at - len(text) if at - first > after - 1 - at else at + 1
            if first <= left and left + len(text) <= after:
                lines[rows.start] = _laid_over(
                    lines[rows.start], (text, each.style), left, stack.width
                )


def values_in_line(
    plots: Sequence[Plot], cursor: float, room: int, styles: Mapping[str, str]
) -> Text:
    """The values at the cursor in one line of `room` cells, for what has no box.

    Names are left out where they do not fit, then single losses, then values of another x.
    Plots with a name have their values beside the cursor.
    """
    labelled = [replace(p, lines=tuple(e for e in p.lines if e.label)) for p in plots]
    smooth = [replace(p, lines=tuple(e for e in p.lines if e.role != "raw")) for p in labelled]
    parts: list[Text] = []
    for some, named in ((labelled, True), (labelled, False), (smooth, False)):
        parts = []
        for at, values in values_at(some, cursor, styles).items():
            part = Text.assemble((f"at {at:g}", styles["cursor"]))
            for each in values:
                part.append(f" {each.told(named)}", each.style)
            parts.append(part)
        if Text("  ").join(parts).cell_len <= room:
            break
    while len(parts) > 1 and Text("  ").join(parts).cell_len > room:
        parts.pop()
    return Text("  ").join(parts)


def _laid_over(line: list[Piece], piece: Piece, start: int, width: int) -> list[Piece]:
    end = start + len(piece[0])
    line = _without_halves(line, start, end)
    before = _cut(line, 0, start)
    missing = start - sum(len(text) for text, _ in before)
    return [*before, (" " * missing, ""), piece, *_cut(line, end, width)]


def _without_halves(line: list[Piece], start: int, end: int) -> list[Piece]:
    """The line without the numbers that go in or out of these cells: half of one is another one."""
    text = "".join(part for part, _ in line)
    for word in re.finditer(r"[\w.,−+-]*\w[\w.,−+-]*", text):
        first, last = word.span()
        if first < start < last or first < end < last:
            blank = [(" " * (last - first), "")]
            line = [*_cut(line, 0, first), *blank, *_cut(line, last, len(text))]
    return line


def _cut(line: list[Piece], start: int, end: int) -> list[Piece]:
    """The pieces of a line between two cells; every sign of a chart is one cell wide."""
    found, at = [], 0
    for text, style in line:
        part = text[max(0, start - at) : max(0, end - at)]
        if part:
            found.append((part, style))
        at += len(text)
    return found
