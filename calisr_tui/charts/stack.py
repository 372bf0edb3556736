"""Where the plots of a stack stand: their lines, axes, and the cells of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calisr_tui.charts.axes import AXIS_LINES, Axes, axes_of
from calisr_tui.charts.plot import Plot


@dataclass(frozen=True)
class Stack:
    """Plots above each other.

    Attributes:
        lines: of each plot, with its x axis.
        gutter: cells for the labels of the left and of the right axis, alike for all plots.
        width: cells of a line, labels and all.
    """

    plots: tuple[Plot, ...]
    lines: tuple[int, ...]
    axes: tuple[Axes, ...]
    gutter: tuple[int, int]
    width: int

    @property
    def span(self) -> tuple[int, int]:
        """The first cell of the curves, and the one after the last."""
        left, right = self.gutter
        return left + 1, self.width - (right + 1 if right else 0)

    @property
    def fields(self) -> list[range]:
        """The lines of each plot's curves, without its x axis."""
        tops = [sum(self.lines[:number]) for number in range(len(self.lines))]
        rows = (each.rows or high for each, high in zip(self.axes, self.lines, strict=True))
        return [range(top, top + high) for top, high in zip(tops, rows, strict=True)]

    @property
    def cursor(self) -> float | None:
        """Where the cursor is; None without one, and where it is outside the axes."""
        at = next((plot.cursor for plot in self.plots if plot.cursor is not None), None)
        across = next((each.x for each in self.axes if each.x is not None), None)
        return at if at is not None and across is not None and across.holds(at) else None

    @property
    def cursor_cell(self) -> int:
        """The cursor's cell in each line."""
        begin, end = next(each.x.limits for each in self.axes if each.x is not None)
        first, after = self.span
        return first + round(((self.cursor or 0.0) - begin) / (end - begin) * (after - first - 1))


def drawable(width: int, height: int) -> bool:
    """Whether so many cells can hold a chart."""
    return width >= 12 and height >= 3


def stacked(
    plots: Sequence[Plot], width: int, height: int, least: tuple[int, int] = (0, 0)
) -> Stack:
    """The plots in `height` lines, with `least` cells for labels at each side.

    All plots have the gutters of the widest labels, so that a value of x stands in one column.
    """
    lines = _share_out(plots, height)
    axes = [axes_of(plot, width, max(1, each)) for plot, each in zip(plots, lines, strict=True)]
    gutter = _gutter(axes, 0, least[0], width), _gutter(axes, 1, least[1], width)
    fitting = tuple(each.without_wide_labels(*gutter) for each in axes)
    return Stack(tuple(plots), tuple(lines), fitting, gutter, width)


def _gutter(axes: Sequence[Axes], side: int, least: int, width: int) -> int:
    """Cells for the labels of one side: those of the widest, where the curves keep most cells."""
    widest = max((each.widest(side) for each in axes), default=0)
    return min(max(least, widest), (width - 8) // 2 if side == 0 else (width - 8) // 3)


def _share_out(plots: Sequence[Plot], height: int) -> list[int]:
    """Lines of each plot of a stack: by weight, after what the axis below the last one takes."""
    below = AXIS_LINES if len(plots) > 1 and plots[-1].x_labels else 0
    weights = sum(plot.weight for plot in plots)
    rows = [max(1, (height - below) * plot.weight // weights) for plot in plots]
    for more in range(height - below - sum(rows)):
        rows[more % len(rows)] += 1
    rows[-1] += below
    return rows
