"""A grid as a table of cells, its words, and reading it from disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from calisr_engine.errors import ConfigError, NotFoundError
from calisr_engine.forecast.grid_time import remaining_seconds
from calisr_engine.grid import expand_grid
from calisr_engine.grid.cells import TableRun
from calisr_engine.grid.folders import RECORD, grid_folders, grid_of_folder
from calisr_engine.grid.table import grid_table
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui.charts import grid_text
from calisr_tui.grid_source import (
    FILE,
    GridSource,
    figure_words,
    grid_argument,
    grid_choices,
    run_words,
)
from calisr_tui.themes import colours
from tests.tui.grids import STATES, make_grid, run_dirs, write_grid, write_run

STYLES = colours("calisr-dark")


def line(state: str, step: int = 0, seconds: float = 0.0, column: str = "a") -> TableRun:
    return TableRun("id", "row", column, 1, state, step, 100, seconds=seconds)


# The table ---------------------------------------------------------------------------------------


def test_every_state_is_counted_and_shown(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    (running,) = run_dirs(grid, STATES, "running")
    with RunLock(RunPaths(running)):
        table = grid_table(grid)
    assert table.counts == {"completed": 12, "running": 1, "failed": 1, "stopped": 1, "waiting": 9}
    assert [run.state for run in table.notable] == ["running", "failed", "stopped"]
    text = grid_text.cell_text(table.cells["BitFit", "MRPC"], STYLES).plain
    assert "0/3" in text
    assert all(f"{grid_text.SIGNS[each]}1" in text for each in ("running", "failed", "stopped"))
    full = grid_text.cell_text(table.cells["LoRA", "MRPC"], STYLES).plain
    assert full == "█████ 3/3\n81.0 ± 1.0"
    narrow, wide = (grid_text.totals_text(table, 60.0, STYLES, width).plain for width in (80, 120))
    assert "12 of 24 complete" in narrow
    assert narrow.splitlines()[-1].endswith("about 1m00s left")
    assert len(wide.splitlines()) == 1
    for width in (40, 60, 80):
        lines = grid_text.totals_text(table, 60.0, STYLES, width).plain.splitlines()
        assert max(map(len, lines)) <= width - 2
        assert "  ".join(lines).split("  ")[1:] == wide.split("  ")[1:]


@pytest.mark.parametrize(
    ("fraction", "bar"), [(0.0, "╌╌╌╌╌"), (0.001, "▏╌╌╌╌"), (0.5, "██▌╌╌"), (1.0, "█████")]
)
def test_a_bar_has_its_width(fraction: float, bar: str) -> None:
    assert grid_text.bar(fraction, 5, STYLES).plain == bar


def test_the_time_left() -> None:
    assert remaining_seconds([line("completed", seconds=60), line("waiting")]) is None
    assert remaining_seconds([line("running", 0)]) is None
    # Half of the running run, one that waits: 30 s + 60 s with one at a time.
    runs = [line("completed", seconds=60), line("running", 50), line("waiting"), line("failed")]
    assert remaining_seconds(runs) == pytest.approx(90)
    # Two at a time take half as long, but never less than the longest run.
    assert remaining_seconds([*runs, line("running", 50)]) == pytest.approx(60)
    # Nothing complete: from what the running one has taken.
    assert remaining_seconds([line("running", 25, 20), line("waiting")]) == pytest.approx(140)
    # Each column by its own.
    other = [line("completed", seconds=600, column="b"), line("waiting", column="b")]
    assert remaining_seconds([*runs, *other]) == pytest.approx(690)


# Reading -----------------------------------------------------------------------------------------


def test_reading_tells_failures_and_who_works(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    source = GridSource(str(grid.folder), tmp_path / "runs")
    with RunLock(RunPaths(grid.folder)):
        reading = source.read()
    assert f"process {os.getpid()}" in reading.worker
    (failed,) = [run for run in reading.table.runs if run.state == "failed"]
    assert failed.message == "the loss is not a number (lower it)"
    assert "not a number" in grid_text.run_detail(failed).plain
    assert source.read().worker == ""


def test_a_run_that_completes_and_a_failure_that_is_mended(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    source = GridSource(str(grid.folder), tmp_path / "runs")
    first = source.read()
    assert source.read() == first
    (failed,) = run_dirs(grid, STATES, "failed")
    run = next(run for run in grid.runs if run.run_id == failed.name)
    shutil.rmtree(failed)
    write_run(grid.folder, run, "completed")
    second = source.read()
    assert second.table.counts["failed"] == 0
    assert second.table.counts["completed"] == 13


def test_a_broken_file_and_a_vanished_folder_are_said(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    source = GridSource(str(grid.folder), tmp_path / "runs")
    source.read()
    grid.path.write_text("[grid\n")
    reading = source.read()
    assert "not valid TOML" in reading.problem
    assert reading.table.counts["completed"] == 12
    write_grid(tmp_path)
    assert source.read().problem == ""
    shutil.rmtree(grid.folder)
    gone = source.read()
    assert "gone" in gone.problem
    assert gone.table.counts == {"waiting": 24}
    grid.path.write_text("[grid\n")
    with pytest.raises(ConfigError):
        GridSource(str(grid.path), tmp_path / "runs").read()


def test_a_run_that_has_only_begun_is_running_where_a_process_holds_it(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("created",))
    source = GridSource(str(grid.folder), tmp_path / "runs")
    assert source.read().table.counts == {"created": 1, "waiting": 23}
    with RunLock(RunPaths(grid.folder / grid.runs[0].run_id)):
        assert source.read().table.counts == {"running": 1, "waiting": 23}


def test_a_damaged_log_is_a_run_among_others(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    (failed,) = run_dirs(grid, STATES, "failed")
    RunPaths(failed).events.write_bytes(b"\xff\xfe garbage\n{\n")
    reading = GridSource(str(grid.folder), tmp_path / "runs").read()
    assert reading.table.counts["completed"] == 12
    assert reading.table.counts["unreadable"] == 1
    assert len(reading.table.runs) == 24
    assert failed.name in reading.problem


# Folders -----------------------------------------------------------------------------------------


def test_a_folder_knows_its_grid(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    found = grid_of_folder(grid.folder)
    assert [run.run_id for run in found.runs] == [run.run_id for run in grid.runs]
    assert found.path == grid.path.absolute()
    assert grid_folders(tmp_path / "runs") == [grid.folder]
    assert grid_folders(tmp_path / "nowhere") == []
    names = [choice.name for choice in grid_choices(tmp_path / "runs")]
    assert names[:2] == [str(grid.folder), FILE]
    assert "small/table2" in names


def test_a_folder_by_the_name_of_a_shipped_grid(tmp_path: Path) -> None:
    grid = expand_grid("small/figure4", tmp_path)
    grid.folder.mkdir()
    write_run(grid.folder, grid.runs[0], "completed")
    assert grid_argument(grid_of_folder(grid.folder)) == "small/figure4"


@pytest.mark.parametrize("record", ["", "[]", '{"file": "/no/such.toml"}', "{"])
def test_runs_without_a_grid_file_make_a_grid(tmp_path: Path, record: str) -> None:
    grid = make_grid(tmp_path)
    (grid.folder / RECORD).write_text(record)
    found = grid_of_folder(grid.folder)
    table = grid_table(found)
    assert table.counts["completed"] == 12
    assert table.cells["LoRA", "MRPC"].result == "81.0 ± 1.0"
    with pytest.raises(ConfigError, match="not known"):
        run_words(found, 1)


def test_an_empty_folder_is_no_grid(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no runs"):
        grid_of_folder(tmp_path)


# Commands ----------------------------------------------------------------------------------------


def test_the_command_that_trains_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = expand_grid(write_grid(tmp_path), Path("runs"), None, ("training.epochs=2",))
    assert run_words(grid, 3, "GLUE", "0,1", True) == [
        *("grid", "run", "study.toml", "--output-dir", "runs", "--jobs", "3"),
        *("--data-dir", "GLUE", "--devices", "0,1", "--set", "training.epochs=2"),
        "--retry-failed",
    ]
    assert figure_words(grid, "5a") == [
        *("figure", "5a", "study.toml", "--output-dir", "runs", "--set", "training.epochs=2")
    ]
