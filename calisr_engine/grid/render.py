"""A grid's table as text, Markdown, LaTeX, CSV or JSON. It computes nothing."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from calisr_engine.analysis import paired
from calisr_engine.grid.cells import TableCell
from calisr_engine.grid.comparison import Comparison
from calisr_engine.grid.paper import AVERAGE
from calisr_engine.grid.table import Table
from calisr_engine.plain_words import counted

WIDTH = 76
"""Sentences of the text form are broken for it, so that they fit into a screen of 80 columns."""
COMPARED = ("interval", "sign_flip", "bootstrap", "effect", "needed", "unpaired")
"""What the CSV form says of a cell's comparison, beside the cell's own fields."""


def render(table: Table, style: str, explain: bool = False, width: int = WIDTH) -> str:
    """The table in one of `FORMATS`.

    Args:
        explain: say of each cell, not of each row alone, what its comparison tells; and the effect
            size, the sign-flip test and the bootstrap interval. JSON and CSV have all in any case.
        width: characters of a line of the text form's sentences.
    """
    return _text(table, explain, width) if style == "text" else FORMATS[style](table, explain)


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
            f"Δ: mean difference to {table.against} over shared seeds, in points; p: two-sided "
            "paired t-test, after Holm over the rows of a column."
        )
    if any(each.effect is not None for each in table.by_row):
        said.append(
            f"Intervals: Student's, each for itself. Seeds needed: for {100 * paired.POWER:.0f} % "
            "power at the effect seen, itself uncertain, and the first of Holm's levels."
        )
    if table.averaged:
        said.append(f"{AVERAGE}: mean over the columns, of the seeds that all of them have.")
    if any(cell.paper is not None for cell in table.cells.values()):
        said.append(f"[ ]: the paper's figure, {' and '.join(table.beside)}.")
    if table.missing:
        failed = table.counts["failed"]
        has = "has" if table.missing == 1 else "have"
        more = f", {failed} failed" if failed else ""
        said.append(f"{counted(table.missing, 'run')} {has} no result yet{more}.")
    said += table.remarks
    said += _unpaired(table)
    said += [f"Left out: {run_id}: {why}." for run_id, why in table.left_out.items()]
    return said


def cell_text(cell: TableCell | None) -> str:
    """One cell: "85.3 ± 1.2 Δ+0.4 p=0.2 [84.0]"."""
    if cell is None:
        return ""
    text = cell.result
    if cell.difference is not None:
        text += f" Δ{cell.difference:+.1f}"
        text += f" p={cell.p_holm:.2g}" if cell.p_holm is not None else ""
    if cell.paper is not None:
        text += f" [{cell.paper:.1f}]"
    return text


def cell_fields(cell: TableCell) -> dict[str, Any]:
    """One cell as plain JSON values; of its runs the ids of those that count."""
    return asdict(cell) | {"runs": [run.run_id for run in cell.runs if run.counts]}


def statements(table: Table, explain: bool = False) -> list[tuple[str, str]]:
    """What is said of each row (see `Table.by_row`), or of each cell: about whom, and what."""
    if explain:
        return [
            (
                ", ".join(filter(None, (each.row, each.column))),
                f"{each.sentence} {each.further}".strip(),
            )
            for each in table.comparisons
        ]
    several = not table.over_tasks and len(table.columns) > 1
    return [
        (f"{each.row}, {each.column}" if several else each.row, each.sentence)
        for each in table.by_row
    ]


def comparison_fields(comparison: Comparison) -> dict[str, Any]:
    """All numbers of a comparison as plain JSON values, and its sentence."""
    test = comparison.test
    own = {key: value for key, value in asdict(comparison).items() if key != "test"}
    return own | {
        "difference": test.difference if test else None,
        "p_value": test.p_value if test else None,
        "interval": test.interval if test else None,
        "paired": test.pairs if test else 0,
        "sentence": comparison.sentence,
    }


def table_fields(table: Table) -> dict[str, Any]:
    """The table as plain JSON values."""
    return {
        "title": table.title,
        "policy": table.policy,
        "against": table.against,
        "entries": [cell_fields(cell) for cell in table.cells.values()],
        "comparisons": [comparison_fields(each) for each in table.comparisons],
        "over_tasks": [comparison_fields(each) for each in table.by_row if table.over_tasks],
        "left_out": dict(table.left_out),
        "remarks": list(table.remarks),
    }


def _against(table: Table, explain: bool) -> str:
    """The heading of the statements."""
    over = ""
    if table.over_tasks and not explain:
        over = f", each seed's mean over {', '.join(c for c in table.columns if c != AVERAGE)}"
    return f"Against {table.against}{over}:"


def _unpaired(table: Table) -> list[str]:
    """Names the seeds that only one of two compared cells has."""
    found = [
        f"{', '.join(map(str, each.unpaired))} ({', '.join(filter(None, (each.row, each.column)))})"
        for each in table.comparisons
        if each.unpaired and each.column != AVERAGE and table.cells[each.row, each.column].seeds
    ]
    return [f"Seeds that {table.against} or the row lacks: {'; '.join(found)}."] if found else []


def _lines(table: Table) -> list[list[str]]:
    return [["", *table.columns]] + [
        [row, *(cell_text(table.cells.get((row, column))) for column in table.columns)]
        for row in table.rows
    ]


def _wrapped(text: str, width: int, first: str = "", others: str = "") -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _text(table: Table, explain: bool, width: int = WIDTH) -> str:
    lines = _lines(table)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    body = [
        "  ".join(cell.ljust(most) for cell, most in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    said = [
        _wrapped(f"{about}: {told}", width, "  ", "    ")
        for about, told in statements(table, explain)
    ]
    if said:
        said = ["", _wrapped(_against(table, explain), width), *said]
    return "\n".join([table.title, "", *body, *said, "", *notes(table)]) + "\n"


_MARKDOWN = str.maketrans({each: f"\\{each}" for each in "\\`*_[]<>|"})
"""Characters that would end a cell, or make a link, an image or a tag of a name."""


def _markdown(table: Table, explain: bool) -> str:
    def plain(text: str) -> str:
        return " ".join(text.splitlines()).translate(_MARKDOWN)

    head, *body = (f"| {' | '.join(map(plain, line))} |" for line in _lines(table))
    rule = "|" + "---|" * (1 + len(table.columns))
    said = [f"- {plain(about)}: {plain(told)}" for about, told in statements(table, explain)]
    if said:
        said = ["", plain(_against(table, explain)), "", *said]
    end = ["", plain(" ".join(notes(table))), ""]
    return "\n".join([f"# {plain(table.title)}", "", head, rule, *body, *said, *end])


_LATEX = str.maketrans(
    {each: rf"\{each}" for each in "{}$&#%_"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    | {"±": r"$\pm$", "Δ": r"$\Delta$", "\n": " "}
)
"""A cell's characters -> LaTeX that sets them: names of others are no commands."""


