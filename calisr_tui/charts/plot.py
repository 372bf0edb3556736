"""What a chart shows, as data: lines and plots, and fewer points of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

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


def nearest(line: Line, x: float) -> tuple[float, float] | None:
    """The point of a line that is nearest to x."""
    if not line.x:
        return None
    index = min(range(len(line.x)), key=lambda i: abs(line.x[i] - x))
    return line.x[index], line.y[index]


def thinned(line: Line, limit: int) -> Line:
    """The line with at most about `limit` points."""
    x, y = thin(line.x, line.y, limit)
    return replace(line, x=x, y=y)


Piece = tuple[str, str]
"""Characters of one line, and their style ("" for the plain one)."""
