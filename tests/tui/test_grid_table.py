"""A grid as a table of cells, its words, and reading it from disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from calisr_engine.errors import ConfigError, NotFoundError
from calisr_engine.grid.folders import RECORD, grid_folders, plan_folder, plan_from_runs
from calisr_engine.grid.plan import plan_grid
from calisr_engine.grid.report import make_report
from calisr_engine.grid.schedule import read_state
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui import grid_text
from calisr_tui.grid_source import (
    FILE,
    GridSource,
    figure_words,
    grid_argument,
    grid_choices,
    run_words,
)
from calisr_tui.grid_table import RunLine, make_table, remaining_seconds
from calisr_tui.themes import colours
from tests.tui.grids import STATES, make_grid, run_dirs, write_grid, write_run

STYLES = colours("calisr-dark")


def line(state: str, step: int = 0, seconds: float = 0.0, column: str = "a") -> RunLine:
    return RunLine("id", "row", column, 1, state, step, 100, seconds=seconds)


# The table ---------------------------------------------------------------------------------------


def test_the_table_says_what_the_report_says(tmp_path: Path) -> None:
    plan = make_grid(tmp_path)
    table, report = make_table(plan, read_state(plan)), make_report(plan)
    assert (table.rows, table.columns) == (report.rows, report.columns)
    for key, cell in table.cells.items():
        entry = report.entries[key]
        assert (cell.mean, cell.deviation) == (entry.mean, entry.deviation)
        assert cell.counts["completed"] == len(entry.seeds)


def test_last_instead_of_best(tmp_path: Path) -> None:
    plan = make_grid(tmp_path)
    state = read_state(plan)
    best, last = (make_table(plan.with_head(policy=p), state) for p in ("best", "last"))
    one, other = best.cells["LoRA", "MRPC"].mean, last.cells["LoRA", "MRPC"].mean
    assert one is not None
    assert other == pytest.approx(one - 1.0)


def test_every_state_is_counted_and_shown(tmp_path: Path) -> None:
    plan = make_grid(tmp_path)
    (running,) = run_dirs(plan, STATES, "running")
    with RunLock(RunPaths(running)):
        table = make_table(plan, read_state(plan))
    assert table.counts == {"completed": 12, "running": 1, "failed": 1, "stopped": 1, "waiting": 9}
    assert [run.state for run in table.notable] == ["running", "failed", "stopped"]
    text = grid_text.cell_text(table.cells["BitFit", "MRPC"], STYLES).plain
    assert "0/3" in text
    assert all(f"{grid_text.SIGNS[each]}1" in text for each in ("running", "failed", "stopped"))
    full = grid_text.cell_text(table.cells["LoRA", "MRPC"], STYLES).plain
    assert full == "█████ 3/3\n81.0 ± 1.0"
    narrow, wide = (grid_text.totals_text(table, STYLES, width).plain for width in (80, 120))
    assert "12 of 24 complete" in narrow
    assert narrow.splitlines()[1].startswith("about ")
    assert len(wide.splitlines()) == 1


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
    plan = make_grid(tmp_path)
    source = GridSource(str(plan.folder), tmp_path / "runs")
    with RunLock(RunPaths(plan.folder)):
        reading = source.read()
    assert f"process {os.getpid()}" in reading.worker
    (failed,) = [run for run in reading.table.runs if run.state == "failed"]
    assert failed.message == "the loss is not a number (lower it)"
    assert "not a number" in grid_text.run_detail(failed).plain
    assert source.read().worker == ""


def test_a_run_that_completes_and_a_failure_that_is_mended(tmp_path: Path) -> None:
    plan = make_grid(tmp_path)
    source = GridSource(str(plan.folder), tmp_path / "runs")
    first = source.read()
    assert source.read() == first
    (failed,) = run_dirs(plan, STATES, "failed")
    cell = next(cell for cell in plan.cells if cell.run_id == failed.name)
    shutil.rmtree(failed)
    write_run(plan.folder, cell, "completed")
    second = source.read()
    assert second.table.counts["failed"] == 0
    assert second.table.counts["completed"] == 13


def test_a_broken_file_and_a_vanished_folder_are_said(tmp_path: Path) -> None:
    plan = make_grid(tmp_path)
    source = GridSource(str(plan.folder), tmp_path / "runs")
    source.read()
    plan.file.write_text("[grid\n")
    reading = source.read()
    assert "cannot be read" in reading.problem
    assert reading.table.counts["completed"] == 12
    write_grid(tmp_path)
    assert source.read().problem == ""
    shutil.rmtree(plan.folder)
    gone = source.read()
    assert "gone" in gone.problem
    assert gone.table.counts == {"waiting": 24}
    plan.file.write_text("[grid\n")
    with pytest.raises(ConfigError):
        GridSource(str(plan.file), tmp_path / "runs").read()


def test_a_run_that_has_only_begun_is_running_where_a_process_holds_it(tmp_path: Path) -> None:
    plan = make_grid(tmp_path, ("created",))
    source = GridSource(str(plan.folder), tmp_path / "runs")
    assert source.read().table.counts == {"created": 1, "waiting": 23}
    with RunLock(RunPaths(plan.folder / plan.cells[0].run_id)):
        assert source.read().table.counts == {"running": 1, "waiting": 23}


def test_a_damaged_log_is_a_run_among_others(tmp_path: Path) -> None:
    plan = make_grid(tmp_path)
    (failed,) = run_dirs(plan, STATES, "failed")
    RunPaths(failed).events.write_bytes(b"\xff\xfe garbage\n{\n")
    table = GridSource(str(plan.folder), tmp_path / "runs").read().table
    assert table.counts["completed"] == 12
    assert table.counts["failed"] == 0
    assert len(table.runs) == 24


# Folders -----------------------------------------------------------------------------------------


def test_a_folder_knows_its_grid(tmp_path: Path) -> None:
    plan = make_grid(tmp_path)
    found = plan_folder(plan.folder)
    assert [cell.run_id for cell in found.cells] == [cell.run_id for cell in plan.cells]
    assert found.file == plan.file.absolute()
    assert grid_folders(tmp_path / "runs") == [plan.folder]
    assert grid_folders(tmp_path / "nowhere") == []
    names = [choice.name for choice in grid_choices(tmp_path / "runs")]
    assert names[:2] == [str(plan.folder), FILE]
    assert "small/table2" in names


def test_a_folder_by_the_name_of_a_shipped_grid(tmp_path: Path) -> None:
    plan = plan_grid("small/figure4", tmp_path)
    plan.folder.mkdir()
    write_run(plan.folder, plan.cells[0], "completed")
    assert grid_argument(plan_folder(plan.folder)) == "small/figure4"


@pytest.mark.parametrize("record", ["", "[]", '{"file": "/no/such.toml"}', "{"])
def test_runs_without_a_grid_file_make_a_grid(tmp_path: Path, record: str) -> None:
    plan = make_grid(tmp_path)
    (plan.folder / RECORD).write_text(record)
    found = plan_folder(plan.folder)
    table = make_table(found, read_state(found))
    assert table.counts["completed"] == 12
    assert table.cells["LoRA", "MRPC"].result == "81.0 ± 1.0"
    with pytest.raises(ConfigError, match="not known"):
        run_words(found, 1)


def test_what_tells_runs_apart_becomes_rows(tmp_path: Path) -> None:
    file = write_grid(tmp_path)
    file.write_text(file.read_text() + '"training.learning_rate" = [1e-3, 1e-4]\n')
    plan = plan_grid(file, tmp_path / "runs")
    plan.folder.mkdir(parents=True)
    for cell in plan.cells:
        write_run(plan.folder, cell, "completed")
    found = plan_from_runs(plan.folder)
    assert found.grid.grid.rows[2:] == ("training.learning_rate",)
    assert all(len(cell.runs) == 3 for cell in make_table(found, read_state(found)).cells.values())


def test_an_empty_folder_is_no_grid(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no runs"):
        plan_folder(tmp_path)


# Commands ----------------------------------------------------------------------------------------


def test_the_command_that_trains_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_grid(write_grid(tmp_path), Path("runs"), None, ("training.epochs=2",))
    assert run_words(plan, 3, "GLUE", "0,1", True) == [
        *("grid", "run", "study.toml", "--output-dir", "runs", "--jobs", "3"),
        *("--data-dir", "GLUE", "--devices", "0,1", "--set", "training.epochs=2"),
        "--retry-failed",
    ]
    assert figure_words(plan, "5a") == [
        *("figure", "5a", "study.toml", "--output-dir", "runs", "--set", "training.epochs=2")
    ]
