"""The gap between validation and training loss beside the terms of the bound, over runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from calisr_engine.analysis.correlation import FEWEST_ROWS, Correlation, within
from calisr_engine.errors import NotFoundError
from calisr_engine.events.flat_settings import flatten
from calisr_engine.events.view import Generalised, RunView
from calisr_engine.figures.data import Figure, Look, Panel, Series, looks, over_runs
from calisr_engine.figures.runs import begun_views
from calisr_engine.grid.cells import TableRun, place, tabulate
from calisr_engine.grid.labels import METHOD, TASK

FIGURES = {
    "train_loss": "training loss",
    "validation_loss": "validation loss",
    "gap": "gap",
    "stable_rank": "total stable rank",
    "log_norms": "ln of the norms' product",
    "log_bound": "ln of the bound",
}
"""What is measured, in words; `GeneralisationMeasured` defines each."""
TERMS = ("stable_rank", "log_norms", "log_bound")
"""What is correlated with the gap."""


@dataclass(frozen=True)
class GapRow:
    """One method and task: means over seeds of the last measurements.

    Attributes:
        runs, seeds: those that count, in the same order.
    """

    task: str
    row: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    means: Mapping[str, float | None]


@dataclass(frozen=True)
class Study:
    """Attributes: rows: see `GapRow`; correlations: term -> its correlation with the gap;
    left_out: run -> why it does not count; views: of the runs that do."""

    rows: tuple[GapRow, ...]
    correlations: Mapping[str, Correlation]
    left_out: Mapping[str, str]
    views: Mapping[str, RunView]

    @property
    def sentence(self) -> str:
        """What follows for the question of Section 3.2: does a lower stable rank go with a smaller
        gap?"""
        found = self.correlations["stable_rank"]
        if found.rho is None or found.p_value is None:
            return (
                "Nothing can be said of stable rank and gap: that needs runs of at least "
                f"{FEWEST_ROWS} rows of one task with a seed that all of them have."
            )
        tasks = f" of {found.tasks} tasks" if found.tasks > 1 else ""
        numbers = f"({in_words(found)}; {found.rows} rows{tasks}, compared within task and seed)"
        if found.p_value >= 0.05:
            return f"That stable rank and gap go together could be chance {numbers}."
        which = "smaller" if found.rho > 0 else "larger"
        return (
            f"A lower total stable rank goes with a {which} gap, which is unlikely to be chance "
            f"{numbers}. The rows differ in more than their stable rank, so this does not say that "
            "the one makes the other."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with every measurement of every run."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "correlations": {name: asdict(each) for name, each in self.correlations.items()},
            "sentence": self.sentence,
            "left_out": dict(self.left_out),
            "measurements": list(self._measurements()),
        }

    def to_csv(self) -> str:
        """A line for every measurement of every run that counts."""
        buffer = io.StringIO()
        names = ("run", "task", "row", "seed", "step", *FIGURES)
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._measurements())
        return buffer.getvalue()

    def _measurements(self) -> Iterable[dict[str, Any]]:
        for row in self.rows:
            for run, seed in zip(row.runs, row.seeds, strict=True):
                for each in self.views[run].generalisation:
                    known = {"run": run, "task": row.task, "row": row.row, "seed": seed}
                    yield known | {"step": each.step, **_figures(each)}


def in_words(found: Correlation) -> str:
    """The numbers of a correlation."""
    if found.rho is None:
        return "no correlation: one of the two never differs"
    said = f"Spearman {found.rho:+.2f}"
    if found.interval is not None:
        said += f", 95 % interval {found.interval[0]:+.2f} to {found.interval[1]:+.2f}"
    if found.p_value is None:
        return f"{said}, too few rows for a test"
    p_value = "< 0.001" if found.p_value < 0.001 else f"= {found.p_value:.2g}"
    return f"{said}, permutation p {p_value}"


def study(sources: Sequence[str], output_dir: Path) -> Study:
    """What complete runs that logged their generalisation show; of each its last measurement.

    Raises:
        NotFoundError: a source names nothing, or no complete run of them has logged it.
        ConfigError: a grid file is wrong.
    """
    views, problems = begun_views(sources, output_dir)
    left_out = {name: "it is not complete" for name, v in views.items() if v.state != "completed"}
    views = {name: view for name, view in views.items() if name not in left_out}
    left_out |= {
        name: "its generalisation was not logged"
        for name, view in views.items()
        if not (view.generalisation and view.generalisation[-1].gap is not None)
    }
    views = {name: view for name, view in views.items() if name not in left_out}
    left_out |= problems
    if not views:
        raise NotFoundError(
            f"no complete run of {', '.join(sources)} has logged its generalisation",
            "train runs with --set diagnostics.generalisation=true (of a grid whose runs are "
            "complete, in another --output-dir)",
        )
    runs = [
        TableRun(
            name,
            "",
            "",
            view.seed or 0,
            state=view.state,
            value=view.generalisation[-1].gap,
            counts=True,
            updated=view.updated or 0.0,
        )
        for name, view in views.items()
    ]
    settings = {name: flatten(view.config) for name, view in views.items()}
    tabulated = tabulate(place(runs, settings, METHOD, TASK)[0])
    cells = sorted(tabulated.values(), key=lambda cell: (cell.column, cell.row))
    left_out |= {run.run_id: run.left_out for c in cells for run in c.runs if run.left_out}
    tables: dict[str, dict[str, dict[int, Generalised]]] = {}
    rows = []
    for cell in cells:
        counted = [run for run in cell.runs if run.counts]
        last = {run.seed: views[run.run_id].generalisation[-1] for run in counted}
        tables.setdefault(cell.column, {})[cell.row] = last
        means = {name: _mean(_figures(each)[name] for each in last.values()) for name in FIGURES}
        ids = tuple(run.run_id for run in counted)
        rows.append(GapRow(cell.column, cell.row, ids, tuple(last), means))
    return Study(
        tuple(rows),
        {term: within([_pairs(table, term) for table in tables.values()]) for term in TERMS},
        left_out,
        {run: views[run] for row in rows for run in row.runs},
    )


def curves(found: Study) -> Figure:
    """Each figure against the step, a curve a row: the mean over its seeds."""
    tasks = {row.task for row in found.rows}
    panels = []
    shown = ("train_loss", "validation_loss", "gap", "stable_rank", "log_bound")
    for count, name in enumerate(shown, start=1):
        series = []
        kinds = [(row.row, row.task) for row in found.rows]
        for row, look in zip(found.rows, looks(kinds) if kinds else [], strict=True):
            label = f"{row.task} {row.row}" if len(tasks) > 1 else row.row
            series.append(_curve(label, [found.views[run] for run in row.runs], name, look))
        panels.append(
            Panel(
                name=str(count),
                title=FIGURES[name].capitalize(),
                x_label="step",
                y_label="mean over seeds",
                series=tuple(series),
            )
        )
    return Figure("Generalisation", tuple(panels), (found.sentence,))


def _curve(label: str, views: Sequence[RunView], name: str, look: Look) -> Series:
    points: dict[float, list[float]] = {}
    for view in views:
        for each in view.generalisation:
            value = _figures(each)[name]
            if value is not None:
                points.setdefault(float(each.step), []).append(value)
    most = max(map(len, points.values()), default=0)
    whole = {step: values for step, values in points.items() if len(values) == most}
    return over_runs(label, whole, "line+points", look)


def _pairs(
    table: Mapping[str, Mapping[int, Generalised]], term: str
) -> dict[str, dict[int, tuple[float, float]]]:
    """Row -> seed -> (term, gap), of the runs that have both."""
    pairs: dict[str, dict[int, tuple[float, float]]] = {}
    for row, seeds in table.items():
        for seed, each in seeds.items():
            value, gap = _figures(each)[term], each.gap
            if value is not None and gap is not None:
                pairs.setdefault(row, {})[seed] = (value, gap)
    return pairs


def _figures(said: Generalised) -> dict[str, float | None]:
    return {name: getattr(said, name) for name in FIGURES}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
