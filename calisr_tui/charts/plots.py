"""From a run's view to its charts. Pure: no widget, no screen."""

from __future__ import annotations

from collections.abc import Sequence

from calisr_engine.events.view import RunView
from calisr_tui.charts.axes import spread
from calisr_tui.charts.group_map import shorter
from calisr_tui.charts.plot import Line, Plot, smooth

SMOOTHING = (0.0, 0.6, 0.9, 0.97)
"""Factors that the smoothing key goes through."""


def _whole(view: RunView) -> tuple[float, float] | None:
    return (0.0, float(view.total_steps)) if view.total_steps else None


def _switch_marks(view: RunView) -> tuple[float, ...]:
    return tuple(sorted({float(s.step) for s in view.switches if s.step > 0}))


def _no_step(view: RunView, under_way: str) -> str:
    """What a chart of steps says without any."""
    ended = view.state in ("stopped", "interrupted", "failed", "completed")
    return "no step was taken" if ended else under_way


def loss_and_metric(view: RunView, factor: float, log: bool, cursor: float | None) -> Plot:
    """Training loss, raw and smoothed, validation loss, and the metric on the right axis."""
    x = tuple(view.loss.x)
    raw = tuple(view.loss.y)
    lines = []
    if factor:
        lines.append(Line(x, raw, "raw", "dots", "·", "raw"))
        lines.append(
            Line(x, tuple(smooth(raw, factor)), "loss", "line", "━", "training", digits=3, end=True)
        )
    else:
        lines.append(Line(x, raw, "loss", "line", "━", "training", digits=3, end=True))
    measured = [e for e in view.evaluations if e.loss is not None]
    if measured:
        lines.append(
            Line(
                tuple(float(e.step) for e in measured),
                tuple(e.loss for e in measured if e.loss is not None),
                "valid",
                "joined",
                "○",
                "validation",
                digits=3,
                end=True,
            )
        )
    values = tuple(e.value for e in view.evaluations)
    if values:
        lines.append(
            Line(
                tuple(float(e.step) for e in view.evaluations),
                values,
                "metric",
                "joined",
                "◆",
                f"{view.metric} →",
                right=True,
                end=True,
            )
        )
    return Plot(
        lines=tuple(lines),
        marks=_switch_marks(view),
        cursor=cursor,
        x_range=_whole(view),
        right_range=metric_range(values),
        log_y=log,
        empty=_no_step(view, "no loss yet: the first steps are on their way"),
    )


def metric_range(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Limits of an axis of metrics: with a margin, but never where no metric can be."""
    if not values or not -1 <= min(values) <= max(values) <= 1:
        return None, None
    low, high = min(values), max(values)
    margin = 0.1 * (high - low) if spread(low, high) else 0.05
    return max(0.0 if low >= 0 else -1.0, low - margin), min(1.0, high + margin)


def rates(view: RunView, log: bool, cursor: float | None) -> Plot:
    """Learning rate, and the norm of the gradient before clipping on the right axis."""
    lines = [
        Line(tuple(series.x), tuple(series.y), role, "line", "━", label, right, 3, end=True)
        for series, role, label, right in (
            (view.learning_rate, "rate", "learning rate", False),
            (view.gradient_norm, "norm", "gradient norm →", True),
        )
        if len(series)
    ]
    return Plot(
        lines=tuple(lines),
        marks=_switch_marks(view),
        cursor=cursor,
        x_range=_whole(view),
        y_range=(None if log else 0.0, None),
        right_range=(0.0, None),
        log_y=log,
        empty=_no_step(view, "no step yet"),
    )


def all_stable_ranks(view: RunView, cursor: float | None) -> tuple[Plot, ...]:
    """Each group small: its stable rank with the full step, from its lowest to its highest."""
    groups = [group for group in view.groups.values() if group.history]
    return tuple(
        Plot(
            lines=(
                Line(
                    tuple(float(s.step) for s in group.history),
                    tuple(s.sr_fft for s in group.history),
                    "fft" if group.phase == "fft" else "lft",
                    "line",
                    "━",
                    digits=5,
                    end=True,
                ),
            ),
            marks=(float(group.switch.step),) if group.switch is not None else (),
            cursor=cursor,
            x_range=_whole(view),
            x_labels=group is groups[-1],
            weight=2,
            name=shorter(group.name, SHORT),
        )
        for group in groups
    )


SHORT = 7
"""Cells of a group's name where it stands at an axis."""


def stable_rank(view: RunView, group: str | None, cursor: float | None) -> tuple[Plot, ...]:
    """Stable rank with the full step beside the light one, and their relative difference.

    The two curves differ by millionths, so the difference has a plot of its own: below zero is a
    hit (where matrices vote, of their sum), drawn as a filled triangle that points down.
    """
    said = view.groups.get(group or "")
    history = said.history if said is not None else []
    marks: tuple[float, ...] = ()
    if said is not None and said.switch is not None:
        marks = (float(said.switch.step),)
    if not history:
        text = "no sample yet"
        if view.variant == "off":
            text = "calibration is off: no stable rank is measured"
        elif view.control != "off" and not view.setting("calibration", "measure"):
            text = f"a control ({view.control}): no stable rank is measured"
        return (Plot(empty=text),)
    x = tuple(float(s.step) for s in history)
    relative = [1e6 * s.difference / s.sr_fft if s.sr_fft else 0.0 for s in history]
    hits = [(a, b) for a, b, s in zip(x, relative, history, strict=True) if s.difference < 0]
    rest = [(a, b) for a, b, s in zip(x, relative, history, strict=True) if s.difference >= 0]
    below, above = ("light lower", "not lower") if view.votes else ("hit: light lower", "no hit")
    low, high = min([*relative, 0.0]), max([*relative, 0.0])
    pad = 0.1 * (high - low) or 1.0
    ranks = Plot(
        lines=(
            Line(x, tuple(s.sr_fft for s in history), "fft", "line", "━", "full", digits=7),
            Line(x, tuple(s.sr_lft for s in history), "lft", "points", "∘", "light", digits=7),
        ),
        marks=marks,
        cursor=cursor,
        x_range=_whole(view),
        x_labels=False,
        weight=4,
    )
    differences = Plot(
        lines=(
            Line(*_split(hits), "good", "points", "▼", below, digits=3),
            Line(*_split(rest), "bad", "points", "△", f"{above}, ×10⁻⁶", digits=3),
        ),
        marks=marks,
        levels=(0.0,),
        cursor=cursor,
        x_range=_whole(view),
        y_range=(low - pad, high + pad),
        weight=6,
    )
    return ranks, differences


def _split(points: list[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(p[0] for p in points), tuple(p[1] for p in points)
