"""Runs side by side: numbers as in a grid's table, and a word on what does not compare."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from calisr_engine.events.view import RunView
from calisr_engine.grid import Grid
from calisr_engine.grid.compare import (
    counted,
    differences,
    name_of,
    names_of,
    over_seeds,
    warnings,
)
from calisr_engine.grid.table import grid_table
from calisr_engine.runs import load_view
from calisr_tui.cli.app import run_command_line
from tests.tui.grids import make_grid


def views(grid: Grid, *wanted: int) -> dict[str, RunView]:
    names = [grid.runs[each].run_id for each in wanted]
    return {name: load_view(grid.folder / name) for name in names}


def test_the_numbers_are_those_of_the_report(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    (cell,) = over_seeds(views(grid, 0, 1, 2))
    entry = grid_table(grid).cells[cell.row, cell.column]
    assert (cell.row, cell.column, cell.seeds) == (entry.row, entry.column, entry.seeds)
    assert 100 * cell.mean == pytest.approx(entry.mean)  # type: ignore[operator]
    assert 100 * cell.deviation == pytest.approx(entry.deviation)  # type: ignore[operator]
    assert name_of(cell) == "MRPC LoRA"


def test_runs_of_other_tasks_are_no_spread_and_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = make_grid(tmp_path)
    chosen = views(grid, 0, 1, 3)
    assert [cell.column for cell in over_seeds(chosen)] == ["MRPC", "RTE"]
    assert "task.name" in differences(chosen)
    assert warnings(views(grid, 0, 1)) == []
    (warning,) = warnings(chosen)
    assert "different tasks (MRPC, RTE)" in warning
    assert run_command_line(["compare", *chosen, "--output-dir", str(grid.folder)]) == 0
    assert "different tasks (MRPC, RTE)" in capfd.readouterr()[1]


def test_other_metrics_are_a_warning(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    chosen = views(grid, 0, 1)
    next(iter(chosen.values())).metric = "f1"
    assert warnings(chosen) == [
        "Their metrics differ (accuracy, f1), so the numbers do not compare."
    ]


def test_means_of_other_metrics_are_apart_whatever_the_settings_say(tmp_path: Path) -> None:
    chosen = views(make_grid(tmp_path), 0, 1, 2)
    list(chosen.values())[1].metric = "f1"
    assert {cell.metric: len(cell.seeds) for cell in over_seeds(chosen)} == {
        "accuracy": 2,
        "f1": 1,
    }


def test_of_one_seed_the_complete_run_counts_though_another_is_newer(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    chosen = views(grid, 0, 1)
    first, second = chosen
    later = load_view(grid.folder / first)
    later.state, later.best, later.updated = "interrupted", 0.1, (later.updated or 0.0) + 60
    (cell,) = over_seeds(chosen | {"later": later})
    assert counted(cell) == [first, second]
    assert warnings(chosen | {"later": later}) == [
        f"later is left out: {first} has the same settings and seed, and is complete."
    ]


def test_a_mean_with_runs_that_are_not_complete_is_told(tmp_path: Path) -> None:
    chosen = views(make_grid(tmp_path), 0, 1)
    second = list(chosen)[1]
    chosen[second].state = "stopped"
    assert warnings(chosen) == [f"{second} is not complete, and part of a mean so far."]


def test_runs_of_one_name_are_told_apart_by_their_folders(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = make_grid(tmp_path)
    run = grid.folder / grid.runs[0].run_id
    other = tmp_path / "other" / run.name
    shutil.copytree(run, other)
    assert names_of([run, other]) == {run: f"study/{run.name}", other: f"other/{run.name}"}
    assert names_of([run, grid.folder / "b"]) == {run: run.name, grid.folder / "b": "b"}
    assert run_command_line(["compare", str(run), str(other), "--json"]) == 0
    said = json.loads(capfd.readouterr()[0])
    assert list(said["runs"]) == [f"study/{run.name}", f"other/{run.name}"]
    assert run_command_line(["compare", str(run), str(run)]) == 2
    assert "named twice" in capfd.readouterr()[1]


def test_the_same_run_twice_counts_once_and_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = make_grid(tmp_path)
    first, second = (run.run_id for run in grid.runs[:2])
    shutil.copytree(grid.folder / first, grid.folder / "zz-copy")
    names = [first, second, "zz-copy"]
    chosen = {name: load_view(grid.folder / name) for name in names}
    (cell,) = over_seeds(chosen)
    assert counted(cell) == [second, "zz-copy"]
    assert run_command_line(["compare", *names, "--output-dir", str(grid.folder), "--json"]) == 0
    said = json.loads(capfd.readouterr()[0])
    assert said["over_seeds"][0]["seeds"] == [2, 1]
    assert said["warnings"] == [
        f"{first} is left out: zz-copy has the same settings and seed, and is newer."
    ]


def test_a_log_without_settings_is_said(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    chosen = views(grid, 0, 1)
    first = next(iter(chosen))
    chosen[first].config = {}
    assert warnings(chosen) == [f"The log of {first} does not say its settings."]
    assert [cell.seeds for cell in over_seeds(chosen)] == [(2,)]  # nobody knows what the other is
