"""Curves of several runs in one chart: where their points stand, bands over seeds, switches."""

from __future__ import annotations

import copy
import statistics
from dataclasses import replace

import pytest

from calisr_engine.events.view import Message, RunView
from calisr_engine.runs import load_view
from calisr_tui.charts.axes import axes_of
from calisr_tui.charts.compare_plots import (
    AXES,
    MEASURES,
    SWITCH,
    Curve,
    along,
    clock,
    curve,
    folded,
    interpolated,
    overlay,
    preview,
)
from calisr_tui.charts.plot import Line
from calisr_tui.feed import EXAMPLE


@pytest.fixture(scope="module")
def recorded() -> RunView:
    return load_view(EXAMPLE)


def said(*messages: tuple[str, int, float]) -> RunView:
    view = RunView(steps_per_epoch=50, train_examples=1600, total_steps=200)
    view.messages = [Message(step, time, kind, kind) for kind, step, time in messages]
    return view


def test_time_in_pauses_and_between_attempts_does_not_count() -> None:
    view = said(
        ("run_created", 0, 0.0),
        ("run_started", 0, 10.0),
        ("evaluated", 50, 70.0),  # 60 s
        ("paused", 75, 100.0),  # 30 s
        ("resumed", 75, 1000.0),
        ("checkpoint_saved", 100, 1030.0),  # 30 s
        ("run_started", 100, 9000.0),  # killed, and gone on with
        ("evaluated", 150, 9060.0),  # 60 s
        ("completed", 150, 9070.0),  # 10 s
    )
    view.updated = 99999.0
    assert clock(view) == ([0.0, 50.0, 75.0, 100.0, 150.0], [0.0, 60.0, 90.0, 120.0, 190.0])
    assert along(view, [0, 25, 50, 125, 150], "minutes") == (0.0, 0.5, 1.0, 155 / 60, 190 / 60)


def test_a_run_in_training_goes_on_to_its_newest_line() -> None:
    view = said(("run_started", 0, 0.0), ("evaluated", 50, 60.0))
    view.step, view.updated = 80, 90.0
    assert clock(view) == ([0.0, 50.0, 80.0], [0.0, 60.0, 90.0])


def test_steps_epochs_and_examples() -> None:
    view = said()
    assert along(view, [0, 25, 100], "steps") == (0.0, 25.0, 100.0)
    assert along(view, [0, 25, 100], "epochs") == (0.0, 0.5, 2.0)
    assert along(view, [0, 25, 100], "examples") == (0.0, 800.0, 3200.0)
    assert along(view, [25], "minutes") == ()  # nothing is known of its time
    assert along(RunView(), [25], "epochs") == ()


def test_curves_of_the_recorded_run(recorded: RunView) -> None:
    metric = curve(recorded, "metric")
    assert metric.y == tuple(each.value for each in recorded.evaluations)
    assert len(curve(recorded, "loss").x) == len(recorded.loss)
    total = curve(recorded, "stable rank")
    groups = [curve(recorded, "stable rank", group=name) for name in recorded.groups]
    assert total.y[0] == pytest.approx(sum(each.y[0] for each in groups))
    assert not curve(recorded, "stable rank", group="no such group").x
    minutes = curve(recorded, "metric", "minutes").x
    assert list(minutes) == sorted(minutes)
    assert minutes[-1] == pytest.approx((recorded.duration or 0.0) / 60, rel=0.2)


def test_a_band_is_mean_and_standard_deviation_where_all_curves_are() -> None:
    one = Curve((0.0, 1.0, 2.0), (1.0, 2.0, 3.0))
    two = Curve((1.0, 2.0, 3.0), (4.0, 6.0, 8.0))
    three = Curve((0.0, 4.0), (0.0, 8.0))
    found = folded([one, two, three])
    assert found.x == (1.0, 2.0)
    rows = [(2.0, 4.0, 2.0), (3.0, 6.0, 4.0)]
    assert found.y == pytest.approx([statistics.fmean(row) for row in rows])
    spread = [statistics.stdev(row) for row in rows]
    assert found.high == pytest.approx([m + s for m, s in zip(found.y, spread, strict=True)])
    assert found.low == pytest.approx([m - s for m, s in zip(found.y, spread, strict=True)])
    assert folded([one, Curve((), ())]) == one
    assert folded([]) == Curve((), ())


