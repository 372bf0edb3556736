"""The tables of docs/evidence.md say what the logs beside them say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("head", "logs", "count"), [("bf16", "minilm", 6), ("fp32", "minilm-fp32", 5)]
)
def test_cola(head: str, logs: str, count: int) -> None:
    table = grid_table(grid_of_runs(LOGS / logs), against="LoRA")
    rows = rows_of(f"| row, {head} |")
    assert len(rows) == len(table.rows) == count
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


def test_what_the_page_says_of_single_runs() -> None:
    """All calibrated runs and controls below LoRA, by how much, and what shuffling costs."""
    cells = {}
    for logs in ("minilm", "minilm-fp32"):
        for (row, _), cell in grid_table(grid_of_runs(LOGS / logs)).cells.items():
            cells.update({(row, s): v for s, v in zip(cell.seeds, cell.values, strict=True)})
    rows = ("LoRA+CaliSr-D", "LoRA+CaliSr-S", "LoRA+CaliSr-S shuffled", "LoRA+CaliSr-S coin")
    lost = [cells["LoRA", seed] - cells[row, seed] for row in rows for seed in (1, 2, 3)]
    assert len(lost) == 12
    assert (round(min(lost), 1), round(max(lost), 1)) == (1.7, 13.3)
    assert "by 1.7 to 13.3 points" in PAGE
    score, shuffled, coin = ([cells[row, seed] for seed in (1, 2, 3)] for row in rows[1:])
    dealt = [a - b for a, b in zip(score, shuffled, strict=True)]
    assert (round(min(dealt), 1), round(max(dealt), 1)) == (0.5, 0.7)
    assert [round(b - a, 1) for a, b in zip(score, coin, strict=True)] == [-3.4, 3.9, 0.8]
