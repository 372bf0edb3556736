"""The tables of docs/evidence.md say what the logs beside them say."""

from __future__ import annotations

import re
from pathlib import Path

from calisr_engine.grid.folders import grid_of_runs
from calisr_engine.grid.table import grid_table

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "benchmarks" / "evidence" / "logs"
PAGE = (ROOT / "docs" / "evidence.md").read_text()


def rows_of(head: str) -> dict[str, list[str]]:
    """First cell -> the others, of the table that begins with `head`; bold marks left out."""
    body = PAGE[PAGE.index(head) :].split("\n\n")[0].replace("**", "").splitlines()[2:]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in body]
    return {first: rest for first, *rest in lines}


def test_rates() -> None:
    table = grid_table(grid_of_runs(LOGS / "search"))
    rows = rows_of("| rate |")
    assert len(rows) == len(table.rows) == 6
    for row in table.rows:
        method, _, rate = row.partition(" learning_rate=")
        name = {"FFT": "full fine-tuning", "LoRA": "LoRA"}[method]
        (shown,) = [
            v for k, v in rows.items() if k.startswith(name) and float(k.split()[-1]) == float(rate)
        ]
        assert shown == [f"{table.cells[row, task].mean:.1f}" for task in ("CoLA", "RTE")]


def test_cola() -> None:
    table = grid_table(grid_of_runs(LOGS / "minilm"), against="LoRA")
    rows = rows_of("| row |")
    assert len(rows) == len(table.rows) == 6
    for row in table.rows:
        name = row.replace("FFT", "full fine-tuning").replace("+", " + ")
        name = re.sub(r"-S (shuffled|coin)", r"-S, \1", name)
        cell = table.cells[row, "CoLA"]
        seeds, shown, against = rows[name]
        assert seeds == ", ".join(map(str, sorted(cell.seeds)))
        assert shown.split(" ± ")[0] == f"{cell.mean:.1f}"
        if len(cell.seeds) > 1:
            assert shown.split(" ± ")[1] == f"{cell.deviation:.1f}"
        if row != "LoRA":
            assert against == f"{cell.difference:.1f}"
