"""The results of a grid as one table: the only place that computes what a report says.

`calisr report`, `grid status`, the grid screen and the report screen show it. Every run of the grid
is in one cell, or named in `left_out`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from calisr_engine.analysis.paired import holm, t_test
from calisr_engine.errors import ConfigError
from calisr_engine.grid.cells import Key, TableCell, TableRun, place, share_done, tabulate
from calisr_engine.grid.comparison import Comparison, comparison, results
from calisr_engine.grid.expand import Grid
from calisr_engine.grid.labels import TASK, label
from calisr_engine.grid.paper import AVERAGE, model_beside, paper_figure
from calisr_engine.grid.settings import Settings
from calisr_engine.grid.spread import mean_and_spread, over_columns, paired
from calisr_engine.grid.state import DIFFERENT, UNREADABLE, RunState, read_states

NOTABLE = ("running", "paused", "failed", UNREADABLE, DIFFERENT, "interrupted", "stopped")
"""States that are named run by run, in this order."""


@dataclass(frozen=True)
class Table:
    """Runs in rows and columns.

    Attributes:
        policy: which metric of a run is its value, the best or the last.
        cells: by (row label, column label).
        against: the row compared with, or None.
        beside: models of the paper whose figures are printed.
        averaged: whether the last column is the mean over the others.
        over_tasks: row -> the cell of its mean over the tasks, also where that is no column; none
            where the columns are not tasks, or only one.
        left_out: run id -> why it does not count.
        remarks: what else a reader must know, a sentence each.
    """

    title: str
    policy: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[Key, TableCell]
    against: str | None = None
    beside: tuple[str, ...] = ()
    averaged: bool = False
    over_tasks: Mapping[str, TableCell] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Each cell with that of the row `against`, row by row."""
        return self._with_reference(
            (cell, self.cells.get((self.against or "", cell.column)))
            for cell in self.cells.values()
        )

    @cached_property
    def by_row(self) -> tuple[Comparison, ...]:
        """One comparison a row: over the tasks, or in the only column; else those of all cells."""
        if not self.over_tasks:
            return self.comparisons
        reference = self.over_tasks.get(self.against or "")
        return self._with_reference((cell, reference) for cell in self.over_tasks.values())

    def _with_reference(
        self, pairs: Iterable[tuple[TableCell, TableCell | None]]
    ) -> tuple[Comparison, ...]:
        if self.against is None:
            return ()
        return tuple(
            comparison(cell, reference, self.against)
            for cell, reference in pairs
            if cell.row != self.against
        )

    @property
    def runs(self) -> list[TableRun]:
        return [run for cell in self.cells.values() for run in cell.runs]

    @property
    def missing(self) -> int:
        """Seeds without a result, over all cells."""
        return sum(cell.missing for cell in self.cells.values())

    @property
    def counts(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(run.state for run in self.runs)

    @property
    def fraction(self) -> float:
        """Share of all steps that are done, in [0, 1]."""
        return share_done(self.runs)

    @property
    def metrics(self) -> dict[str, str]:
        """Column -> the name of its metric."""
        return {cell.column: cell.metric for cell in self.cells.values() if cell.metric}

    @property
    def notable(self) -> list[TableRun]:
        """Runs that train, failed, stopped on the way or cannot be used."""
        found = [run for run in self.runs if run.state in NOTABLE]
        return sorted(found, key=lambda run: NOTABLE.index(run.state))


def grid_table(
    grid: Grid, states: Mapping[str, RunState] | None = None, against: str | None = None
) -> Table:
    """The table of a grid.

    Args:
        states: of its runs (`read_states`); None reads them now.
        against: label of the row to compare with. By default the grid file's own; where there is
            none of that label, a remark says so.

    Raises:
        ConfigError: there is no row of the label `against`.
    """
    states = read_states(grid) if states is None else states
    head = grid.head
    settings = {run.run_id: run.settings for run in grid.runs}
    runs = [_found(run.run_id, run.seed, states[run.run_id], head.policy) for run in grid.runs]
    axes = (key for axes in (grid.file.axes, *grid.file.zip) for key in axes)
    placed, extended = place(runs, settings, head.rows, head.columns, axes)
    cells = tabulate(placed)
    rows, columns = _labels(cells)
    remarks = []
    if against is None and head.against is not None and head.against not in rows:
        remarks.append(f"There is no row {head.against!r} to compare with.")
    elif against is None:
        against = head.against
    if against is not None and against not in rows:
        raise ConfigError(f"there is no row {against!r}", f"the rows are: {', '.join(rows)}")
    averages = {}
    if head.average or (head.columns == TASK and len(columns) > 1):
        averages = _average(cells, rows, columns)
    over_tasks = {cell.row: cell for cell in _compared(averages, against).values()}
    if head.average:
        cells |= averages
        columns += (AVERAGE,)
    first: dict[str, Settings] = {}
    for run in placed:
        first.setdefault(run.row, settings[run.run_id])
    beside = []
    if head.paper is not None:
        keys = tuple(key for key in head.rows if key != "model.name")
        for row in rows:
            model = first[row]["model.name"]
            beside.append(model_beside(head.paper, model))
            for column in columns if row not in extended else ():
                if (row, column) in cells:
                    # The paper's tables name the model above the rows, not in each.
                    figure = paper_figure(head.paper, model, label(first[row], keys), column)
                    cells[row, column] = replace(cells[row, column], paper=figure)
    return Table(
        title=head.title or head.name,
        policy=head.policy,
        rows=rows,
        columns=columns,
        cells=_ordered(_compared(cells, against), rows, columns),
        against=against,
        beside=tuple(dict.fromkeys(model for model in beside if model)),
        averaged=head.average,
        over_tasks=over_tasks,
        left_out={**_left_out(cells), **grid.unreadable},
        remarks=tuple(remarks),
    )


def _found(run_id: str, seed: int, found: RunState, policy: str) -> TableRun:
    run = TableRun(run_id, "", "", seed, found.state)
    summary = found.summary
    if summary is None:
        return replace(run, left_out=found.message)
    value = summary.best if policy == "best" else summary.last
    spent = (summary.updated or 0.0) - summary.created if summary.created else 0.0
    complete = found.state == "completed"
    return replace(
        run,
        step=summary.step,
        total_steps=summary.total_steps,
        metric=summary.metric,
        value=None if value is None else 100.0 * value,
        counts=complete and value is not None,
        switched=any((summary.switched or {}).values()),  # at step 0 it never was another
        seconds=max(0.0, spent),
        updated=summary.updated or 0.0,
        left_out="it was never evaluated" if complete and value is None else "",
        message=found.message,
    )


def _average(
    cells: Mapping[Key, TableCell], rows: tuple[str, ...], columns: tuple[str, ...]
) -> dict[Key, TableCell]:
    averages = {}
    for row in rows:
        found = over_columns(results(cells.get((row, column))) for column in columns)
        values = tuple(found.values())
        averages[row, AVERAGE] = TableCell(
            row, AVERAGE, "", *mean_and_spread(values), tuple(found), values, missing=0, switched=0
        )
    return averages


def _compared(cells: Mapping[Key, TableCell], against: str | None) -> dict[Key, TableCell]:
    """The cells with their tests against the row `against`, corrected over each column's rows."""
    if against is None:
        return dict(cells)
    tests = {}
    for (row, column), cell in cells.items():
        other = results(cells.get((against, column)))
        test = t_test(paired(results(cell), other)) if row != against else None
        if test is not None:
            tests[row, column] = test
    compared = dict(cells)
    for column in dict.fromkeys(column for _, column in tests):
        own = {key: test for key, test in tests.items() if key[1] == column}
        corrected = holm({k: t.p_value for k, t in own.items() if t.p_value is not None})
        for key, test in own.items():
            compared[key] = replace(
                cells[key],
                difference=test.difference,
                p_value=test.p_value,
                paired=test.pairs,
                p_holm=corrected.get(key),
                family=len(corrected),
            )
    return compared


def _left_out(cells: Mapping[Key, TableCell]) -> dict[str, str]:
    runs = (run for cell in cells.values() for run in cell.runs)
    return {run.run_id: run.left_out for run in runs if run.left_out}


def _labels(cells: Iterable[Key]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rows, columns = zip(*cells, strict=True) if cells else ((), ())
    return tuple(dict.fromkeys(rows)), tuple(dict.fromkeys(columns))


def _ordered(
    cells: Mapping[Key, TableCell], rows: tuple[str, ...], columns: tuple[str, ...]
) -> dict[Key, TableCell]:
    keys = [(row, column) for row in rows for column in columns]
    return {key: cells[key] for key in keys if key in cells}
