"""The tables of the comparison at any width: figures whole, names cut, last columns left out."""

from __future__ import annotations

import copy

import pytest
from rich.console import Console

from calisr_engine.runs import load_view
from calisr_tui.charts.compare_tables import tables_of
from calisr_tui.charts.compare_text import comparison
from calisr_tui.feed import EXAMPLE
from calisr_tui.themes import NAMES, colours


def test_runs_that_are_in_no_mean_are_named_with_the_reason() -> None:
    recorded = load_view(EXAMPLE)
    views = {name: copy.deepcopy(recorded) for name in ("a", "b", "twice", "begins", "bare")}
    for seed, view in enumerate(views.values()):
        view.config["training"]["seed"] = min(seed, 1)
    views["begins"].config["training"]["seed"] = 7
    views["begins"].best = None
    views["bare"].config = {}
    said = comparison(views)
    assert said.left_out["begins"] == "it was not evaluated yet"
    assert said.left_out["bare"] == "its log does not say its settings"
    (again,) = said.left_out.keys() - {"begins", "bare"}
    assert again in ("b", "twice")
    assert "has the same settings and seed" in said.left_out[again]
    console = Console(width=60, file=None)
    with console.capture() as capture:
        console.print(tables_of(said, colours(NAMES[0]), 60))
    words = " ".join(capture.get().split())
    assert "left out: " in words
    assert "begins: it was not evaluated yet; bare: its log does not say" in words


@pytest.mark.parametrize("width", [56, 76, 116, 196])
def test_figures_are_whole_at_any_width(width: int) -> None:
    recorded = load_view(EXAMPLE)
    views = {}
    for seed in range(8):
        view = copy.deepcopy(recorded)
        view.config["training"]["seed"] = seed
        view.best = view.last = 0.8 + seed / 1000
        views[f"cola-lora-S-lr0.0005-s{seed}-20261123-0015"] = view
    said = comparison(views)
    console = Console(width=width, file=None)
    with console.capture() as capture:
        console.print(tables_of(said, colours(NAMES[0]), width))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for seed, name in enumerate(views):
        row = next(line for line in lines if f"{0.8 + seed / 1000:.4f}" in line)
        assert "…" not in row[: row.index(name[:8])]
        assert row.split()[3:6] == [f"{0.8 + seed / 1000:.4f}", "matthews", "completed"]
    assert {"0.8035", "0.0024"} <= set(words)
    assert ("trains" in words) == (width >= 76)
    assert ("switched" in words) == (width >= 116)
