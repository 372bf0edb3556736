"""A grid's results as one table: mean and spread over seeds, a paired test, the paper's figures."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calisr_engine.errors import ConfigError
from calisr_engine.grid.plan import Cell, GridPlan
from calisr_engine.grid.schedule import GridState, read_state
from calisr_engine.tasks import glue

METHODS = {
    "fft": "FFT",
    "lora": "LoRA",
    "mpop": "MPOP",
    "child_tuning_d": "ChildTuning",
    "child_tuning_f": "ChildTuning-F",
    "mask_bert": "MaskBERT",
    "bitfit": "BitFit",
    "adapter": "Adapters",
    "prefix": "Prefix-tuning",
    "diff_pruning": "Diff pruning",
}
GROUPS = {
    ("intermediate",): "ffn1",
    ("output",): "ffn2",
    ("query", "key", "value", "attention_output"): "att",
    ("query", "key", "value", "attention_output", "intermediate", "output"): "all",
}
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
    """Attributes: entries by (row label, column label); against: the row compared with, or None."""

    title: str
    policy: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: Mapping[tuple[str, str], Entry]
    against: str | None

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
        if any(entry.paper is not None for entry in self.entries.values()):
            notes.append("[ ]: the paper's figure.")
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
            text += f" [{entry.paper:g}]"
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
    entries = {}
    for (row, column), cells in groups.items():
        own = results[row, column]
        other = results.get((against, column), {}) if against not in (None, row) else {}
        difference, p_value, shared = _paired(own, other)
        summaries = [state.runs[c.run_id] for c in cells if c.run_id in state.runs]
        values = list(own.values())
        entries[row, column] = Entry(
            row=row,
            column=column,
            metric=next((s.metric for s in summaries if s.metric), ""),
            mean=statistics.mean(values) if values else None,
            deviation=statistics.stdev(values) if len(values) > 1 else None,
            seeds=tuple(own),
            values=tuple(values),
            missing=len(cells) - len(own),
            switched=sum(1 for s in summaries if s.switched),
            paper=_paper_figure(head.paper, cells[0], row, column),
            difference=difference,
            p_value=p_value,
            paired=shared,
        )
    return Report(head.title or head.name, head.policy, rows, columns, entries, against)


def label(cell: Cell, keys: tuple[str, ...]) -> str:
    """A run's row or column in words, as the paper writes it."""
    words = [_word(key, _value(cell, key)) for key in keys]
    return " ".join(word for word in words if word).replace(" +", "+")


def _word(key: str, value: Any) -> str:
    if key == "method.name":
        return METHODS.get(value, str(value))
    if key == "calibration.variant":
        return "" if value == "off" else f"+CaliSr-{value}"
    if key == "task.name":
        try:
            return glue.find(value).title
        except Exception:  # own data may have any name
            return str(value)
    if key == "method.components":
        return "all" if value is None else GROUPS.get(tuple(value), "+".join(value))
    if key == "training.learning_rate":
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return "" if value is None else str(value)


def _value(cell: Cell, key: str) -> Any:
    value: Any = cell.resolved.config
    for part in key.split("."):
        value = getattr(value, part, None)
    return value


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


def _paper_figure(table: str | None, cell: Cell, row: str, column: str) -> float | None:
    if table is None:
        return None
    with (Path(__file__).parent / "paper_figures.toml").open("rb") as file:
        by_model = tomllib.load(file).get(table, {})
    found = by_model.get(cell.resolved.config.model.name) or next(iter(by_model.values()), None)
    if found is None or row not in found["rows"] or column not in found["columns"]:
        return None
    return float(found["rows"][row][found["columns"].index(column)])
