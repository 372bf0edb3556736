"""Runs side by side as tables of the app: settings that differ, results, seeds; a sign a run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from rich.cells import cell_len
from rich.console import Group

from calisr_engine.grid.compare import counted
from calisr_tui.charts.compare_plots import GLYPHS
from calisr_tui.charts.compare_text import Comparison
from calisr_tui.charts.runs_text import GAP
from calisr_tui.verbatim import Table, Text

SIGN = 1 + GAP
"""Cells of a run's sign."""
LEAST_NAME = 10
"""Cells that a run's name has at least; for it the last columns of results are left out."""


def tables_of(said: Comparison, styles: Mapping[str, str], room: int) -> Group:
    """Settings that differ, then results, then seeds."""
    signs = {
        name: (GLYPHS[index % 8], styles[f"run{index % 8 + 1}"])
        for index, name in enumerate(said.names)
    }
    parts: list[Table | Text] = [Text("Settings that differ", "bold")]
    if said.differing:
        settings = _table()
        settings.add_column("", style=styles["dim"], no_wrap=True)
        for name in said.names:
            settings.add_column(Text(*signs[name]))
        for key, values in said.differing.items():
            settings.add_row(key, *values)
        parts.append(settings)
    else:
        parts.append(Text("none", styles["dim"]))
    parts.append(Text("\nResults", "bold"))
    runs = _table()
    runs.add_column("")
    widths = [max(map(cell_len, texts)) for texts in zip(said.headings, *said.results, strict=True)]
    ends = accumulate((width + GAP for width in widths), initial=SIGN + LEAST_NAME)
    kept = max(1, sum(end <= room for end in list(ends)[1:]))
    for heading, width in zip(said.headings[:kept], widths, strict=False):
        runs.add_column(heading, header_style=styles["dim"], no_wrap=True, min_width=width)
    runs.add_column("run", header_style=styles["dim"])
    for name, row in zip(said.names, said.results, strict=True):
        best, *rest = row[:kept]
        named = Text(name, styles["dim"], no_wrap=True, overflow="ellipsis")
        runs.add_row(Text(*signs[name]), Text(best, "bold"), *rest, named)
    parts += [runs, Text("\nMean and spread over seeds", "bold")]
    seeds = _table()
    for heading, *texts in zip(said.seed_headings, *said.seed_rows, strict=True):
        figures = heading in ("metric", "mean", "± sd")
        least = max(map(cell_len, (heading, *texts))) if figures else None
        seeds.add_column(heading, header_style=styles["dim"], no_wrap=figures, min_width=least)
    for cell, row in zip(said.seeds, said.seed_rows, strict=True):
        marks = Text()
        for name in counted(cell):
            marks.append(*signs[name])
        seeds.add_row(Text.assemble(marks, " ", row[0]), *row[1:])
    parts.append(seeds)
    if said.left_out:
        parts.append(Text(said.left_out_text, styles["dim"]))
    return Group(*parts)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
