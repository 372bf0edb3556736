"""Axes of a plot: their limits, round ticks, and what the ticks say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from calisr_engine.plain_words import shown
from calisr_tui.charts.plot import Line, Plot


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
class Axis:
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
class Axes:
    """Of one plot; `rows` are the lines above its x axis."""

    x: Axis | None
    sides: tuple[Axis | None, Axis | None]
    rows: int = 0

    def widest(self, side: int) -> int:
        axis = self.sides[side]
        return max((len(label) for label in axis.labels), default=0) if axis is not None else 0


def axes_of(plot: Plot, width: int, height: int) -> Axes:
    if not plot.has_data:
        return Axes(None, (None, None))
    labelled = plot.x_labels and height - AXIS_LINES >= (1 if plot.name else LEAST_ROWS)
    rows = height - AXIS_LINES * labelled
    left = [line for line in plot.lines if not line.right and line.x]
    right = [line for line in plot.lines if line.right and line.x]
    return Axes(
        _x_axis(plot, width, labelled),
        (
            _y_axis(left, plot.y_range, plot.log_y, rows, plot.unit, plot.name),
            _y_axis(right, plot.right_range, False, rows),
        ),
        rows,
    )


def _x_axis(plot: Plot, width: int, labelled: bool) -> Axis:
    xs = [x for line in plot.lines for x in line.x]
    low, high = plot.x_range or (min(xs), max(xs))
    if plot.x_names:
        count = len(plot.x_names)
        room = max(3, (width - 8) // count - 1)
        names = [shown(name)[:room] for name in plot.x_names]
        some = max(1, -(-count * 4 // max(1, width - 8)))  # of many names that are cut, some
        return Axis((-0.5, count - 0.5), list(range(0, count, some)), names[::some])
    if high <= low:  # a single point stands in the middle
        low, high = (low / 2, 1.5 * low) if low > 0 else (low, low + 1)
    if not labelled:
        return Axis((low, high), [], [])
    places = ticks(low, high, max(3, width // 11))
    return Axis((low, high), places, _tick_labels(places))


def _y_axis(
    lines: Sequence[Line],
    fixed: tuple[float | None, float | None],
    log: bool,
    rows: int,
    unit: str = "",
    name: str = "",
) -> Axis | None:
    limits = _limits(lines, fixed, log)
    if limits is None:
        return None
    low, high = limits
    if log:
        places = _log_ticks(low, high, max(3, rows // 2))
        ends = math.log10(low), math.log10(high)
        return Axis(ends, [math.log10(v) for v in places], [f"{v:.2g}" for v in places], True)
    if name:
        return Axis(limits, [(low + high) / 2], [shown(name).strip() or "?"])
    places = ticks(low, high, max(3, rows // 3))
    return Axis(limits, places, _tick_labels(places, unit))


def _tick_labels(places: list[float], unit: str = "") -> list[str]:
    step = places[1] - places[0] if len(places) > 1 else 1
    return [tick_label(place, step, unit) for place in places]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    whole = [10.0**e for e in exponents if low <= 10.0**e <= high]
    if len(fine) > most and len(whole) > 2:
        fine = whole
    return fine if len(fine) > 2 else [each for each in ticks(low, high, 3) if each > 0]
