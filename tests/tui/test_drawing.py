"""Charts of figures that no run has: nothing is drawn outside, and no time is spent there."""

from __future__ import annotations

import pytest

from calisr_tui.charts.axes import axes_of
from calisr_tui.charts.drawing import draw
from calisr_tui.charts.plot import Line, Plot
from calisr_tui.charts.roles import ROLES

STYLES = dict.fromkeys(ROLES, "")


@pytest.mark.parametrize("far", [2.0**53, -(2.0**53), 1e18])
@pytest.mark.parametrize("marker", ["line", "steps", "points", "dots"])
def test_points_outside_the_chart_change_nothing(far: float, marker: str) -> None:
    def drawn(x: tuple[float, ...], y: tuple[float, ...]) -> str:
        line = Line(x, y, "loss", marker)  # type: ignore[arg-type]
        return draw(Plot((line,), x_range=(0.0, 10.0), y_range=(0.0, 5.0)), 60, 12, STYLES).plain

    inside = (1.0, 4.0, 9.0), (1.0, 3.0, 2.0)
    assert drawn((*inside[0], far), (*inside[1], 2.0)) == drawn(*inside)
    assert drawn((*inside[0], 9.5), (*inside[1], far)) == drawn(*inside)


@pytest.mark.parametrize("value", [1e100, -1e100, 1e-100])
def test_huge_figures_have_a_chart(value: float) -> None:
    for log in (False, True):
        line = Line((0.0, 1.0, 2.0), (1.0, value, 2.0), "loss")
        assert draw(Plot((line,), log_y=log), 60, 12, STYLES).plain


def test_a_single_point_stands_in_the_middle() -> None:
    for x in (0.5, 100.0):
        axis = axes_of(Plot((Line((x,), (1.0,), "run1"),)), 60, 12).x
        assert axis is not None
        assert axis.limits == (x / 2, 1.5 * x)
