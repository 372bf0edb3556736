"""What a chart shows (`Plot`) and drawing it with plotext (`draw`): text, no widget."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Literal

from calisr_engine.plain_words import shown
from calisr_tui.charts.roles import ROLES
from calisr_tui.verbatim import Text

Marker = Literal["line", "dots", "points", "joined", "steps"]


@dataclass(frozen=True)
class Line:
    """One series of a plot.

    Attributes:
        role: whose colour it has.
        marker: line (braille), dots (faint single dots), points (one glyph each), joined (points
            on a line), steps.
        glyph: of `points` and `joined`, and of the legend.
        label: its name in the legend and in the cursor's box ("" for neither).
        right: drawn against the right axis.
        digits: significant digits in the cursor's box and at the curve's end.
        end: whether the last value stands at the curve's end.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    role: str
    marker: Marker = "line"
    glyph: str = "━"
    label: str = ""
    right: bool = False
    digits: int = 4
    end: bool = False


@dataclass(frozen=True)
class Plot:
    """One chart.

    Attributes:
        marks: vertical lines at x, such as switches.
        levels: horizontal lines at y on the left axis.
        x_range, y_range: fixed limits, else those of the data.
        x_names: what stands at x = 0, 1, ... instead of numbers.
        weight: share of the height among stacked plots.
        unit: added to the tick labels of the left axis.
        name: stands at the left axis in the place of numbers.
    """

    lines: tuple[Line, ...] = ()
    marks: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()
    cursor: float | None = None
    x_range: tuple[float, float] | None = None
    y_range: tuple[float | None, float | None] = (None, None)
    right_range: tuple[float | None, float | None] = (None, None)
    log_y: bool = False
    weight: int = 1
    unit: str = ""
    x_labels: bool = True
    x_names: tuple[str, ...] = ()
    name: str = ""
    empty: str = "nothing yet"

    @property
    def has_data(self) -> bool:
        return any(line.x for line in self.lines)


def thin(x: Sequence[float], y: Sequence[float], limit: int) -> tuple[tuple[float, ...], ...]:
    """At most about `limit` points that keep each stretch's lowest and highest value."""
    if len(x) <= limit:
        return tuple(x), tuple(y)
    stride = math.ceil(2 * len(x) / limit)
    keep: set[int] = {0, len(x) - 1}
    for start in range(0, len(x), stride):
        stretch = range(start, min(start + stride, len(x)))
        keep.add(min(stretch, key=y.__getitem__))
        keep.add(max(stretch, key=y.__getitem__))
    order = sorted(keep)
    return tuple(x[i] for i in order), tuple(y[i] for i in order)


