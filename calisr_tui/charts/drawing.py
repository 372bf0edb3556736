"""Drawing plots with plotext: text, no widget."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from calisr_tui.charts.axes import Axes, Axis, value_label
from calisr_tui.charts.cursor import cursor_box, put_box, put_values
from calisr_tui.charts.plot import Line, Piece, Plot
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.stack import drawable, stacked
from calisr_tui.verbatim import Text


def append_cells(text: Text, cells: Iterable[Piece]) -> None:
    """Append signs with their styles, a run of equal style as one span: spans cost time to draw."""
    for style, run in itertools.groupby(cells, key=itemgetter(1)):
        text.append("".join(sign for sign, _ in run), style)


def draw(plot: Plot, width: int, height: int, styles: Mapping[str, str]) -> Text:
    """The chart as text of `width` x `height` cells."""
    lines = draw_lines([plot], width, height, styles)
    text = Text("\n", no_wrap=True).join(Text.assemble(*line) for line in lines)
    text.no_wrap = True
    return text


def draw_lines(
    plots: Sequence[Plot],
    width: int,
    height: int,
    styles: Mapping[str, str],
    gutter: tuple[int, int] = (0, 0),
    whole: Sequence[Plot] = (),
) -> list[list[Piece]]:
    """Stacked charts as `height` lines of at most `width` cells.

    Args:
        gutter: cells for labels at the left and the right axis at least.
        whole: the plots with all their points, for the cursor's box, where these have fewer.
    """
    if not drawable(width, height):
        return [[("…", styles["dim"])]]
    stack = stacked(plots, width, height, gutter)
    lines: list[list[Piece]] = []
    for plot, each, high in zip(plots, stack.axes, stack.lines, strict=True):
        if plot.has_data and high > 0:
            part = _decode(_paint(plot, each, width, high, stack.gutter), styles)
            if not each.widest(0):
                part = [[(" " * stack.gutter[0], ""), *line] for line in part]
        else:
            said = textwrap.wrap(plot.empty, width, max_lines=max(1, high), placeholder=" …")
            part = [[] for _ in range(max(0, high - len(said)) // 2)]
            part += [[(line.center(width).rstrip(), styles["dim"])] for line in said]
        lines += part + [[] for _ in range(high - len(part))]
    if stack.cursor is not None:
        box = cursor_box(stack, whole or plots, styles)
        if box is not None:
            put_box(lines, box, width)
        else:
            put_values(lines, stack, whole or plots, styles)
    if len(plots) == 1:
        while lines and not lines[-1]:
            lines.pop()
    return lines


def _paint(plot: Plot, axes: Axes, width: int, height: int, gutter: tuple[int, int]) -> str:
    """ANSI output of plotext; colour number n stands for ROLES[n - 1]."""
    import plotext

    assert axes.x is not None
    left, right = axes.sides
    numbers = axes.widest(0), axes.widest(1)  # cells of labels that there are
    room = width - (0 if right or not gutter[1] else gutter[1] + 1)
    room -= (0 if numbers[0] else gutter[0]) + (gutter[1] if right and not numbers[1] else 0)
    plotext.terminal.limit(False, False)
    figure: Any = plotext.figure
    figure.clear()
    figure.plot_size(room, height)
    figure.canvas("default")
    figure.legend(False)

    def pixel(role: str) -> Any:
        return plotext.pixel(ROLES.index(role) + 1)

    shown_axes = {
        "lower": axes.rows < height,
        "upper": False,
        "left": True,
        "right": right is not None,
    }
    for side, seen in shown_axes.items():
        name = "y" if side in ("left", "right") else "x"
        ink = "axis"
        if side == "right" and right is not None:  # in the colour of what it measures
            ink = next(line.role for line in plot.lines if line.right and line.x)
        figure.axes(seen, axis=name, side=side, pixel=pixel("axis"))
        figure.ruler(name, side).pixel(pixel(ink))
    figure.ruler("x", "lower").lim(*axes.x.limits)
    figure.ruler("x", "lower").ticks(axes.x.places, axes.x.labels)
    if left is None:  # nothing but its line, in the column of the others
        figure.ruler("y", "left").lim(0, 1)
        figure.ruler("y", "left").ticks([], [])
    else:
        figure.ruler("y", "left").lim(*left.limits)
        labels = [label.rjust(gutter[0]) for label in left.labels]
        figure.ruler("y", "left").ticks(left.places if labels else [], labels)
    if right is not None:
        figure.ruler("y", "right").lim(*right.limits)
        labels = [label.ljust(gutter[1]) for label in right.labels]
        figure.ruler("y", "right").ticks(right.places if labels else [], labels)

    for x in plot.marks:
        if axes.x.holds(x):
            figure.line(x, orientation="vertical", pixel=pixel("mark"))
    for y in plot.levels:
        figure.line(y, orientation="horizontal", pixel=pixel("axis"))
    ends: list[tuple[Line, Axis, float, float]] = []
    for line in plot.lines:
        axis = right if line.right else left
        points = [
            (x, axis.at(y))
            for x, y in zip(line.x, line.y, strict=True)
            # plotext would go all the way to points far outside
            if axis is not None and axes.x.holds(x) and axis.holds(y)
        ]
        if not points or axis is None:
            continue
        across, up = [x for x, _ in points], [y for _, y in points]
        if line.end:
            ends.append((line, axis, across[-1], up[-1]))
        if line.marker == "steps":
            across, up = _staircase(across, up)
        yside = "right" if line.right else "left"
        for glyph, joins in _STROKES[line.marker]:
            signal = figure.signal(
                across,
                up,
                marker=plotext.marker(glyph or line.glyph, pixel(line.role)),
                yside=yside,
            )
            signal.lines(joins)
            figure.draw(signal)
    canvas = room - (gutter[0] if numbers[0] else 0) - 1
    canvas -= (gutter[1] * bool(numbers[1]) + 1) if right else 0
    for text, role, x, y, yside in _end_labels(ends, axes.x, canvas, axes.rows):
        figure.draw(figure.text(x, y, plotext.colorize(text, pixel(role)), yside=yside))
    if plot.cursor is not None and axes.x.holds(plot.cursor):
        figure.line(plot.cursor, orientation="vertical", pixel=pixel("cursor"))
    return str(figure.build().string())


_STROKES: dict[str, tuple[tuple[str, bool], ...]] = {
    "line": (("braille", True),),
    "steps": (("braille", True),),
    "dots": (("braille", False),),
    "points": (("", False),),
    "joined": (("braille", True), ("", False)),
}
"""Marker -> what is drawn one over the other: glyph ("" for the line's own), whether it joins."""


def _end_labels(
    ends: Sequence[tuple[Line, Axis, float, float]], x: Axis, width: int, rows: int
) -> list[tuple[str, str, float, float, str]]:
    """(text, role, x, y, side) of the last value of each curve.

    It stands right of the curve's end; where there is no room, a row above or below the end. No two
    share a row.
    """
    found: list[tuple[str, str, float, float, str]] = []
    taken: set[int] = set()
    low, high = x.limits
    for line, axis, across, up in ends:
        text = f" {value_label(line.y[-1], line.digits)}"
        column = round((across - low) / (high - low) * (width - 1))
        bottom, top = axis.limits
        row = round((top - up) / (top - bottom) * (rows - 1))
        fits = column + 1 + len(text) <= width
        order = [row, row - 1, row + 1] if fits else [row - 1, row + 1]
        free = [each for each in order if 0 <= each < rows and each not in taken]
        if not free or len(text) > width:
            continue
        taken.add(free[0])
        start = column + 1 if fits else width - len(text)
        found.append(
            (
                text,
                line.role,
                low + start / max(1, width - 1) * (high - low),
                top - free[0] / max(1, rows - 1) * (top - bottom),
                "right" if line.right else "left",
            )
        )
    return found


def _staircase(x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    xs, ys = x[:1], y[:1]
    for before, now, value in zip(y, x[1:], y[1:], strict=False):
        xs += [now, now]
        ys += [before, value]
    return xs, ys


_SEQUENCE = re.compile(r"\x1b\[([0-9;]*)m")


def _decode(ansi: str, styles: Mapping[str, str]) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    style = ""
    position = 0

    def put(text: str) -> None:
        first, *rest = text.split("\n")
        for number, part in enumerate((first, *rest)):
            if number:
                lines.append([])
            if part:
                lines[-1].append((part, style))

    for match in _SEQUENCE.finditer(ansi):
        put(ansi[position : match.start()])
        position = match.end()
        codes = match[1].split(";")
        if codes[:2] == ["38", "5"] and 1 <= int(codes[2]) <= len(ROLES):
            style = styles[ROLES[int(codes[2]) - 1]]
        elif match[1] in ("", "0"):
            style = ""
    put(ansi[position:].rstrip("\n"))
    return lines
