"""Figure 3: total stable rank, loss and accuracy of FFT beside LFT."""

from __future__ import annotations

from fractions import Fraction

from calisr_engine.calibration.score import exact_hits, should_switch
from calisr_engine.figures.data import Look, Panel, Series, Style, looks, over_runs
from calisr_engine.figures.runs import KINDS, FigureRun, RunSet, mixed
from calisr_engine.models.component_names import SIX

DELTA = 0.5
"""Threshold for the switch that the total stable rank suggests."""

SWITCHED = ("calibrated", "control")
"""Kinds of runs in which groups switched at steps of their own."""

BUT = ("calibration.variant", "calibration.delta", "schedule.switch_at")
"""Settings in which runs that stayed in one phase may differ: they decided nothing."""

BINS = 40
"""Stretches of a run over which the training loss is averaged."""


def curves(runs: RunSet) -> list[Panel]:
    """The three panels of Figure 3; runs that differ in the seed alone are averaged.

    The suggested step is read from a run that was measured and stayed in FFT (CaliSr-D with delta
    1): the end of the first window in which more than DELTA of the samples were hits.

    Raises:
        NotFoundError: there are no runs in FFT, or none in LFT.
        CalisrError: a checkpoint of a run is damaged.
    """
    runs.only(lambda run: run.kind == "fft", "in full fine-tuning")
    runs.only(lambda run: run.kind == "lft", "with the light method from the first step")
    kinds = ("fft", "lft", "calibrated", "control")
    drawn = [run for kind in kinds for run in runs.runs if run.kind == kind]
    chosen = _once(drawn)
    tasks = {run.task for run in chosen}
    grouped: dict[tuple[str, str], list[FigureRun]] = {}
    for run in chosen:
        how = run.calibration if run.kind in SWITCHED else KINDS[run.kind]
        grouped.setdefault((f"{run.light_method} {how}".strip(), run.task), []).append(run)
    ranks, losses, scores = [], [], []
    notes: list[str] = []
    if len(chosen) < len(drawn):
        notes.append(
            f"{len(drawn) - len(chosen)} runs are not drawn: of each kind, method, task and seed "
            "the first one is"
        )
    most = max(map(len, grouped.values()))
    for ((how, task), own), look in zip(grouped.items(), looks(list(grouped)), strict=True):
        name = f"{how} {task}" if len(tasks) > 1 else how
        label = name if len(own) == most else f"{name} ({len(own)} of {most} seeds)"
        rank = _mean(label, [total_stable_ranks(run) for run in own], "line", look)
        if rank.x:
            ranks.append(rank)
        else:
            notes.append(f"{label}: no stable rank was measured and no checkpoint was kept")
        losses.append(_mean(label, [binned_loss(run) for run in own], "line", look))
        scores.append(_mean(label, [accuracies(run) for run in own], "line+points", look))
        for what, found in (("loss", losses[-1]), ("evaluation", scores[-1])):
            if not found.x:
                notes.append(f"{label}: its runs have no {what} at the same steps")
        notes += mixed([(label, own)], BUT if own[0].kind not in SWITCHED else ())
    marks: list[float] = []
    for run in chosen:
        which = f"{run.method}, seed {run.seed}"
        if run.kind in SWITCHED:
            steps = ", ".join(f"{group} {at}" for group, at in (run.view.switched or {}).items())
            notes.append(f"{which}: {run.calibration} switched at {steps}")
        elif run.kind == "fft" and run.scored:
            step = suggested_step(run)
            said = "no switch" if step is None else f"step {step} (delta {DELTA:g})"
            notes.append(f"{which}: the total stable rank suggests {said}")
            marks += [] if step is None else [float(step)]
    lines = tuple(sorted(set(marks)))
    score = _score_name(chosen)

    def panel(title: str, y_label: str, series: list[Series], *under: str) -> Panel:
        return Panel(
            name="3",
            title=title,
            x_label="step",
            y_label=y_label,
            series=tuple(series),
            marks=lines,
            mark_label="suggested switch",
            notes=under,
        )

    return [
        panel("Total stable rank", "sum over all targets", ranks),
        panel("Training loss", "loss", losses),
        panel("Validation", f"{score}, %", scores, *notes),
    ]


