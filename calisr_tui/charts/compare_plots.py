"""Curves of several runs in one chart: over steps, epochs, examples or minutes; seeds as a band."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from calisr_engine.events.view import RunView
from calisr_tui.charts.plot import Line, Plot, smooth
from calisr_tui.charts.plots import metric_range

GLYPHS = "●◆▲■★▼◉▶"
"""One glyph a run, beside its colour."""
SWITCH = "◇"

MEASURES = ("metric", "loss", "trainable share", "stable rank")
AXES = ("steps", "epochs", "examples", "minutes")
BAND_POINTS = 200
EDGE = "·"


class Curve(NamedTuple):
    """Attributes: x, y: of the points; low, high: of a band around them (none: empty)."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def curve(view: RunView, measure: str, axis: str = "steps", group: str = "") -> Curve:
    """A measure of one run.

    Args:
        group: whose stable rank; "" for the sum over all groups.
    """
    x, y = _over_steps(view, measure, group)
    across = along(view, x, axis)
    return Curve(across, tuple(y)) if across else Curve((), ())


def _over_steps(view: RunView, measure: str, group: str) -> tuple[Sequence[float], Sequence[float]]:
    if measure == "metric":
        return [e.step for e in view.evaluations], [e.value for e in view.evaluations]
    if measure == "loss":
        return view.loss.x, smooth(view.loss.y, 0.9)
    if measure == "trainable share":
        x, y = list(view.trainable_share.x), [100 * v for v in view.trainable_share.y]
        if x and view.step > x[-1]:
            x.append(float(view.step))
            y.append(y[-1])
        return x, y
    groups = [view.groups[group]] if group in view.groups else list(view.groups.values())
    if group and group not in view.groups:
        return (), ()
    totals: dict[int, float] = {}
    counts: dict[int, int] = {}
    for each in groups:
        for sample in each.history:
            totals[sample.step] = totals.get(sample.step, 0.0) + sample.sr_fft
            counts[sample.step] = counts.get(sample.step, 0) + 1
    whole = [step for step in sorted(totals) if counts[step] == len(groups)]
    return whole, [totals[step] for step in whole]


# Along the axis ----------------------------------------------------------------------------------


def along(view: RunView, steps: Sequence[float], axis: str) -> tuple[float, ...]:
    """Steps of a run on an axis; () where its log does not say where they are."""
    if axis == "steps":
        return tuple(float(step) for step in steps)
    if axis == "minutes":
        at, seconds = clock(view)
        return tuple(interpolated(at, seconds, step) / 60 for step in steps) if at else ()
    if not view.steps_per_epoch:
        return ()
    unit = view.train_examples if axis == "examples" else 1
    return tuple(step / view.steps_per_epoch * unit for step in steps)


def clock(view: RunView) -> tuple[list[float], list[float]]:
    """Steps, and seconds of training up to each, as far as the events of a run tell.

    Pauses, and the time between two attempts, are left out.
    """
    steps: list[float] = []
    seconds: list[float] = []
    elapsed, before, trains = 0.0, None, False

    def put(step: float) -> None:
        if steps and step <= steps[-1]:
            seconds[-1] = elapsed
        else:
            steps.append(float(step))
            seconds.append(elapsed)

    for said in view.messages:
        begins = said.kind == "run_started"
        if trains and before is not None and not begins:
            elapsed += max(0.0, said.time - before)
        before = said.time
        if begins or said.kind == "resumed":
            trains = True
        elif said.kind in ("paused", "stopped", "failed", "completed"):
            trains = False
        if begins or steps:
            put(said.step)
    if trains and before is not None and view.updated is not None:
        elapsed += max(0.0, view.updated - before)
        put(view.step)
    return steps, seconds


def interpolated(x: Sequence[float], y: Sequence[float], at: float) -> float:
    """y at a point between the given ones, on a straight line; beyond them the nearest."""
    place = bisect.bisect_left(x, at)
    if place == 0:
        return y[0]
    if place == len(x):
        return y[-1]
    x0, x1 = x[place - 1], x[place]
    part = (at - x0) / (x1 - x0) if x1 > x0 else 1.0
    return y[place - 1] + part * (y[place] - y[place - 1])


# Several runs ------------------------------------------------------------------------------------


