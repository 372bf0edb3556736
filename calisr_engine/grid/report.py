"""A grid's results as one table: mean and spread over seeds, a paired test, the paper's figures."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from calisr_engine.errors import ConfigError
from calisr_engine.grid.labels import label
from calisr_engine.grid.paper import AVERAGE, model_beside, paper_figure
from calisr_engine.grid.plan import Cell, GridPlan
from calisr_engine.grid.schedule import GridState, read_state

FORMATS = ("text", "markdown", "latex", "csv", "json")


@dataclass(frozen=True)
class Entry:
    """One cell of the table.

    Attributes:
        mean, deviation: of the metric over seeds, in percent; None without (two) results.
        seeds: seeds with a result; missing: runs without one.
        paper: the paper's figure, in percent.
        difference, p_value: mean difference to the chosen row over the seeds that both have, and
            the two-sided p-value of a paired t-test (None below two such seeds).
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


@dataclass(frozen=True)
class Report:
    """A grid's table.

    Attributes:
        entries: by (row label, column label).
        against: the row compared with, or None.
        beside: models of the paper whose figures are printed.
        averaged: whether the last column is the mean over the others.
    """

    title: str
    policy: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: Mapping[tuple[str, str], Entry]
    against: str | None
    beside: tuple[str, ...] = ()
    averaged: bool = False

    @property
    def missing(self) -> int:
        return sum(entry.missing for entry in self.entries.values())

    def render(self, style: str) -> str:
        """The report as text in one of `FORMATS`."""
        return {
            "text": self._text,
            "markdown": self._markdown,
            "latex": self._latex,
            "csv": self._csv,
            "json": self._json,
        }[style]()

    def notes(self) -> list[str]:
        """What a reader must know, a sentence each; they end the text and Markdown forms."""
        seeds = sorted({len(entry.seeds) for entry in self.entries.values()})
        span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        notes = [
            f"{self.policy} evaluation of each run, in percent; mean ± standard deviation over "
            f"{span} seeds."
        ]
        if self.against is not None:
            notes.append(
                f"Δ: mean difference to {self.against} over shared seeds, with the two-sided "
                "p-value of a paired t-test."
            )
        if self.averaged:
            notes.append(f"{AVERAGE}: mean over the columns, of the seeds that all of them have.")
        if any(entry.paper is not None for entry in self.entries.values()):
            notes.append(f"[ ]: the paper's figure, {' and '.join(self.beside)}.")
        if self.missing:
            notes.append(f"{self.missing} runs have no result yet.")
        return notes

    def cell(self, row: str, column: str) -> str:
        entry = self.entries.get((row, column))
        if entry is None:
            return ""
        if entry.mean is None:
            text = "–"
        elif entry.deviation is None:
            text = f"{entry.mean:.1f}"
        else:
            text = f"{entry.mean:.1f} ± {entry.deviation:.1f}"
        if entry.difference is not None:
            text += f" Δ{entry.difference:+.1f}"
            text += f" p={entry.p_value:.2g}" if entry.p_value is not None else ""
        if entry.paper is not None:
            text += f" [{entry.paper:.1f}]"
        return text

    def _grid(self) -> list[list[str]]:
        return [["", *self.columns]] + [
            [row, *(self.cell(row, column) for column in self.columns)] for row in self.rows
        ]

    def _text(self) -> str:
        table = self._grid()
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        ]
        return "\n".join([self.title, "", *lines, "", *self.notes()]) + "\n"

    def _markdown(self) -> str:
        head, *body = self._grid()
        lines = [f"| {' | '.join(line)} |" for line in body]
        rule = "|" + "---|" * len(head)
        notes = " ".join(self.notes())
        top = f"| {' | '.join(head)} |"
        return "\n".join([f"# {self.title}", "", top, rule, *lines, "", notes, ""])

    def _latex(self) -> str:
        def escape(text: str) -> str:
            for old, new in (("±", r"$\pm$"), ("Δ", r"$\Delta$"), ("%", r"\%"), ("_", r"\_")):
                text = text.replace(old, new)
            return text

        head, *body = self._grid()
        lines = [" & ".join(escape(cell) for cell in line) + r" \\" for line in body]
        return "\n".join(
            [
                rf"% {' '.join(self.notes())}",
                rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}",
                r"\toprule",
                " & ".join(escape(cell) for cell in head) + r" \\",
                r"\midrule",
                *lines,
                r"\bottomrule",
                r"\end{tabular}",
                "",
            ]
        )

    def _csv(self) -> str:
        buffer = io.StringIO()
        names = list(Entry.__dataclass_fields__)
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        for entry in self.entries.values():
            fields = asdict(entry)
            for key in ("seeds", "values"):
                fields[key] = " ".join(map(str, fields[key]))
            writer.writerow(fields)
        return buffer.getvalue()

    def _json(self) -> str:
        content = {
            "title": self.title,
            "policy": self.policy,
            "against": self.against,
            "entries": [asdict(entry) for entry in self.entries.values()],
        }
        return json.dumps(content, indent=1) + "\n"


