"""Axes of a plot: their limits, round ticks, and what the ticks say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from calisr_engine.plain_words import shown
from calisr_tui.charts.plot import Line, Plot

TINY = 1e-290
"""Numbers nearer to zero are drawn as zero: what is computed with them is no longer exact."""

FLAT = 1e-12
"""Values that differ by less, as a share of the largest, are drawn as one."""


def spread(low: float, high: float) -> bool:
    """Whether two limits are far enough apart for an axis."""
    return high - low > max(TINY, FLAT * max(abs(low), abs(high)))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values between two limits, about `most` of them, and three at least."""
    if not (math.isfinite(low) and math.isfinite(high) and spread(low, high)) or most < 1:
        return [low]
    for wanted in range(most, most + 8):
        raw = (high - low) / wanted
        scale = 10.0 ** math.floor(math.log10(raw))
        step = next(s * scale for s in (1, 2, 2.5, 5, 10, 20) if s * scale >= raw)
        first = math.ceil(low / step - 1e-9)
        digits = 3 - math.floor(math.log10(step))
        found = [round(i * step, digits) for i in range(first, math.floor(high / step + 1e-9) + 1)]
        if len(found) > 2:
            return found
    return [low, (low + high) / 2, high]


def _tick_label(value: float, step: float) -> str:
    """A tick's value with no more digits than its spacing needs."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(step) < 1e-3:
        return _scientific(value)
    digits = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 2
    if step and round(step * 10**digits, 9) % 1:
        digits += 1
    return f"{value:.{digits}f}"


def tick_labels(places: Sequence[float], unit: str = "") -> list[str]:
    """What the ticks of an axis say: as few digits as tell them apart."""
    step = min((b - a for a, b in pairwise(places)), default=1.0)

    def exact(labels: list[str]) -> bool:
        pairs = zip(labels, places, strict=True)
        return all(abs(float(label) - place) <= step / 20 for label, place in pairs)

    large = max(map(abs, places), default=0.0)
    forms = [[_tick_label(each, step) for each in places]]
    if 1e-3 <= large < 1e7:
        forms += [["0" if not v else f"{v:.{n}f}" for v in places] for n in range(13)]
    forms += [["0" if not v else _scientific(v, n) for v in places] for n in range(2, 17)]
    found = next((form for form in forms if exact(form)), forms[-1])
    return [f"{label}{unit}" for label in found]


def _scientific(value: float, digits: int = 1) -> str:
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def value_label(value: float, digits: int) -> str:
    """A value in a few cells: 0.693, 4.3e-4."""
    return _scientific(value) if 0 < abs(value) < 1e-3 else f"{value:.{digits}g}"


def _limits(
    lines: Sequence[Line], fixed: tuple[float | None, float | None], log: bool
) -> tuple[float, float] | None:
    values = [y for line in lines for y in line.y if math.isfinite(y) and (not log or y > TINY)]
    if not values:
        return None
    low, high = min(values), max(values)
    if fixed[0] is not None and math.isfinite(fixed[0]) and (not log or fixed[0] > TINY):
        low = fixed[0]
    if fixed[1] is not None and math.isfinite(fixed[1]):
        high = fixed[1]
    if not spread(low, high):
        pad = abs(low) * 0.05 if abs(low) > TINY else 0.5
        low, high = low - pad, low + pad
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
            return value > TINY and self.limits[0] <= math.log10(value) <= self.limits[1]
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

    def without_wide_labels(self, *cells: int) -> Axes:
        """Without the labels of a side that do not fit; half a number would be another one."""
        left, right = (
            replace(axis, labels=[]) if axis is not None and self.widest(side) > room else axis
            for side, (axis, room) in enumerate(zip(self.sides, cells, strict=True))
        )
        return replace(self, sides=(left, right))


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
    if not spread(low, high) and spread(low / 2, 1.5 * low):  # a single point stands in the middle
        low, high = sorted((low / 2, 1.5 * low))
    elif not spread(low, high):
        high = low + 1.0
    if plot.x_names:
        count = len(plot.x_names)
        room = max(3, (width - 8) // count - 1)
        names = [shown(name)[:room] for name in plot.x_names]
        some = max(1, -(-count * 4 // max(1, width - 8)))  # of many names that are cut, some
        return Axis((-0.5, count - 0.5), list(range(0, count, some)), names[::some])
    if not labelled:
        return Axis((low, high), [], [])
    most = max(3, width // 11)
    whole = all(x == round(x) for x in xs if math.isfinite(x))
    places = (_whole_ticks(low, high, most) if whole else []) or ticks(low, high, most)
    return Axis((low, high), places, tick_labels(places))


def _whole_ticks(low: float, high: float, most: int) -> list[float]:
    """Ticks for what is counted: there is no step 1.5. None where there are fewer than two."""
    for wanted in range(most, most + 8):
        found = [each for each in ticks(low, high, wanted) if each == round(each)]
        if len(found) > 2 or (len(found) == 2 and high - low < 2):
            return found
    return []


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
        return Axis(ends, [math.log10(v) for v in places], _log_labels(places), True)
    if name:
        return Axis(limits, [(low + high) / 2], [shown(name).strip() or "?"])
    places = ticks(low, high, max(3, rows // 3))
    if rows > 2 and len({round((high - each) / (high - low) * (rows - 1)) for each in places}) < 3:
        places = _ends(low, high) or places
    return Axis(limits, places, tick_labels(places, unit))


def _ends(low: float, high: float) -> list[float]:
    """Ticks at both ends and in the middle, which few lines hold apart; none where digits end."""
    unit = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    bottom, top = math.ceil(low / unit - 1e-9), math.floor(high / unit + 1e-9)
    digits = max(0, -math.floor(math.log10(unit)))
    found = [round(each * unit, digits) for each in (bottom, (bottom + top) // 2, top)]
    return found if len({*found}) == 3 else []


def _log_labels(places: Sequence[float]) -> list[str]:
    found = [f"{v:.0f}" if 100 <= v < 1e5 else value_label(v, 2) for v in places]
    return found if len({*found}) == len(found) else tick_labels(places)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    whole = [10.0**e for e in exponents if low <= 10.0**e <= high]
    if len(fine) > most and len(whole) > 2:
        fine = whole[:: -(-len(whole) // most)]
    return fine if len(fine) > 2 else [each for each in ticks(low, high, 3) if each > 0]