def folded(curves: Sequence[Curve], stairs: bool = False) -> Curve:
    """Mean of curves where all of them are, and a band of one standard deviation to each side.

    Args:
        stairs: whether they keep each value up to the next point, as the trainable share does.
    """
    curves = [each for each in curves if each.x]
    if len(curves) < 2:
        return curves[0] if curves else Curve((), ())
    low = max(each.x[0] for each in curves)
    high = min(each.x[-1] for each in curves)
    places = sorted({x for each in curves for x in each.x if low <= x <= high})
    if len(places) > BAND_POINTS:
        places = places[:: -(-len(places) // BAND_POINTS)] + places[-1:]
    rows = [[_height(each, x, stairs) for each in curves] for x in places]
    mean = [statistics.fmean(row) for row in rows]
    spread = [statistics.stdev(row) for row in rows]
    return Curve(
        tuple(places),
        tuple(mean),
        tuple(m - s for m, s in zip(mean, spread, strict=True)),
        tuple(m + s for m, s in zip(mean, spread, strict=True)),
    )


def overlay(
    views: Mapping[str, RunView],
    measure: str,
    axis: str = "steps",
    group: str = "",
    together: Sequence[Sequence[str]] = (),
) -> Plot:
    """One line and one glyph a run, its switches as hollow points on it.

    Args:
        group: as for `curve`.
        together: runs that are folded into their mean and spread; each has the sign of its first.
    """
    lines: list[Line] = []
    names = list(views)
    share = measure == "trainable share"
    first_of = {name: each[0] for each in together for name in each if name in views}
    for index, name in enumerate(names):
        role, glyph = f"run{index % 8 + 1}", GLYPHS[index % 8]
        if first_of.get(name, name) != name:
            continue
        members = [each for each in names if first_of.get(each, each) == name]
        found = folded([curve(views[each], measure, axis, group) for each in members], share)
        for edge in (found.low, found.high):
            if edge:
                lines.append(Line(found.x, edge, role, "points", EDGE))
        lines.append(Line(found.x, found.y, role, "steps" if share else "line"))
        lines += _signs(found, role, glyph, index / max(1, len(names)), measure == "metric")
        if len(members) == 1 and found.x:
            steps = along(views[name], sorted({s.step for s in views[name].switches}), axis)
            on = [x for x in steps if found.x[0] <= x <= found.x[-1]]
            at = tuple(_height(found, x, share) for x in on)
            lines.append(Line(tuple(on), at, role, "points", SWITCH))
    return Plot(
        lines=tuple(lines),
        unit="%" if share else "",
        y_range=(0.0, None) if share else _range(lines) if measure == "metric" else (None, None),
        empty="these runs have no such figures",
    )


def _range(lines: Sequence[Line]) -> tuple[float | None, float | None]:
    """The limits of metrics: never where none can be."""
    return metric_range([y for line in lines for y in line.y])


def _signs(found: Curve, role: str, glyph: str, offset: float, every: bool) -> list[Line]:
    """The glyphs of a curve: at each point, or at one that no other curve has."""
    if not found.x:
        return []
    if every and len(found.x) <= BAND_POINTS // 4:
        return [Line(found.x, found.y, role, "points", glyph)]
    at = int((offset / 2 + 0.25) * len(found.x)) % len(found.x)
    return [Line((found.x[at],), (found.y[at],), role, "points", glyph)]


def _height(found: Curve, x: float, stairs: bool) -> float:
    if stairs:
        return found.y[max(0, bisect.bisect_right(found.x, x) - 1)]
    return interpolated(found.x, found.y, x)


def preview(views: Mapping[str, RunView]) -> tuple[Plot, Plot]:
    """Metric above loss, of one run with its switches as marks, or of several."""
    if len(views) > 1:
        return overlay(views, "metric"), overlay(views, "loss")
    (view,) = views.values()
    marks = tuple(sorted({float(each.step) for each in view.switches}))
    span = (0.0, float(view.total_steps)) if view.total_steps else None
    x, y, *_ = curve(view, "metric")
    points = (Line(x, y, "metric"), Line(x, y, "metric", "points", "◆"))
    limits, empty = _range(points), "not evaluated yet"
    upper = Plot(points, marks, x_range=span, y_range=limits, x_labels=False, empty=empty)
    x, y, *_ = curve(view, "loss")
    return upper, Plot((Line(x, y, "loss"),), marks=marks, x_range=span, empty="no loss yet")
