"""Figure 5: (a) the best delta of each task; (b) the metric against delta."""

from __future__ import annotations

from calisr_engine.figures.data import Panel, Series, mean_and_spread, over_runs
from calisr_engine.figures.runs import FigureRun, RunSet, distinct, mixed


def _calibrated(runs: RunSet) -> list[FigureRun]:
    return runs.only(lambda run: run.scored and run.view.best is not None, "with calibration")


def _means(chosen: list[FigureRun], task: str) -> dict[float, list[float]]:
    """delta -> best metric of each run in percent."""
    points: dict[float, list[float]] = {}
    for run in chosen:
        if run.task == task:
            points.setdefault(float(run.view.delta or 0.0), []).append(100 * (run.view.best or 0.0))
    return points


def best_thresholds(runs: RunSet) -> Panel:
    """Figure 5a: the delta with the best mean metric, a point a task; equals are drawn hollow.

    Raises:
        NotFoundError: there is no calibrated run.
    """
    chosen = _calibrated(runs)
    tasks = distinct(run.task for run in chosen)
    best: list[tuple[float, float]] = []
    equal: list[tuple[float, float]] = []
    notes = []
    for place, task in enumerate(tasks):
        means = {d: mean_and_spread(v)[0] for d, v in _means(chosen, task).items()}
        top = max(means.values())
        winners = sorted(d for d, mean in means.items() if top - mean < 1e-9)
        best.append((float(place), winners[0]))
        equal += [(float(place), delta) for delta in winners[1:]]
        seconds = [mean for mean in means.values() if top - mean >= 1e-9]
        lead = f"{top - max(seconds):.2f} points before the next" if seconds else "all are equal"
        notes += _told_of(chosen, task)
        notes.append(f"{task}: {top:.2f} at delta {', '.join(f'{d:g}' for d in winners)}, {lead}")
    found = [*best, *equal]
    return Panel(
        name="5a",
        title="Best delta of each task",
        x_label="task",
        y_label="delta",
        series=(
            Series(
                label="best delta (hollow: equally good)",
                x=tuple(x for x, _ in found),
                y=tuple(y for _, y in found),
                hollow=tuple(i >= len(best) for i in range(len(found))),
                style="points",
            ),
        ),
        x_names=tuple(tasks),
        notes=tuple(notes),
    )


def metric_by_threshold(runs: RunSet) -> list[Panel]:
    """Figure 5b: mean and spread over seeds of the best metric, a panel a task.

    Raises:
        NotFoundError: there is no calibrated run.
    """
    chosen = _calibrated(runs)
    panels = []
    for number, task in enumerate(distinct(run.task for run in chosen)):
        metric = next(run.view.metric for run in chosen if run.task == task)
        same = _same_decisions(chosen, task)
        panels.append(
            Panel(
                name="5b",
                title=f"Metric against delta, {task}",
                x_label="delta",
                y_label=f"best {metric}, %",
                series=(over_runs(task, _means(chosen, task), "line+points", (number, None)),),
                notes=(*_told_of(chosen, task), *([same] if same else [])),
            )
        )
    return panels


def _told_of(chosen: list[FigureRun], task: str) -> list[str]:
    """What makes the deltas of a task compare badly: other settings, or other seeds."""
    own = [run for run in chosen if run.task == task]
    seeds: dict[float, list[int]] = {}
    for run in own:
        seeds.setdefault(float(run.view.delta or 0.0), []).append(run.seed)
    counts = {delta: len(each) for delta, each in sorted(seeds.items())}
    notes = mixed([(task, own)], ("calibration.delta",))
    if len({tuple(sorted(each)) for each in seeds.values()}) > 1:
        runs = ", ".join(f"{count} at {delta:g}" for delta, count in counts.items())
        notes.append(f"{task}: not every delta has the same seeds (runs: {runs})")
    return notes


def _same_decisions(chosen: list[FigureRun], task: str) -> str:
    """Which deltas led to the very same switches with every seed ("" for none)."""
    by_delta: dict[float, list[object]] = {}
    for run in chosen:
        if run.task == task:
            steps = tuple(sorted((run.view.switched or {}).items()))
            key = (run.row, run.seed, steps)
            by_delta.setdefault(float(run.view.delta or 0.0), []).append(key)
    alike: dict[str, list[float]] = {}
    for delta, keys in sorted(by_delta.items()):
        alike.setdefault(repr(sorted(map(repr, keys))), []).append(delta)
    groups = [deltas for deltas in alike.values() if len(deltas) > 1]
    if not groups:
        return ""
    said = "; ".join(", ".join(f"{delta:g}" for delta in deltas) for deltas in groups)
    return f"{task}: the same switches in every run with delta {said}"