def make_report(plan: GridPlan, against: str | None = None) -> Report:
    """The table of a grid as its runs are now.

    Args:
        against: label of the row to compare with; the grid file's own by default.

    Raises:
        ConfigError: there is no row of that label.
    """
    state = read_state(plan)
    head = plan.grid.grid
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in plan.cells:
        key = (label(cell, head.rows), label(cell, head.columns))
        groups.setdefault(key, []).append(cell)
    rows = tuple(dict.fromkeys(row for row, _ in groups))
    columns = tuple(dict.fromkeys(column for _, column in groups))
    against = against if against is not None else head.against
    if against is not None and against not in rows:
        raise ConfigError(f"there is no row {against!r}", f"the rows are: {', '.join(rows)}")
    results = {key: _results(cells, state, head.policy) for key, cells in groups.items()}
    if head.average:
        for row in rows:
            results[row, AVERAGE] = _averages([results.get((row, c), {}) for c in columns])
        columns += (AVERAGE,)
    first = {
        row: next(cells[0] for (each, _), cells in groups.items() if each == row) for row in rows
    }
    entries = {}
    for row in rows:
        for column in columns:
            if (row, column) in results:
                cells = groups.get((row, column), [])
                other = results.get((against, column), {}) if against not in (None, row) else {}
                entry = _entry(row, column, cells, state, results[row, column], other)
                paper = _beside(head.paper, first[row], head.rows, column)
                entries[row, column] = replace(entry, paper=paper)
    beside = (
        model_beside(head.paper, c.resolved.config.model.name) if head.paper else None
        for c in first.values()
    )
    return Report(
        head.title or head.name,
        head.policy,
        rows,
        columns,
        entries,
        against,
        tuple(dict.fromkeys(model for model in beside if model)),
        head.average,
    )


def _entry(
    row: str,
    column: str,
    cells: list[Cell],
    state: GridState,
    own: Mapping[int, float],
    other: Mapping[int, float],
) -> Entry:
    difference, p_value, shared = _paired(own, other)
    summaries = [state.runs[c.run_id] for c in cells if c.run_id in state.runs]
    values = list(own.values())
    return Entry(
        row=row,
        column=column,
        metric=next((s.metric for s in summaries if s.metric), ""),
        mean=statistics.mean(values) if values else None,
        deviation=statistics.stdev(values) if len(values) > 1 else None,
        seeds=tuple(own),
        values=tuple(values),
        missing=max(0, len(cells) - len(own)),
        switched=sum(1 for s in summaries if s.switched),
        difference=difference,
        p_value=p_value,
        paired=shared,
    )


def _averages(columns: list[Mapping[int, float]]) -> dict[int, float]:
    """Seed -> mean over the columns, of the seeds that every column has."""
    seeds = set.intersection(*(set(column) for column in columns))
    return {seed: statistics.mean(c[seed] for c in columns) for seed in sorted(seeds)}


def _beside(table: str | None, cell: Cell, keys: tuple[str, ...], column: str) -> float | None:
    """The paper's figure; its tables name the model above the rows, not in each."""
    if table is None:
        return None
    row = label(cell, tuple(key for key in keys if key != "model.name"))
    return paper_figure(table, cell.resolved.config.model.name, row, column)


def _results(cells: list[Cell], state: GridState, policy: str) -> dict[int, float]:
    """Seed -> metric in percent, of the runs that are complete."""
    found = {}
    for cell in cells:
        summary = state.runs.get(cell.run_id)
        if summary is not None and summary.state == "completed":
            value = summary.best if policy == "best" else summary.last
            if value is not None:
                found[cell.resolved.config.training.seed] = 100.0 * value
    return found


def _paired(
    own: Mapping[int, float], other: Mapping[int, float]
) -> tuple[float | None, float | None, int]:
    """(mean difference, p-value of a paired t-test, shared seeds)."""
    shared = sorted(own.keys() & other.keys())
    if not shared:
        return None, None, 0
    differences = [own[seed] - other[seed] for seed in shared]
    if len(shared) < 2 or not any(differences):
        return statistics.mean(differences), None, len(shared)
    from scipy.stats import ttest_1samp

    p_value = float(ttest_1samp(differences, 0.0).pvalue)
    return statistics.mean(differences), None if math.isnan(p_value) else p_value, len(shared)
