"""The box beside a chart's cursor, with every value there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from calisr_tui.charts.axes import value_label
from calisr_tui.charts.plot import Piece, Plot, nearest


def cursor_box(plots: Sequence[Plot], cursor: float, styles: Mapping[str, str]) -> list[Piece]:
    """The lines of the box beside the cursor, equally wide: where it is, and every value there."""
    found = [(f"at {cursor:g}", styles["cursor"])]
    for each, line in ((plot, line) for plot in plots for line in plot.lines):
        name, point = line.label or each.name, nearest(line, cursor)
        if name and point is not None:
            said = value_label(point[1], line.digits)
            if line.marker in ("points", "joined") and point[0] != cursor:
                said += f" (at {point[0]:g})"
            role = "dim" if line.role == "raw" else line.role  # signs may be faint, letters not
            found.append((f"{line.glyph} {name} {said}", styles[role]))
    wide = max(len(text) for text, _ in found)
    rim = styles["axis"]
    return [
        (f"╭{'─' * (wide + 2)}╮", rim),
        *((f"│ {text:<{wide}} │", style) for text, style in found),
        (f"╰{'─' * (wide + 2)}╯", rim),
    ]


def put_box(lines: list[list[Piece]], box: list[Piece], cursor: int, width: int) -> None:
    """Lay the box over the lines, right of the cursor's column where there is room, else left.

    A box that is wider than the chart is left out.
    """
    wide = len(box[0][0])
    if wide > width:
        return
    start = cursor + 2 if cursor + 2 + wide <= width else max(0, cursor - 1 - wide)
    if len(box) > len(lines):
        box = box[1 : len(lines) + 1]
    for row, piece in enumerate(box):
        lines[row] = _without_halves(lines[row], start, start + wide)
        before = _cut(lines[row], 0, start)
        missing = start - sum(len(text) for text, _ in before)
        after = _cut(lines[row], start + wide, width)
        lines[row] = [*before, (" " * missing, ""), piece, *after]


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