def smooth(y: Sequence[float], factor: float) -> list[float]:
    """Exponential moving average, corrected for its start; `factor` 0 changes nothing."""
    average, weight, result = 0.0, 0.0, []
    for value in y:
        average = factor * average + (1 - factor) * value
        weight = factor * weight + (1 - factor)
        result.append(average / weight)
    return result


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values between two limits, about `most` of them, and three at least."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low or most < 1:
        return [low]
    for wanted in range(most, most + 8):
        raw = (high - low) / wanted
        scale = 10.0 ** math.floor(math.log10(raw))
        step = next(s * scale for s in (1, 2, 2.5, 5, 10, 20) if s * scale >= raw)
        first = math.ceil(low / step - 1e-9)
        found = [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
        if len(found) > 2:
            return found
    return [low, (low + high) / 2, high]


def tick_label(value: float, step: float, unit: str = "") -> str:
    """A tick's value with no more digits than its spacing needs."""
    if value == 0:
        return f"0{unit}"
    if abs(value) >= 1e5 or abs(step) < 1e-3:
        return f"{_scientific(value)}{unit}"
    digits = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 2
    if step and round(step * 10**digits, 9) % 1:
        digits += 1
    return f"{value:.{digits}f}{unit}"


def _scientific(value: float) -> str:
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def value_label(value: float, digits: int) -> str:
    """A value in a few cells: 0.693, 4.3e-4."""
    return _scientific(value) if 0 < abs(value) < 1e-3 else f"{value:.{digits}g}"


def nearest(line: Line, x: float) -> tuple[float, float] | None:
    """The point of a line that is nearest to x."""
    if not line.x:
        return None
    index = min(range(len(line.x)), key=lambda i: abs(line.x[i] - x))
    return line.x[index], line.y[index]


Piece = tuple[str, str]
"""Characters of one line, and their style ("" for the plain one)."""


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
) -> list[list[Piece]]:
    """Stacked charts as `height` lines of at most `width` cells.

    Args:
        gutter: cells for labels at the left and the right axis at least; all plots of the stack
            have those of the widest labels, so that a value of x stands in one column.
    """
    if width < 12 or height < 3:
        return [[("…", styles["dim"])]]
    rows = _share_out(plots, height)
    axes = [_axes(plot, width, max(1, each)) for plot, each in zip(plots, rows, strict=True)]
    room = (
        max(gutter[0], *(each.widest(0) for each in axes)),
        max(gutter[1], *(each.widest(1) for each in axes)),
    )
    lines: list[list[Piece]] = []
    for plot, each, high in zip(plots, axes, rows, strict=True):
        if plot.has_data and high > 0:
            part = _decode(_paint(plot, each, width, high, room), styles)
            if each.sides[0] is None:
                part = [[(" " * room[0], ""), *line] for line in part]
        else:
            part = [[] for _ in range(max(0, high - 1) // 2)]
            part.append([(plot.empty.center(width).rstrip(), styles["dim"])])
        lines += part + [[] for _ in range(high - len(part))]
    if len(plots) == 1:
        while lines and not lines[-1]:
            lines.pop()
    cursor = next((p.cursor for p in plots if p.cursor is not None), None)
    if cursor is not None and axes[0].x is not None:
        begin, end = axes[0].x.limits
        inner = width - room[0] - 1 - (room[1] + 1 if room[1] else 0)
        at = room[0] + 1 + round((cursor - begin) / (end - begin) * (inner - 1))
        _put_box(lines, cursor_box(plots, cursor, styles), at, width)
    return lines


def _share_out(plots: Sequence[Plot], height: int) -> list[int]:
    """Lines of each plot of a stack: by weight, after what the axis below the last one takes."""
    below = AXIS_LINES if len(plots) > 1 and plots[-1].x_labels else 0
    weights = sum(plot.weight for plot in plots)
    rows = [max(1, (height - below) * plot.weight // weights) for plot in plots]
    for more in range(height - below - sum(rows)):
        rows[more % len(rows)] += 1
    rows[-1] += below
    return rows


def cursor_box(plots: Sequence[Plot], cursor: float, styles: Mapping[str, str]) -> list[Piece]:
    """The lines of the box beside the cursor, equally wide: where it is, and every value there."""
    found = [(f"at {cursor:g}", styles["cursor"])]
    for each, line in ((plot, line) for plot in plots for line in plot.lines):
        name, point = line.label or each.name, nearest(line, cursor)
        if name and point is not None:
            said = value_label(point[1], line.digits)
            if line.marker in ("points", "joined") and point[0] != cursor:
                said += f" (at {point[0]:g})"
            found.append((f"{line.glyph} {name} {said}", styles[line.role]))
    wide = max(len(text) for text, _ in found)
    rim = styles["axis"]
    return [
        (f"╭{'─' * (wide + 2)}╮", rim),
        *((f"│ {text:<{wide}} │", style) for text, style in found),
        (f"╰{'─' * (wide + 2)}╯", rim),
    ]


def _put_box(lines: list[list[Piece]], box: list[Piece], cursor: int, width: int) -> None:
    """Lay the box over the lines, right of the cursor's column where there is room, else left."""
    wide = len(box[0][0])
    start = cursor + 2 if cursor + 2 + wide <= width else max(0, cursor - 1 - wide)
    if len(box) > len(lines):
        box = box[1 : len(lines) + 1]
    for row, piece in enumerate(box):
        before = _cut(lines[row], 0, start)
        missing = start - sum(len(text) for text, _ in before)
        after = _cut(lines[row], start + wide, width)
        lines[row] = [*before, (" " * missing, ""), piece, *after]


def _cut(line: list[Piece], start: int, end: int) -> list[Piece]:
    """The pieces of a line between two cells; every sign of a chart is one cell wide."""
    found, at = [], 0
    for text, style in line:
        part = text[max(0, start - at) : max(0, end - at)]
        if part:
            found.append((part, style))
        at += len(text)
    return found


def _limits(
    lines: Sequence[Line], fixed: tuple[float | None, float | None], log: bool
) -> tuple[float, float] | None:
    values = [y for line in lines for y in line.y if not log or y > 0]
    if not values:
        return None
    low = min(values) if fixed[0] is None else fixed[0]
    high = max(values) if fixed[1] is None else fixed[1]
    if high <= low:
        pad = abs(low) * 0.05 or 0.5
        low, high = low - pad, high + pad
    elif not log:
        pad = 0.04 * (high - low)
        low = low - pad if fixed[0] is None else low
        high = high + pad if fixed[1] is None else high
    return low, high


AXIS_LINES = 2
"""Lines of an x axis with its labels."""

LEAST_ROWS = 4
"""Lines below which a plot does without its x axis."""


@dataclass(frozen=True)
class _Axis:
    """Limits of one axis (logarithms where `log`), its ticks and what they say."""

    limits: tuple[float, float]
    places: list[float]
    labels: list[str]
    log: bool = False

    def holds(self, value: float) -> bool:
        if self.log:
            return value > 0 and self.limits[0] <= math.log10(value) <= self.limits[1]
        return self.limits[0] <= value <= self.limits[1]

    def at(self, value: float) -> float:
        return math.log10(value) if self.log else value


@dataclass(frozen=True)
class _Axes:
    """Of one plot; `rows` are the lines above its x axis."""

    x: _Axis | None
    sides: tuple[_Axis | None, _Axis | None]
    rows: int = 0

    def widest(self, side: int) -> int:
        axis = self.sides[side]
        return max((len(label) for label in axis.labels), default=0) if axis is not None else 0


def _axes(plot: Plot, width: int, height: int) -> _Axes:
    if not plot.has_data:
        return _Axes(None, (None, None))
    labelled = plot.x_labels and height - AXIS_LINES >= (1 if plot.name else LEAST_ROWS)
    rows = height - AXIS_LINES * labelled
    left = [line for line in plot.lines if not line.right and line.x]
    right = [line for line in plot.lines if line.right and line.x]
    return _Axes(
        _x_axis(plot, width, labelled),
        (
            _y_axis(left, plot.y_range, plot.log_y, rows, plot.unit, plot.name),
            _y_axis(right, plot.right_range, False, rows),
        ),
        rows,
    )


def _x_axis(plot: Plot, width: int, labelled: bool) -> _Axis:
    xs = [x for line in plot.lines for x in line.x]
    low, high = plot.x_range or (min(xs), max(xs))
    if plot.x_names:
        count = len(plot.x_names)
        room = max(3, (width - 8) // count - 1)
        names = [shown(name)[:room] for name in plot.x_names]
        return _Axis((-0.5, count - 0.5), list(range(count)), names)
    if high <= low:
        high = low + 1
    if not labelled:
        return _Axis((low, high), [], [])
    places = ticks(low, high, max(3, width // 11))
    return _Axis((low, high), places, _tick_labels(places))


def _y_axis(
    lines: Sequence[Line],
    fixed: tuple[float | None, float | None],
    log: bool,
    rows: int,
    unit: str = "",
    name: str = "",
) -> _Axis | None:
    limits = _limits(lines, fixed, log)
    if limits is None:
        return None
    low, high = limits
    if log:
        places = _log_ticks(low, high, max(3, rows // 2))
        ends = math.log10(low), math.log10(high)
        return _Axis(ends, [math.log10(v) for v in places], [f"{v:.2g}" for v in places], True)
    if name:
        return _Axis(limits, [(low + high) / 2], [shown(name).strip() or "?"])
    places = ticks(low, high, max(3, rows // 3))
    return _Axis(limits, places, _tick_labels(places, unit))


def _tick_labels(places: list[float], unit: str = "") -> list[str]:
    step = places[1] - places[0] if len(places) > 1 else 1
    return [tick_label(place, step, unit) for place in places]


def _paint(plot: Plot, axes: _Axes, width: int, height: int, gutter: tuple[int, int]) -> str:
    """ANSI output of plotext; colour number n stands for ROLES[n - 1]."""
    import plotext

    assert axes.x is not None
    left, right = axes.sides
    room = width - (0 if right or not gutter[1] else gutter[1] + 1) - (0 if left else gutter[0])
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
        figure.ruler("y", "left").ticks(left.places, labels)
    if right is not None:
        figure.ruler("y", "right").lim(*right.limits)
        labels = [label.ljust(gutter[1]) for label in right.labels]
        figure.ruler("y", "right").ticks(right.places, labels)

    for x in plot.marks:
        if axes.x.holds(x):
            figure.line(x, orientation="vertical", pixel=pixel("mark"))
    for y in plot.levels:
        figure.line(y, orientation="horizontal", pixel=pixel("axis"))
    ends: list[tuple[Line, _Axis, float, float]] = []
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
    canvas = room - (gutter[0] if left else 0) - 1 - (gutter[1] + 1 if right else 0)
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
    ends: Sequence[tuple[Line, _Axis, float, float]], x: _Axis, width: int, rows: int
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


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    whole = [10.0**e for e in exponents if low <= 10.0**e <= high]
    if len(fine) > most and len(whole) > 2:
        fine = whole
    return fine if len(fine) > 2 else [each for each in ticks(low, high, 3) if each > 0]


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


def thinned(line: Line, limit: int) -> Line:
    """The line with at most about `limit` points."""
    x, y = thin(line.x, line.y, limit)
    return replace(line, x=x, y=y)