def test_a_mean_of_stairs_steps_where_one_of_them_does(recorded: RunView) -> None:
    one = Curve((0.0, 10.0, 10.0, 40.0), (100.0, 100.0, 50.0, 50.0))
    two = Curve((0.0, 30.0, 30.0, 40.0), (100.0, 100.0, 0.0, 0.0))
    found = folded([one, two], stairs=True)
    assert found.x == (0.0, 10.0, 30.0, 40.0)
    assert found.y == (100.0, 75.0, 25.0, 25.0)
    views = {name: copy.deepcopy(recorded) for name in "ab"}
    plot = overlay(views, "trainable share", together=[["a", "b"]])
    (line,) = (each for each in plot.lines if each.marker == "steps")
    alone = curve(recorded, "trainable share")
    for step in (100, 300, 600, 999):
        assert _at(line, step) == pytest.approx(_at(alone, step))


def _at(stairs: Curve | Line, x: float) -> float:
    return [y for at, y in zip(stairs.x, stairs.y, strict=True) if at <= x][-1]


def test_between_and_beyond_points() -> None:
    x, y = (0.0, 2.0, 2.0, 4.0), (0.0, 2.0, 6.0, 8.0)
    assert [interpolated(x, y, at) for at in (-1, 0, 1, 3, 4, 9)] == [0, 0, 1, 7, 8, 8]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("measure", MEASURES)
def test_each_run_has_a_sign_and_its_switches_stand_on_its_curve(
    measure: str, axis: str, recorded: RunView
) -> None:
    other = copy.deepcopy(recorded)
    plot = overlay({"a": recorded, "b": other}, measure, axis)
    for role, glyph in (("run1", "●"), ("run2", "◆")):
        own = [line for line in plot.lines if line.role == role]
        assert any(line.glyph == glyph and line.x for line in own)
        (switches,) = (line for line in own if line.glyph == SWITCH)
        low, high = own[0].x[0], own[0].x[-1]
        expected = along(recorded, sorted(set((recorded.switched or {}).values())), axis)
        assert list(switches.x) == [x for x in expected if low <= x <= high]


def test_seeds_are_folded_under_the_sign_of_the_first(recorded: RunView) -> None:
    views = {name: copy.deepcopy(recorded) for name in "abc"}
    plot = overlay(views, "metric", together=[["b", "c"]])
    assert {line.role for line in plot.lines} == {"run1", "run2"}
    assert sum(line.role == "run2" and line.glyph == "·" for line in plot.lines) == 2


def test_a_preview_marks_switches_of_one_run_and_overlays_several(recorded: RunView) -> None:
    upper, lower = preview({"a": recorded})
    assert upper.marks == lower.marks
    assert set(upper.marks) == {float(s) for s in (recorded.switched or {}).values()}
    upper, lower = preview({"a": recorded, "b": recorded})
    assert {line.role for line in upper.lines} == {"run1", "run2"}
    assert not any(plot.has_data for plot in preview({"new": RunView()}))


def test_an_axis_of_metrics_ends_where_metrics_end(recorded: RunView) -> None:
    """That of a run with an accuracy of 1 went to 1.05."""
    best = replace(recorded, evaluations=[replace(e, value=1.0) for e in recorded.evaluations])
    for views in ({"a": best}, {"a": best, "b": best}):
        for plot in (preview(views)[0], overlay(views, "metric")):
            axis = axes_of(plot, 60, 20).sides[0]
            assert axis is not None
            assert axis.limits[1] == 1.0
