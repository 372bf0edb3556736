"""What the settings of a run mean: in words, parameters, memory, time, and its command line."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from calisr_engine.config.load import ResolvedConfig
from calisr_engine.config.schema import RunConfig
from calisr_engine.methods.counts import Counts
from calisr_engine.tune.study import Plan
from calisr_tui import estimates
from calisr_tui.estimates import NOTHING, Known
from calisr_tui.verbatim import Text
from calisr_tui.words import size


def summary(
    resolved: ResolvedConfig,
    detached: bool,
    compact: bool,
    known: Known = NOTHING,
    width: int = 80,
) -> Text:
    """The text beside the setup form, for lines of `width` cells; `compact` puts the figures
    first, in two lines."""
    config = resolved.config
    meaning = Text(estimates.meaning(config))
    warnings = Text("\n".join(f"! {each}" for each in resolved.warnings))
    command = Text(resolved.command_line(detached))
    if compact:
        parts = [_figures_in_short(config, detached, known), command, warnings, meaning]
    else:
        parts = [meaning, _figures(config, detached, known, width), warnings, command]
    return Text("\n" if compact else "\n\n").join([part for part in parts if part])


def grid_summary(
    axes: Mapping[str, Sequence[str]],
    runs: int | None,
    seconds: tuple[float, float] | None,
    command: str,
    first: RunConfig,
    compact: bool,
    width: int = 80,
) -> Text:
    """The text beside a form that sets up a grid; `compact` leaves no lines empty.

    Args:
        axes: values by the name of the setting.
        runs: how many; None while they are checked.
        seconds: of all, one after the other, at most, on a CPU and on a GPU.
        first: the settings of the first run.
    """
    sizes = " × ".join(str(len(values)) for values in axes.values())
    product = math.prod(map(len, axes.values()))
    one = "1 run" if product == 1 else f"{product:,} runs"
    head = one if len(axes) == 1 else f"{sizes} = {product:,} runs"
    if runs is None:
        head += ", checking each …"
    elif runs < product:
        head += f", {runs:,} of them different"
    lines = [(name, ", ".join(values)) for name, values in axes.items()]
    lines += _of_many(seconds, "searches them instead")
    return _together(head, lines, command, first, compact, width)


def search_summary(
    axes: Mapping[str, str],
    plan: Plan,
    seconds: tuple[float, float] | None,
    command: str,
    first: RunConfig,
    compact: bool,
    width: int,
) -> Text:
    """The text beside a form that sets up a search; `compact` leaves no lines empty.

    Args:
        axes: what is chosen from, by the name of the setting.
        seconds: of all its runs, one after the other, at most, on a CPU and on a GPU.
        command: "" while it is checked.
        first: settings with the first value of each.
    """
    head = f"A search: {plan.trials} trials" + ("" if command else ", checking …")
    lines = list(axes.items())
    early = {
        "median": "those below the median",
        "hyperband": "as hyperband allots epochs",
        "none": "none of them",
    }[plan.pruner]
    chosen = "from how earlier ones ended" if plan.sampler == "tpe" else "at random"
    lines += [("trials are chosen", chosen), ("end early", early)]
    if plan.seeds:
        lines.append(("then", f"the best with {plan.seeds} further seed{'s' * (plan.seeds > 1)}"))
    lines += _of_many(seconds, "takes every combination instead")
    return _together(head, lines, command, first, compact, width)


def _of_many(seconds: tuple[float, float] | None, instead: str) -> list[tuple[str, str]]:
    """What is said of many runs: how long they take, where they train, what F7 does."""
    lines = []
    if seconds is not None:
        cpu, gpu = map(_duration, seconds)
        lines.append(("one by one, at most", f"{cpu} on a CPU, {gpu} on a GPU"))
    return [*lines, ("trains", "in a process of its own"), ("F7", instead)]


def _together(
    head: str,
    lines: list[tuple[str, str]],
    command: str,
    first: RunConfig,
    compact: bool,
    width: int,
) -> Text:
    figures, line = _listed(lines, 21, width), Text(command)
    parts = [Text(head, "bold"), *((line, figures) if compact else (figures, line))]
    parts.append(Text(f"The first: {estimates.meaning(first)}", "dim"))
    return Text("\n" if compact else "\n\n").join([part for part in parts if part])


def _listed(lines: Sequence[tuple[str, str]], indent: int, width: int) -> Text:
    """Names and values; what of a value has no room goes on below it."""
    found = []
    for name, value in lines:
        first, *more = textwrap.wrap(value, max(12, width - indent)) or [""]
        below = "".join(f"\n{' ' * indent}{each}" for each in more)
        found.append(Text.assemble((f"{name:<{indent}}", "dim"), first, below))
    return Text("\n").join(found)


def _figures(config: RunConfig, detached: bool, known: Known, width: int) -> Text:
    counted, estimate = estimates.counts(config, known), estimates.estimate(config, known)
    lines = [] if counted is None else trained(counted)
    why_not = estimates.uncounted(config, known)
    if why_not:
        lines.append(("trainable", f"not counted: {why_not}"))
    if counted is not None and counted.fft is not None and counted.fft > counted.total:
        more = counted.fft - counted.total
        lines[0] = (lines[0][0], f"{lines[0][1]} (the model and {more:,} of the method's own)")
    if counted is not None and estimates.labels(config, known) is None:
        lines.append(("labels", "2 assumed; your file tells"))
    if estimate is not None:
        lines.append(("steps", f"{estimate.steps:,}"))
        whole, libraries = size(estimate.memory + estimates.LIBRARIES), size(estimates.LIBRARIES)
        lines.append(("memory, estimated", f"{whole}, {libraries} of it libraries"))
        lines.append(("time, at most", _times(estimate)))
    lines.append(("trains", "detached, outlives this app" if detached else "in this app (F7)"))
    return _listed(lines, 19, width)


def _figures_in_short(config: RunConfig, detached: bool, known: Known) -> Text:
    counted, estimate = estimates.counts(config, known), estimates.estimate(config, known)
    trains, costs = [], []
    if counted is not None:
        short = [(name.removeprefix("trainable "), value) for name, value in trained(counted)]
        trains = [f"{value} {name}" for name, value in short]
        trains[0] = f"trains {trains[0]}"
    elif why_not := estimates.uncounted(config, known):
        trains = [f"trainable not counted: {why_not}"]
    if estimate is not None:
        costs.append(f"{estimate.steps:,} steps")
        costs.append(size(estimate.memory + estimates.LIBRARIES))
        costs.append(f"at most {_times(estimate)}")
    costs.append("detached" if detached else "in this app")
    return Text("\n".join(filter(None, (", ".join(trains), " · ".join(costs)))))


def trained(counted: Counts) -> list[tuple[str, str]]:
    """Name and value of each count that the run comes to."""
    lines = []
    if counted.fft is not None:
        lines.append(("trainable in FFT", f"{counted.fft:,}"))
    if counted.before_pruning is not None:
        share = counted.before_pruning / counted.total
        lines.append(("trainable unpruned", f"{counted.before_pruning:,} ({share:.2%})"))
    if counted.lft is not None:
        name = "in LFT" if counted.before_pruning is None else "pruned"
        nearly = {"exact": "", "ties": "about ", "ceiling": "at most "}[counted.certainty]
        share = counted.lft / counted.total
        lines.append((f"trainable {name}", f"{nearly}{counted.lft:,} ({share:.2%})"))
    return lines


def _times(estimate: estimates.Estimate) -> str:
    return f"{_duration(estimate.cpu_seconds)} on a CPU, {_duration(estimate.gpu_seconds)} on a GPU"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
