"""From a run's view to its charts. Pure: no widget, no screen."""

from __future__ import annotations

from calisr_engine.events.view import RunView
from calisr_tui.charts.drawing import Line, Plot, smooth

SMOOTHING = (0.0, 0.6, 0.9, 0.97)
"""Factors that the smoothing key goes through."""


def _whole(view: RunView) -> tuple[float, float] | None:
    return (0.0, float(view.total_steps)) if view.total_steps else None


def _switch_marks(view: RunView) -> tuple[float, ...]:
    return tuple(sorted({float(s.step) for s in view.switches if s.step > 0}))


def loss_and_metric(view: RunView, factor: float, log: bool, cursor: float | None) -> Plot:
    """Training loss, raw and smoothed, and the evaluation metric on the right axis."""
    x = tuple(view.loss.x)
    raw = tuple(view.loss.y)
    lines = []
    if factor:
        lines.append(Line(x, raw, "raw", "dots", "·", "raw loss"))
        lines.append(Line(x, tuple(smooth(raw, factor)), "loss", "line", "━", "loss"))
    else:
        lines.append(Line(x, raw, "loss", "line", "━", "loss"))
    evaluations = view.evaluations
    if evaluations:
        lines.append(
            Line(
                tuple(float(e.step) for e in evaluations),
                tuple(e.value for e in evaluations),
                "metric",
                "points",
                "◆",
                f"{view.metric} →",
                right=True,
            )
        )
    return Plot(
        lines=tuple(lines),
        marks=_switch_marks(view),
        cursor=cursor,
        x_range=_whole(view),
        log_y=log,
        empty="no loss yet: the first steps are on their way",
    )


def trainable_share(view: RunView, log: bool, cursor: float | None) -> Plot:
    """Trainable share of the model against the step, in percent, as steps."""
    x, y = list(view.trainable_share.x), [100 * v for v in view.trainable_share.y]
    if x and view.step > x[-1]:
        x.append(float(view.step))
        y.append(y[-1])
    now = f"{y[-1]:.2f}% trained" if y else "trained"
    return Plot(
        lines=(Line(tuple(x), tuple(y), "share", "steps", "━", now),) if x else (),
        marks=_switch_marks(view),
        cursor=cursor,
        x_range=_whole(view),
        y_range=(None if log else 0.0, None),
        log_y=log,
        unit="%",
    )


def stable_rank(view: RunView, group: str | None, cursor: float | None) -> tuple[Plot, ...]:
    """Stable rank with the full step beside the light one, and their relative difference.

    The two curves differ by millionths, so the difference has a plot of its own: below zero is a
    hit, drawn as a filled triangle that points down.
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
    low, high = min([*relative, 0.0]), max([*relative, 0.0])
    pad = 0.1 * (high - low) or 1.0
    ranks = Plot(
        lines=(
            Line(x, tuple(s.sr_fft for s in history), "fft", "line", "━", "SR full", digits=7),
            Line(x, tuple(s.sr_lft for s in history), "lft", "points", "∘", "SR light", digits=7),
        ),
        marks=marks,
        cursor=cursor,
        x_range=_whole(view),
        x_labels=False,
        weight=4,
    )
    differences = Plot(
        lines=(
            Line(*_split(hits), "good", "points", "▼", "hit", digits=3),
            Line(*_split(rest), "bad", "points", "△", "no hit (×10⁻⁶)", digits=3),
        ),
        marks=marks,
        levels=(0.0,),
        cursor=cursor,
        x_range=_whole(view),
        y_range=(low - pad, high + pad),
        weight=6,
    )
    return ranks, differences


def device_load(view: RunView, cursor_seconds: float | None = None) -> Plot:
    """CPU and GPU load in percent (left) and memory in GB (right) against minutes of the run."""
    start = view.created or 0.0
    lines = []
    for series, role, glyph, label in (
        (view.cpu, "load", "━", "CPU %"),
        (view.gpu, "fft", "═", "GPU %"),
    ):
        if len(series):
            x = tuple((t - start) / 60 for t in series.x)
            lines.append(Line(x, tuple(series.y), role, "line", glyph, label))
    if len(view.memory):
        x = tuple((t - start) / 60 for t in view.memory.x)
        y = tuple(v / 1e9 for v in view.memory.y)
        lines.append(Line(x, y, "raw", "dots", "·", "memory GB →", right=True))
    highest = max((v for line in lines if not line.right for v in line.y), default=100.0)
    return Plot(
        lines=tuple(lines),
        cursor=cursor_seconds,
        y_range=(0.0, max(100.0, highest)),
        right_range=(0.0, None),
        empty="no figures of the device yet",
    )


def _split(points: list[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(p[0] for p in points), tuple(p[1] for p in points)
