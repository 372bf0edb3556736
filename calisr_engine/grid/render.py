"""A grid's table as text, Markdown, LaTeX, CSV or JSON. It computes nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from calisr_engine.grid.cells import TableCell
from calisr_engine.grid.paper import AVERAGE
from calisr_engine.grid.table import Table


def render(table: Table, style: str) -> str:
    """The table in one of `FORMATS`."""
    return FORMATS[style](table)


def notes(table: Table) -> list[str]:
    """What a reader must know, a sentence each; they end the text and Markdown forms."""
    seeds = sorted({len(cell.seeds) for cell in table.cells.values()})
    span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    said = [
        f"{table.policy} evaluation of each run, in percent; mean ± standard deviation over "
        f"{span} seeds."
    ]
    if table.against is not None:
        said.append(
            f"Δ: mean difference to {table.against} over shared seeds, with the two-sided "
            "p-value of a paired t-test."
        )
    if table.averaged:
        said.append(f"{AVERAGE}: mean over the columns, of the seeds that all of them have.")
    if any(cell.paper is not None for cell in table.cells.values()):
        said.append(f"[ ]: the paper's figure, {' and '.join(table.beside)}.")
    if table.missing:
        failed = table.counts["failed"]
        said.append(
            f"{table.missing} runs have no result yet{f', {failed} failed' if failed else ''}."
        )
    said += table.remarks
    said += [f"Left out: {run_id}: {why}." for run_id, why in table.left_out.items()]
    return said


def cell_text(cell: TableCell | None) -> str:
    """One cell: "85.3 ± 1.2 Δ+0.4 p=0.2 [84.0]"."""
    if cell is None:
        return ""
    text = cell.result
    if cell.difference is not None:
        text += f" Δ{cell.difference:+.1f}"
        text += f" p={cell.p_value:.2g}" if cell.p_value is not None else ""
    if cell.paper is not None:
        text += f" [{cell.paper:.1f}]"
    return text


def cell_fields(cell: TableCell) -> dict[str, Any]:
    """One cell as plain JSON values; of its runs the ids of those that count."""
    return asdict(cell) | {"runs": [run.run_id for run in cell.runs if run.counts]}


def table_fields(table: Table) -> dict[str, Any]:
    """The table as plain JSON values."""
    return {
        "title": table.title,
        "policy": table.policy,
        "against": table.against,
        "entries": [cell_fields(cell) for cell in table.cells.values()],
        "left_out": dict(table.left_out),
        "remarks": list(table.remarks),
    }


def _lines(table: Table) -> list[list[str]]:
    return [["", *table.columns]] + [
        [row, *(cell_text(table.cells.get((row, column))) for column in table.columns)]
        for row in table.rows
    ]


def _text(table: Table) -> str:
    lines = _lines(table)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, "", *body, "", *notes(table)]) + "\n"


def _markdown(table: Table) -> str:
    head, *body = _lines(table)
    lines = [f"| {' | '.join(line)} |" for line in body]
    rule = "|" + "---|" * len(head)
    top = f"| {' | '.join(head)} |"
    return "\n".join([f"# {table.title}", "", top, rule, *lines, "", " ".join(notes(table)), ""])


_LATEX = str.maketrans(
    {each: rf"\{each}" for each in "{}$&#%_"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    | {"±": r"$\pm$", "Δ": r"$\Delta$", "\n": " "}
)
"""A cell's characters -> LaTeX that sets them: names of others are no commands."""


def _latex(table: Table) -> str:
    def row(cells: list[str]) -> str:
        return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"

    head, *body = _lines(table)
    lines = [
        rf"% {' '.join(' '.join(notes(table)).splitlines())}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        row(head),
        r"\midrule",
        *map(row, body),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _csv(table: Table) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(TableCell.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    for cell in table.cells.values():
        fields = cell_fields(cell)
        for key in ("seeds", "values", "runs"):
            fields[key] = " ".join(map(str, fields[key]))
        writer.writerow(fields)
    return buffer.getvalue()


def _json(table: Table) -> str:
    return json.dumps(table_fields(table), indent=1) + "\n"


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": _text,
    "markdown": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
