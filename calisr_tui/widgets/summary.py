"""What the settings of a run mean: in words, parameters, memory, time, and its command line."""

from __future__ import annotations

from rich.text import Text

from calisr_engine.config.load import ResolvedConfig
from calisr_engine.config.schema import RunConfig
from calisr_tui import estimates
from calisr_tui.words import size


def summary(resolved: ResolvedConfig, detached: bool, compact: bool) -> Text:
    """The text beside the setup form; `compact` puts the figures first, in two lines."""
    config = resolved.config
    meaning = Text(estimates.meaning(config))
    warnings = Text("\n".join(f"! {each}" for each in resolved.warnings))
    command = Text(resolved.command_line())
    if compact:
        parts = [_figures_in_short(config, detached), command, warnings, meaning]
    else:
        parts = [meaning, _figures(config, detached), warnings, command]
    return Text("\n" if compact else "\n\n").join([part for part in parts if part])


def _figures(config: RunConfig, detached: bool) -> Text:
    counted, estimate = estimates.counts(config), estimates.estimate(config)
    lines = []
    if counted is not None:
        more = counted.fft - counted.total
        note = f" (the model and {more:,} of the method's own)" if more > 0 else ""
        lines.append(("trainable in FFT", f"{counted.fft:,}{note}"))
        if counted.lft is not None:
            lines.append(
                ("trainable in LFT", f"{counted.lft:,} ({counted.lft / counted.total:.2%})")
            )
    if estimate is not None:
        lines.append(("steps", f"{estimate.steps:,}"))
        lines.append(("memory, estimated", size(int(estimate.memory))))
        lines.append(("time, at most", _times(estimate)))
    lines.append(("trains", "detached, outlives this app" if detached else "in this app (F7)"))
    pieces = [Text.assemble((f"{name:<18}", "dim"), value) for name, value in lines]
    return Text("\n").join(pieces)


def _figures_in_short(config: RunConfig, detached: bool) -> Text:
    counted, estimate = estimates.counts(config), estimates.estimate(config)
    trains, costs = [], []
    if counted is not None:
        trains.append(f"trains {counted.fft:,} in FFT")
        if counted.lft is not None:
            trains.append(f"{counted.lft:,} ({counted.lft / counted.total:.2%}) in LFT")
    if estimate is not None:
        costs.append(f"{estimate.steps:,} steps")
        costs.append(size(int(estimate.memory)))
        costs.append(f"at most {_times(estimate)}")
    costs.append("detached (F7)" if detached else "in this app (F7)")
    return Text("\n".join(filter(None, (", ".join(trains), " · ".join(costs)))))


def _times(estimate: estimates.Estimate) -> str:
    return f"{_duration(estimate.cpu_seconds)} on a CPU, {_duration(estimate.gpu_seconds)} on a GPU"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
