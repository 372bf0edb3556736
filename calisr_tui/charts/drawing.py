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

Marker = Literal["line", "dots", "points", "steps"]


@dataclass(frozen=True)
class Line:
    """One series of a plot.

    Attributes:
        role: whose colour it has.
        marker: line (braille), dots (faint single dots), points (one glyph each), steps.
        glyph: of `points`, and of the legend.
        label: its name in the legend and beside the cursor ("" for neither).
        right: drawn against the right axis.
        digits: significant digits beside the cursor.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    role: str
    marker: Marker = "line"
    glyph: str = "━"
    label: str = ""
    right: bool = False
    digits: int = 4


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
    """Round values between two limits, about `most` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low or most < 1:
        return [low]
    for wanted in range(most, most + 5):
        raw = (high - low) / wanted
        scale = 10.0 ** math.floor(math.log10(raw))
        step = next(s * scale for s in (1, 2, 2.5, 5, 10, 20) if s * scale >= raw)
        first = math.ceil(low / step - 1e-9)
        found = [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
        if len(found) > 1:
            return found
    return [low, high]


def tick_label(value: float, step: float, unit: str = "") -> str:
    """A tick's value with no more digits than its spacing needs."""
    if value == 0:
        return f"0{unit}"
    if abs(value) >= 1e5 or abs(step) < 1e-4:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}{unit}"
    digits = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 2
    if step and round(step * 10**digits, 9) % 1:
        digits += 1
    return f"{value:.{digits}f}{unit}"


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
    lines = draw_lines(plot, width, height, styles)
    text = Text("\n", no_wrap=True).join(Text.assemble(*line) for line in lines)
    text.no_wrap = True
    return text


def draw_lines(plot: Plot, width: int, height: int, styles: Mapping[str, str]) -> list[list[Piece]]:
    """The chart as `height` lines of at most `width` cells."""
    if width < 12 or height < 3:
        return [[("…", styles["dim"])]]
    if not plot.has_data:
        above = max(0, height - 1) // 2
        return [[] for _ in range(above)] + [[(plot.empty.center(width).rstrip(), styles["dim"])]]
    return _decode(_paint(plot, width, height), styles)


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


def _paint(plot: Plot, width: int, height: int) -> str:
    """ANSI output of plotext; colour number n stands for ROLES[n - 1]."""
    import plotext

    plotext.terminal.limit(False, False)
    figure: Any = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.canvas("default")
    figure.legend(False)

    def pixel(role: str) -> Any:
        return plotext.pixel(ROLES.index(role) + 1)

    left = [line for line in plot.lines if not line.right]
    right = [line for line in plot.lines if line.right and line.x]
    axis = pixel("axis")
    for name, side in (("x", "upper"), ("y", "right"), ("x", "lower"), ("y", "left")):
        figure.axes(name == "y" and side == "left", axis=name, side=side, pixel=axis)
        figure.ruler(name, side).pixel(axis)
    figure.axes(plot.x_labels, axis="x", side="lower", pixel=axis)

    xs = [x for line in plot.lines for x in line.x]
    x_low, x_high = plot.x_range or (min(xs), max(xs))
    if plot.x_names:
        x_low, x_high = -0.5, len(plot.x_names) - 0.5
    if x_high <= x_low:
        x_high = x_low + 1
    figure.ruler("x", "lower").lim(x_low, x_high)
    if plot.x_names:
        room = max(3, (width - 8) // len(plot.x_names) - 1)
        figure.ruler("x", "lower").ticks(
            list(range(len(plot.x_names))), [shown(name)[:room] for name in plot.x_names]
        )
    elif plot.x_labels:
        places = ticks(x_low, x_high, max(2, width // 11))
        step = places[1] - places[0] if len(places) > 1 else 1
        figure.ruler("x", "lower").ticks(places, [tick_label(p, step) for p in places])
    else:
        figure.ruler("x", "lower").ticks([], [])
    rows = height - (2 if plot.x_labels else 0)
    seen: dict[bool, tuple[float, float]] = {}
    for side, lines, fixed in (
        ("left", left, plot.y_range),
        ("right", right, plot.right_range),
    ):
        log = plot.log_y and side == "left"
        limits = _limits(lines, fixed, log)
        if limits is None:
            if side == "left":
                figure.ruler("y", side).ticks([], [])
            continue
        low, high = seen[side == "right"] = limits
        if log:
            values = _log_ticks(low, high, max(2, rows // 2))
            places, labels = [math.log10(v) for v in values], [f"{v:.2g}" for v in values]
            low, high = math.log10(low), math.log10(high)
        else:
            places = ticks(low, high, max(2, rows // 3))
            step = places[1] - places[0] if len(places) > 1 else 1
            unit = plot.unit if side == "left" else ""
            labels = [tick_label(p, step, unit) for p in places]
        figure.ruler("y", side).lim(low, high)
        figure.ruler("y", side).ticks(places, labels)

    for x in plot.marks:
        if x_low <= x <= x_high:
            figure.line(x, orientation="vertical", pixel=pixel("mark"))
    for y in plot.levels:
        figure.line(y, orientation="horizontal", pixel=pixel("axis"))
    for line in plot.lines:
        points = [
            (x, y)
            for x, y in zip(line.x, line.y, strict=True)
            if (not plot.log_y or y > 0 or line.right)
            # plotext would go all the way to points far outside
            and x_low <= x <= x_high
            and seen[line.right][0] <= y <= seen[line.right][1]
        ]
        if not points:
            continue
        log = plot.log_y and not line.right
        across = [x for x, _ in points]
        up = [math.log10(y) if log else y for _, y in points]
        if line.marker == "steps":
            across, up = _staircase(across, up)
        glyph = line.glyph if line.marker == "points" else "braille"
        signal = figure.signal(
            across,
            up,
            marker=plotext.marker(glyph, pixel(line.role)),
            yside="right" if line.right else "left",
        )
        signal.lines(line.marker in ("line", "steps"))
        figure.draw(signal)
    if plot.cursor is not None and x_low <= plot.cursor <= x_high:
        figure.line(plot.cursor, orientation="vertical", pixel=pixel("cursor"))
    return str(figure.build().string())


def _staircase(x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    xs, ys = x[:1], y[:1]
    for before, now, value in zip(y, x[1:], y[1:], strict=False):
        xs += [now, now]
        ys += [before, value]
    return xs, ys


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    if len(fine) > most:
        fine = [10.0**e for e in exponents if low <= 10.0**e <= high]
    return fine or [low, high]


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
