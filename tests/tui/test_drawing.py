"""Charts of figures that no run has: nothing is drawn outside, and no time is spent there."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from calisr_engine.analysis.mistakes import Answers, report
from calisr_engine.config.load import load
from calisr_engine.runs import load_view
from calisr_tui.charts import plots
from calisr_tui.charts.axes import axes_of
from calisr_tui.charts.cursor import values_in_line
from calisr_tui.charts.drawing import draw, draw_lines
from calisr_tui.charts.errors import classes_table
from calisr_tui.charts.plot import Line, Plot, thinned
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.stack import stacked
from calisr_tui.charts.summary import summary
from calisr_tui.feed import EXAMPLE

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


ODD = (0.0, 5e-324, 1e-320, -1e-320, 1e-290, 1e-12, 1.0, 1 + 1e-15, 1e16, 1e16 + 2, math.inf)
RANGES = ((None, None), (0.0, None), (-1e-321, 1e-320), (3.0, 3.0))


@pytest.mark.parametrize("y_range", RANGES)
@pytest.mark.parametrize("log", [False, True])
def test_tiny_figures_equal_ends_and_single_points_have_a_chart(
    log: bool, y_range: tuple[float | None, float | None]
) -> None:
    for one, other in itertools.combinations_with_replacement(ODD, 2):
        for x in ((one,), (min(one, other), max(one, other))):
            if math.inf in x:
                continue
            y = (other, one)[: len(x)]
            lines = (Line(x, y, "loss", "joined", end=True), Line(x, y, "metric", right=True))
            plot = Plot(lines, log_y=log, y_range=y_range, cursor=one, marks=(one,))
            for width, height in ((12, 3), (30, 6)):
                drawn = draw(plot, width, height, STYLES).plain.split("\n")
                assert len(drawn) <= height
                assert max(map(len, drawn)) <= width


def test_a_metric_that_hardly_moves_stays_where_metrics_can_be() -> None:
    for values in ((1.0, 1 - 1e-16), (1e-320,), (0.0, 1e-320), (1.0, 1.0)):
        low, high = plots.metric_range(values)
        assert low is not None
        assert high is not None
        assert 0 <= low < high <= 1
        axis = axes_of(Plot((Line((0.0,) * len(values), values, "m"),), y_range=(low, high)), 60, 9)
        assert axis.sides[0] is not None
        assert 0 <= axis.sides[0].limits[0] < axis.sides[0].limits[1] <= 1


SPANS = [
    (0.69312, 0.69319),
    (1e5, 1.25e5),
    (1e6, 1e6 + 3),
    (0.0, 2e-4),
    (1.0, 1 + 1e-9),
    (-7e-8, 0),
]


@pytest.mark.parametrize(("low", "high"), SPANS)
@pytest.mark.parametrize("log", [False, True])
def test_ticks_say_different_things_and_true_ones(low: float, high: float, log: bool) -> None:
    line = Line((0.0, 10.0), (low or high / 9, high or low / 9), "loss")
    axis = axes_of(Plot((line,), log_y=log and low >= 0), 60, 20).sides[0]
    assert axis is not None
    assert len({*axis.labels}) == len(axis.labels) >= 3
    step = min(b - a for a, b in itertools.pairwise(axis.places))
    for label, place in zip(axis.labels, axis.places, strict=True):
        assert axis.at(float(label)) == pytest.approx(place, abs=step / 4)


def test_a_cursor_outside_the_axes_has_no_box() -> None:
    line = Line((0.0, 50.0), (0.1, 0.7), "loss", label="training")
    for cursor, there in ((0.0, True), (100.0, True), (-1.0, False), (101.0, False), (1e18, False)):
        plot = Plot((line,), x_range=(0.0, 100.0), cursor=cursor)
        assert ("╭" in draw(plot, 60, 12, STYLES).plain) == there
    stack = (Plot(), Plot((line,), x_range=(0.0, 100.0), cursor=50.0))
    text = "".join(sign for row in draw_lines(stack, 60, 20, STYLES) for sign, _ in row)
    assert "training 0.7" in text  # also where the plot above has nothing yet


@pytest.mark.parametrize(("width", "height"), [(46, 7), (46, 6), (56, 13), (92, 22), (180, 50)])
@pytest.mark.parametrize("cursor", [0.0, 300.0, 480.0, 520.0, 976.0, 1000.0])
@pytest.mark.parametrize("stack", ["loss", "rates", "ranks"])
def test_the_cursor_s_box_is_whole_away_from_it_and_hides_a_third_at_most(
    stack: str, cursor: float, width: int, height: int
) -> None:
    view = load_view(EXAMPLE)
    drawn: tuple[Plot, ...] = {
        "loss": (plots.loss_and_metric(view, 0.9, False, cursor),),
        "rates": (plots.rates(view, False, cursor),),
        "ranks": plots.stable_rank(view, "query", cursor),
    }[stack]
    lines = draw_lines(drawn, width, height, {role: role for role in ROLES}, (7, 6))
    texts = ["".join(text for text, _ in line) for line in lines]
    tops = [row for row, text in enumerate(texts) if "╭" in text]
    room = stacked(drawn, width, height, (7, 6))
    if not tops:
        assert width * height < 92 * 22 / 2
        assert values_in_line(drawn, cursor, width - 4, STYLES).cell_len <= width - 4
        return
    (top,) = tops
    left, right = texts[top].index("╭"), texts[top].index("╮")
    bottom = next(row for row, text in enumerate(texts) if "╰" in text)
    assert texts[bottom][left] == "╰"
    assert texts[bottom][right] == "╯"
    for text in texts[top + 1 : bottom]:
        assert text[left] == text[right] == "│"
    assert not left <= room.cursor_cell <= right
    first, after = room.span
    assert (first == left) if cursor > 500 else (after - 1 == right)
    for field in room.fields:
        hidden = len(range(max(top, field.start), min(bottom + 1, field.stop)))
        assert hidden * (right - left + 1) <= len(field) * (after - first) / 3


def test_what_has_no_room_for_a_box_has_its_values_at_the_border_or_in_its_line() -> None:
    view = load_view(EXAMPLE)
    loss = plots.loss_and_metric(view, 0.9, False, 976.0)
    said = values_in_line([loss], 976.0, 42, STYLES).plain
    assert said == "at 976 ━ 0.155  at 1000 ○ 0.0991 ◆→ 0.9321"
    assert values_in_line([loss], 976.0, 41, STYLES).plain == "at 976 ━ 0.155"
    assert "training 0.155" in values_in_line([loss], 976.0, 90, STYLES).plain
    small = plots.all_stable_ranks(view, 976.0)
    lines = ["".join(text for text, _ in line) for line in draw_lines(small, 46, 10, STYLES)]
    assert not any("╭" in line for line in lines)
    at = stacked(small, 46, 10).cursor_cell
    beside = [line[:at].split()[-1] for line in lines if line[:at].endswith(" ")]
    assert {"39.552", "31.462", "45.517", "52.839", "27.63", "31.133"} <= {*beside}


def test_the_cursor_shows_the_values_at_its_step_though_fewer_points_are_drawn() -> None:
    x = tuple(map(float, range(5000)))
    line = Line(x, tuple(each % 97 for each in x), "loss", label="loss", digits=6)
    plot = Plot((line,), cursor=1234.0)
    few = replace(plot, lines=(thinned(line, 80),))
    drawn = draw_lines([few], 60, 12, STYLES, whole=[plot])
    assert f"loss {1234 % 97}" in "".join(sign for row in drawn for sign, _ in row)


def test_what_has_no_room_beside_its_name_goes_on_below_it() -> None:
    settings = ["method.name=lora", "calibration.variant=S"]
    text = summary(load(None, settings), False, False, width=46).plain
    figures = text.split("\n\n")[1].split("\n")
    assert "libraries" in [line.strip() for line in figures]
    assert all(len(line) <= 46 for line in figures)
    assert all(line[18] == " " for line in figures)


@pytest.mark.parametrize("width", [45, 55, 76])
def test_the_numbers_of_classes_are_never_cut(width: int) -> None:
    names = ("unacceptable", "acceptable", "a class with a name for which there is no room")
    logits = np.eye(3)[np.arange(3000) % 3]
    label = [row // 2 % 3 for row in range(3000)]
    answers = Answers.of_logits([*map(str, range(3000))], label, logits, names)
    console = Console(width=width, color_system=None)
    with console.capture() as shown:
        console.print(classes_table(report(answers), width))
    head, *lines = shown.get().rstrip().split("\n")
    assert len(lines) == 3
    assert "…" not in head
    for line in lines:
        assert len(line) <= width
        assert all(re.fullmatch(r"[\d.,]+", each) for each in line.split()[-5:]), line
