"""Figure 2: (a) when each group switches; (b) the trainable share that an FFT share costs."""

from __future__ import annotations

from calisr_engine.figures.data import Panel, Series, looks, mean_and_spread, over_runs
from calisr_engine.figures.runs import FigureRun, RunSet, distinct, mixed
from calisr_engine.models.grouping import by_layer_and_component

MOST_NAMED = 8
"""Groups of one series that a note names."""


def switch_steps(runs: RunSet) -> Panel:
    """Figure 2a: moment of each group's switch, in percent of all steps, over seeds.

    Runs that were measured but could not switch (delta 1) are no part of it.

    Raises:
        NotFoundError: there is no calibrated run.
    """
    chosen = runs.only(
        lambda run: run.view.variant != "off" and (run.view.threshold or 0.0) < 1.0,
        "with calibration",
    )
    groups = distinct(name for run in chosen for name in run.view.groups)
    places, spots = _spots(groups)
    series, notes = [], []
    averaged: list[tuple[str, list[FigureRun]]] = []
    several_tasks = len({run.task for run in chosen}) > 1
    kinds = list(dict.fromkeys((run.row, run.task) for run in chosen))
    parts = distinct(part for _, part in spots.values())
    lines = [(*kind, part) for kind in kinds for part in parts]
    alike = [(part, f"{row} {task}") for row, task, part in lines] if len(parts) > 1 else kinds
    for (row, task, part), (colour, marker) in zip(lines, looks(alike), strict=True):
        words = (row, task if several_tasks else "", part)
        label = " ".join(filter(None, words))
        own = [run for run in chosen if (run.row, run.task) == (row, task)]
        x, y, spread = [], [], []
        never = []
        for group in [each for each in groups if spots[each][1] == part]:
            place, _ = spots[group]
            having = [(run.view, run.view.groups[group]) for run in own if group in run.view.groups]
            shares = [
                100 * its.switch.step / view.total_steps
                for view, its in having
                if its.switch is not None
            ]
            if shares:
                mean, deviation = mean_and_spread(shares)
                x.append(float(place))
                y.append(mean)
                spread.append(deviation)
            if len(shares) < len(having):
                never.append(f"{group} {len(having) - len(shares)} of {len(having)}")
        averaged.append((label, own))
        if never:
            some = len(never) > MOST_NAMED
            which = f"in {len(never)} groups" if some else ", ".join(never)
            notes.append(f"{label}: runs without a switch (no part of the mean): {which}")
        series.append(
            Series(
                label=label,
                x=tuple(x),
                y=tuple(y),
                spread=tuple(spread) if len(own) > 1 else (),
                style="points",
                colour=colour,
                marker=marker,
            )
        )
    return Panel(
        name="2a",
        title="When each group switches",
        x_label="layer" if len(parts) > 1 else "group",
        y_label="switch, % of all steps",
        series=tuple(series),
        x_names=places,
        notes=(*notes, *mixed(averaged)),
    )


def _spots(groups: list[str]) -> tuple[tuple[str, ...], dict[str, tuple[int, str]]]:
    """(names along x, group -> its place there and the series it is in, "" where there is one).

    Groups of one layer and component each stand by layers, with a series a component.
    """
    found = by_layer_and_component(groups)
    if found is None:
        return tuple(groups), {group: (place, "") for place, group in enumerate(groups)}
    layers, _, cells = found
    spots = {g: (layers.index(n), str(c)) for g, (n, c) in zip(groups, cells, strict=True)}
    return tuple(map(str, layers)), spots


def trainable_shares(runs: RunSet) -> Panel:
    """Figure 2b: mean trainable share against the share of the steps spent in FFT.

    Raises:
        NotFoundError: there is no run of a method with a light phase.
    """
    chosen = runs.only(
        lambda run: bool(run.view.groups) and run.trainable_share is not None,
        "of a method with a light phase",
    )
    series = []
    for number, method in enumerate(distinct(run.method for run in chosen)):
        own = [run for run in chosen if run.method == method]
        fixed: dict[float, list[float]] = {}
        for run in own:
            if run.view.variant == "off":
                share = round(100 * run.fft_share, 6)
                fixed.setdefault(share, []).append(100 * (run.trainable_share or 0.0))
        if fixed:
            series.append(
                over_runs(f"{method}, fixed switch", fixed, "line+points", (number, None))
            )
        for control in distinct(run.view.control for run in own if run.view.variant != "off"):
            measured = [
                run for run in own if run.view.variant != "off" and run.view.control == control
            ]
            series.append(
                Series(
                    label=f"{method}, {'calibrated' if control == 'off' else control}",
                    x=tuple(100 * run.fft_share for run in measured),
                    y=tuple(100 * (run.trainable_share or 0.0) for run in measured),
                    hollow=tuple(True for _ in measured),
                    style="points",
                    colour=number,
                )
            )
    return Panel(
        name="2b",
        title="Trainable share against the share of full fine-tuning",
        x_label="share of the steps in FFT, % (mean over groups)",
        y_label="mean trainable share, % of the model",
        series=tuple(series),
        notes=("hollow: one calibrated run each",) if any(each.hollow for each in series) else (),
    )