def _comment(text: str) -> str:
    return f"% {' '.join(text.splitlines())}"


def _latex(table: Table, explain: bool) -> str:
    def row(cells: list[str]) -> str:
        return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"

    head, *body = _lines(table)
    said = [f"{about}: {sentence}" for about, sentence in statements(table, explain)]
    said = [" ".join(notes(table)), *([_against(table, explain), *said] if said else [])]
    lines = [
        *map(_comment, said),
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        row(head),
        r"\midrule",
        *map(row, body),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _csv(table: Table, explain: bool) -> str:
    compared = {(each.row, each.column): comparison_fields(each) for each in table.comparisons}
    buffer = io.StringIO()
    names = dict.fromkeys([*TableCell.__dataclass_fields__, *COMPARED])
    writer = csv.DictWriter(buffer, list(names), lineterminator="\n")
    writer.writeheader()
    for key, cell in table.cells.items():
        own = compared.get(key, {})
        fields = {name: own.get(name) for name in COMPARED} | cell_fields(cell)
        writer.writerow({name: _joined(value) for name, value in fields.items()})
    return buffer.getvalue()


def _joined(value: Any) -> Any:
    listed = isinstance(value, Iterable) and not isinstance(value, str)
    return " ".join(map(str, value)) if listed else value


def _json(table: Table, explain: bool) -> str:
    return json.dumps(table_fields(table), indent=1) + "\n"


FORMATS: dict[str, Callable[[Table, bool], str]] = {
    "text": _text,
    "markdown": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
