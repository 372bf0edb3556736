"""Runs in cells: which belong together, which counts for its seed, mean and spread over seeds.

- A cell holds runs that differ in the seed alone. Whatever else differs among the runs of a row and
  column is added to the row's label, so it makes rows of its own.
- A seed counts once. Of runs with the same settings and seed the newest complete one counts.
- A run that does not count, though it might seem to have a result, says why (`left_out`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from calisr_engine.grid.labels import further, label
from calisr_engine.grid.settings import Settings, told_apart
from calisr_engine.grid.spread import mean_and_spread
from calisr_engine.grid.state import DIFFERENT, UNREADABLE, WAITING

Key = tuple[str, str]
"""Labels of a row and a column."""


@dataclass(frozen=True)
class TableRun:
    """One run.

    Attributes:
        state: as in `RunState`.
        value: its best or last metric in the table's unit; None before the first evaluation.
        counts: whether `value` is part of its cell's mean.
        seconds: from its beginning to its last event; updated: when that was.
        left_out: why it does not count, though it might seem to have a result ("" otherwise).
        message: why it failed ("" otherwise).
    """

    run_id: str
    row: str
    column: str
    seed: int
    state: str = WAITING
    step: int = 0
    total_steps: int = 0
    metric: str = ""
    value: float | None = None
    counts: bool = False
    switched: bool = False
    seconds: float = 0.0
    updated: float = 0.0
    left_out: str = ""
    message: str = ""

    @property
    def fraction(self) -> float:
        """Share of its steps that are done, in [0, 1]; one that cannot go on has done nothing."""
        if self.state in ("completed", "failed", UNREADABLE, DIFFERENT):
            return float(self.state == "completed")
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0


@dataclass(frozen=True)
class TableCell:
    """Runs that differ in the seed alone.

    Attributes:
        mean, deviation: of the metric over seeds; None without (two) results.
        seeds, values: of the runs that count; missing: seeds without one.
        switched: runs in which something switched, and was not light from the first step.
        paper: the paper's figure, in percent.
        difference, p_value, paired: to the chosen row, over the seeds that both have: the mean, the
            p-value of the paired t-test, and how many seeds (`analysis/paired.py`).
        p_holm, family: the p-value after Holm's correction over the tests of the column, and how
            many those are.
        runs: all runs; none in the column that is the mean over the others.
    """

    row: str
    column: str
    metric: str
    mean: float | None
    deviation: float | None
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    missing: int
    switched: int
    paper: float | None = None
    difference: float | None = None
    p_value: float | None = None
    paired: int = 0
    p_holm: float | None = None
    family: int = 0
    runs: tuple[TableRun, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(run.state for run in self.runs)

    @property
    def fraction(self) -> float:
        """Share of the steps that are done, in [0, 1]."""
        return share_done(self.runs)

    @property
    def result(self) -> str:
        """85.3 ± 1.2, 85.3 for one seed, a dash for none."""
        if self.mean is None:
            return "–"
        spread = f" ± {self.deviation:.1f}" if self.deviation is not None else ""
        return f"{self.mean:.1f}{spread}"


def place(
    runs: Sequence[TableRun],
    settings: Mapping[str, Settings],
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    axes: Iterable[str] = (),
) -> tuple[list[TableRun], set[str]]:
    """The runs with their row and column, and the rows whose label had to be extended.

    Args:
        settings: of each run, by run id.
        rows, columns: settings that make them.
        axes: settings that are taken first to extend a label.
    """
    axes = tuple(axes)
    shared: dict[Key, list[TableRun]] = {}
    for run in runs:
        own = settings[run.run_id]
        shared.setdefault((label(own, rows), label(own, columns)), []).append(run)
    keys: dict[str, dict[str, None]] = {}
    for (row, _), group in shared.items():
        differing = told_apart([settings[run.run_id] for run in group], axes)
        keys.setdefault(row, {}).update(dict.fromkeys(differing))
    placed = {}
    extended = set()
    for (row, column), group in shared.items():
        for run in group:
            whole = " ".join(filter(None, [row, further(settings[run.run_id], list(keys[row]))]))
            placed[run.run_id] = replace(run, row=whole, column=column)
            if keys[row]:
                extended.add(whole)
    return [placed[run.run_id] for run in runs], extended


def tabulate(runs: Iterable[TableRun]) -> dict[Key, TableCell]:
    """The cells of runs that have their row and column: means and spreads over seeds."""
    grouped: dict[Key, list[TableRun]] = {}
    for run in runs:
        grouped.setdefault((run.row, run.column), []).append(run)
    return {key: _cell(*key, _each_seed_once(_of_one(group))) for key, group in grouped.items()}


def _of_one(runs: list[TableRun]) -> list[TableRun]:
    """The runs of a cell; those of another metric than most do not count, and say so: versions
    have evaluated a task by different ones."""
    metrics = Counter(run.metric for run in runs if run.counts)
    if len(metrics) < 2:
        return runs
    usual = metrics.most_common(1)[0][0]
    return [
        replace(run, counts=False, left_out=f"its metric is {run.metric}, not {usual}")
        if run.counts and run.metric != usual
        else run
        for run in runs
    ]


def _each_seed_once(runs: list[TableRun]) -> list[TableRun]:
    """The runs of a cell; of those of one seed at most one counts, and the others say so."""
    by_seed: dict[int, list[TableRun]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, []).append(run)
    kept = {
        seed: max(
            group,
            key=lambda run: (run.counts, run.state == "completed", run.updated, run.run_id),
        )
        for seed, group in by_seed.items()
    }
    return [
        run
        if run is kept[run.seed]
        else replace(
            run,
            counts=False,
            left_out=f"{kept[run.seed].run_id} has the same settings and seed"
            + (_why_rather(kept[run.seed], run) if run.counts else ""),
        )
        for run in runs
    ]


def _why_rather(kept: TableRun, other: TableRun) -> str:
    complete = kept.state == "completed" and other.state != "completed"
    return ", and is complete" if complete else ", and is newer"


def _cell(row: str, column: str, runs: list[TableRun]) -> TableCell:
    counted = [run for run in runs if run.counts]
    values = [run.value for run in counted if run.value is not None]
    mean, deviation = mean_and_spread(values)
    return TableCell(
        row=row,
        column=column,
        metric=next((run.metric for run in [*counted, *runs] if run.metric), ""),
        mean=mean,
        deviation=deviation,
        seeds=tuple(run.seed for run in counted),
        values=tuple(values),
        missing=len({run.seed for run in runs}) - len(counted),
        switched=sum(run.switched for run in runs),
        runs=tuple(runs),
    )


def share_done(runs: Sequence[TableRun]) -> float:
    return sum(run.fraction for run in runs) / len(runs) if runs else 0.0