def _once(runs: list[FigureRun]) -> list[FigureRun]:
    """One run of each kind, method, task and seed: a run whose score never passed delta is the
    same full fine-tuning as one that was only measured."""
    found: dict[tuple[str, ...], FigureRun] = {}
    for run in sorted(runs, key=lambda run: run.view.variant == "off"):
        variant = run.calibration if run.kind in SWITCHED else ""
        found.setdefault((run.kind, run.method, run.task, str(run.seed), variant), run)
    order = {run.path: place for place, run in enumerate(runs)}
    return sorted(found.values(), key=lambda run: order[run.path])


def total_stable_ranks(run: FigureRun) -> dict[float, float]:
    """Step -> sum of the stable ranks of all targets.

    From the samples in which every target was measured, and from kept checkpoints where there is no
    sample.
    """
    from calisr_engine.analysis.weights import checkpoint_weights, total_stable_rank
    from calisr_engine.runs.layout import RunPaths
    from calisr_engine.training.checkpoint import steps

    covered = run.view.setting("method", "components")
    whole = covered is None or set(covered) >= set(SIX)
    found: dict[float, float] = {}
    if whole and run.view.setting("calibration", "score", "sum") == "sum":
        sampled: dict[int, list[float]] = {}
        for group in run.view.groups.values():
            for sample in group.history:
                sampled.setdefault(sample.step, []).append(sample.sr_fft)
        for step, values in sampled.items():
            if len(values) == len(run.view.groups):
                found[float(step)] = sum(values)
    for folder in steps(RunPaths(run.path).checkpoints):
        at = float(folder.name.removeprefix("step-"))
        if at not in found:
            found[at] = total_stable_rank(checkpoint_weights(folder))
    return dict(sorted(found.items()))


def binned_loss(run: FigureRun) -> dict[float, float]:
    """Middle step of each of BINS equal stretches -> mean training loss in it."""
    width = run.view.total_steps / BINS
    gathered: dict[int, list[float]] = {}
    for step, loss in zip(run.view.loss.x, run.view.loss.y, strict=True):
        gathered.setdefault(min(BINS - 1, int((step - 1) / width)), []).append(loss)
    return {(number + 0.5) * width: sum(v) / len(v) for number, v in sorted(gathered.items())}


def accuracies(run: FigureRun) -> dict[float, float]:
    """Step -> accuracy in percent; the task's own metric where it has no accuracy."""
    return {
        float(each.step): 100 * each.metrics.get("accuracy", each.value)
        for each in run.view.evaluations
    }


def suggested_step(run: FigureRun) -> int | None:
    """End of the first window whose hits / samples, over all groups, are above DELTA."""
    windows: dict[int, list[tuple[float, int]]] = {}
    for group in run.view.groups.values():
        for decision in group.decisions:
            windows.setdefault(decision.step, []).append((decision.hits, decision.samples))
    for step, counts in sorted(windows.items()):
        hits = sum((exact_hits(each) for each, _ in counts), Fraction(0))
        samples = sum(count for _, count in counts)
        if should_switch(hits, samples, DELTA) and step < run.view.total_steps:
            return step
    return None


def _mean(label: str, curves: list[dict[float, float]], style: Style, look: Look) -> Series:
    """Mean over runs at the x that all of them have."""
    common = set.intersection(*(set(curve) for curve in curves))
    points = {x: [curve[x] for curve in curves] for x in common}
    return over_runs(label, points, style, look)


def _score_name(chosen: list[FigureRun]) -> str:
    names = {
        "accuracy" if "accuracy" in each.metrics else run.view.metric
        for run in chosen
        for each in run.view.evaluations
    }
    return " / ".join(sorted(names))
