"""A grid as a table of cells, from its plan and the states of its runs. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from calisr_engine.grid.labels import label
from calisr_engine.grid.plan import GridPlan
from calisr_engine.grid.schedule import GridState

WAITING = "waiting"
NOTABLE = ("running", "paused", "failed", "interrupted", "stopped")
"""States that the list below the table shows, in this order."""


@dataclass(frozen=True)
class RunLine:
    """One run of a grid.

    Attributes:
        value: its best or last metric in percent, as the grid's policy says; None before the first
            evaluation.
        seconds: from its beginning to its last event.
        message: why it failed ("" unless it did).
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
    seconds: float = 0.0
    message: str = ""

    @property
    def fraction(self) -> float:
        """Share of its steps that are done, in [0, 1]; a failed run has done nothing."""
        if self.state in ("completed", "failed"):
            return float(self.state == "completed")
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0


@dataclass(frozen=True)
class TableCell:
    """All runs of one row and column, which differ in the seed alone.

    Attributes:
        mean, deviation: of the complete runs' metric in percent, as the report has them; None
            without (two) results.
    """

    runs: tuple[RunLine, ...]
    mean: float | None
    deviation: float | None

    @property
    def counts(self) -> Counter[str]:
        return Counter(run.state for run in self.runs)

    @property
    def fraction(self) -> float:
        """Share of the cell's steps that are done, in [0, 1]."""
        return sum(run.fraction for run in self.runs) / len(self.runs)

    @property
    def result(self) -> str:
        """85.3 ± 1.2, 85.3 for one seed, a dash for none."""
        if self.mean is None:
            return "–"
        return f"{self.mean:.1f}" + (
            f" ± {self.deviation:.1f}" if self.deviation is not None else ""
        )


@dataclass(frozen=True)
class GridTable:
    """A whole grid.

    Attributes:
        columns, rows: labels as the report writes them; metrics: column -> its metric's name.
        eta_seconds: until the last run ends; None where nothing trains or nothing is known.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], TableCell]
    metrics: Mapping[str, str] = field(default_factory=dict)
    eta_seconds: float | None = None

    @property
    def runs(self) -> list[RunLine]:
        return [run for cell in self.cells.values() for run in cell.runs]

    @property
    def counts(self) -> Counter[str]:
        return Counter(run.state for run in self.runs)

    @property
    def fraction(self) -> float:
        runs = self.runs
        return sum(run.fraction for run in runs) / len(runs) if runs else 0.0

    @property
    def notable(self) -> list[RunLine]:
        """Runs that train, failed or stopped on the way."""
        found = [run for run in self.runs if run.state in NOTABLE]
        return sorted(found, key=lambda run: NOTABLE.index(run.state))


def make_table(
    plan: GridPlan, state: GridState, failures: Mapping[str, str] | None = None
) -> GridTable:
    """The grid's runs in rows and columns.

    Args:
        failures: run id -> why it failed.
    """
    head = plan.grid.grid
    grouped: dict[tuple[str, str], list[RunLine]] = {}
    for cell in plan.cells:
        row, column = label(cell, head.rows), label(cell, head.columns)
        line = RunLine(cell.run_id, row, column, cell.resolved.config.training.seed)
        found = state.runs.get(cell.run_id)
        if found is not None:
            value = found.best if head.policy == "best" else found.last
            spent = (found.updated or 0.0) - (found.created or 0.0) if found.created else 0.0
            line = RunLine(
                run_id=cell.run_id,
                row=row,
                column=column,
                seed=line.seed,
                state=found.state,
                step=found.step,
                total_steps=found.total_steps,
                metric=found.metric,
                value=None if value is None else 100.0 * value,
                seconds=max(0.0, spent),
                message=(failures or {}).get(cell.run_id, ""),
            )
        grouped.setdefault((row, column), []).append(line)
    cells = {}
    for key, runs in grouped.items():
        values = [r.value for r in runs if r.state == "completed" and r.value is not None]
        cells[key] = TableCell(
            tuple(runs),
            statistics.mean(values) if values else None,
            statistics.stdev(values) if len(values) > 1 else None,
        )
    lines = [run for cell in cells.values() for run in cell.runs]
    return GridTable(
        rows=tuple(dict.fromkeys(row for row, _ in cells)),
        columns=tuple(dict.fromkeys(column for _, column in cells)),
        cells=cells,
        metrics={run.column: run.metric for run in lines if run.metric},
        eta_seconds=remaining_seconds(lines),
    )


def remaining_seconds(runs: list[RunLine]) -> float | None:
    """Estimate of the time until all runs are complete, if as many train as do now.

    A run takes what the median of its column's complete runs took, else that of all; before any is
    complete, what the running ones have taken over their share of steps. Failed runs are not
    counted. None where nothing trains, or no run has come far enough to say.
    """
    training = [run for run in runs if run.state == "running"]
    if not training:
        return None
    took: dict[str, list[float]] = {}
    for run in runs:
        if run.state == "completed" and run.seconds > 0:
            took.setdefault(run.column, []).append(run.seconds)
    every = [seconds for column in took.values() for seconds in column]
    if not every:
        every = [run.seconds / run.fraction for run in training if run.fraction and run.seconds]
    if not every:
        return None
    usual = statistics.median(every)
    longest, total = 0.0, 0.0
    for run in runs:
        if run.state in ("completed", "failed"):
            continue
        own = statistics.median(took[run.column]) if run.column in took else usual
        left = own * (1.0 - run.fraction)
        longest, total = max(longest, left), total + left
    return max(longest, total / len(training))
