"""Training a grid: interruptions, failures, lost workers, cancelling."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from calisr_engine.errors import EXIT_LOCKED, EXIT_STOPPED, ConfigError, LockedError, NotFoundError
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Failed, Warned
from calisr_engine.grid import Grid, executors
from calisr_engine.grid.executors import Ending, LocalExecutor, ending
from calisr_engine.grid.render import FORMATS
from calisr_engine.grid.state import count_states, read_states
from calisr_engine.grid.table import grid_table
from calisr_engine.grid.train import CANCEL, cancel_grid, train_grid
from calisr_engine.process import worker
from calisr_engine.runs import control
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock, holder_of, is_locked
from calisr_engine.storage.whole import storage_error
from calisr_tui.cli.app import run_command_line
from tests.grid.tiny_grid import METHODS, InBackground, Scripted, dirs, tiny_grid, trains, until
from tests.training.tiny_run import events, save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def complete(grid: Grid) -> int:
    return count_states(read_states(grid))["completed"]


def requests(grid: Grid) -> list[Path]:
    """Requests to runs that nobody has taken yet."""
    return list(grid.folder.glob("*/control/*.json"))


def command(path: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "calisr_tui", "grid", "run", str(path)),
        *("--output-dir", str(path.parent / "runs")),
    ]


# From the beginning to the end -------------------------------------------------------------------


def test_a_grid_is_trained_reported_and_skipped_the_second_time(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    off = '"calibration.variant" = "off"'
    head = 'against = "LoRA"\npaper = "table2"'
    grid = tiny_grid(tmp_path, model, axes=METHODS, head=head, settings=off, seeds=1)
    path, at = str(grid.path), ["--output-dir", str(tmp_path / "runs")]
    assert run_command_line(["grid", "plan", path, *at]) == 0
    assert capfd.readouterr()[0].count("waiting") == 2
    assert run_command_line(["grid", "run", path, "--jobs", "2", *at]) == 0
    capfd.readouterr()
    logs = {run: RunPaths(run).events.read_bytes() for run in dirs(grid)}
    assert run_command_line(["grid", "run", path, *at]) == 0
    assert "2 complete" in capfd.readouterr()[1]
    assert {run: RunPaths(run).events.read_bytes() for run in dirs(grid)} == logs
    assert run_command_line(["grid", "status", path, *at, "--json"]) == 0
    status = json.loads(capfd.readouterr()[0])
    assert status["counts"] == {"completed": 2}
    for style in FORMATS:
        assert run_command_line(["report", path, *at, "--format", style]) == 0
        said = capfd.readouterr()[0]
        assert "LoRA" in said
        if style == "json":
            assert json.loads(said) == status["table"]

    table = grid_table(grid)
    assert table.rows == ("LoRA", "BitFit")
    cell = table.cells["BitFit", "demo"]
    (run,) = [each for each in dirs(grid) if "bitfit" in each.name]
    assert cell.mean == pytest.approx(100 * events(run, "completed")[0]["summary"]["best"])
    assert cell.paired == 1


# Interruptions -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_grid_goes_on(model: Path, tmp_path: Path) -> None:
    """SIGKILL of the process that works on the grid, then of a worker; then it finishes."""
    grid = tiny_grid(tmp_path, model, axes=METHODS, epochs=3)
    process = subprocess.Popen(
        command(grid.path), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while complete(grid) < 1 and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    held = next((run for run in dirs(grid) if is_locked(RunPaths(run))), None)
    if held is not None and (holder := holder_of(RunPaths(held))) is not None:
        os.kill(int(holder["pid"]), signal.SIGKILL)
    done = subprocess.run(command(grid.path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert complete(grid) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.slow
def test_a_signal_saves_the_runs_and_waits_for_them(
    model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    grid = tiny_grid(tmp_path, model, epochs=1000)
    process = subprocess.Popen(command(grid.path), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    first = dirs(grid)[0]
    workers: list[psutil.Process] = []
    try:
        until(lambda: trains(first))
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(60) == EXIT_STOPPED
        assert not any(each.is_running() for each in workers), "it has waited"
    finally:
        for each in [process, *workers]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    assert events(first, "stopped")[0]["saved"]
    assert not dirs(grid)[1].exists(), "nothing begins after the signal"
    assert not requests(grid)


def test_two_processes_cannot_work_on_one_grid(tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path)
    grid.folder.mkdir(parents=True)
    with RunLock(RunPaths(grid.folder)), pytest.raises(LockedError):
        train_grid(grid, LocalExecutor(1))


# Cancelling --------------------------------------------------------------------------------------


def test_cancel_says_when_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        cancel_grid(tiny_grid(tmp_path))


@pytest.mark.slow
def test_cancelling_leaves_no_request_behind(model: Path, tmp_path: Path) -> None:
    """One that is left would stop the run as soon as it goes on."""
    grid = tiny_grid(tmp_path, model, epochs=1000)
    work = InBackground(grid, LocalExecutor(2))
    until(lambda: all(map(trains, dirs(grid))))
    assert cancel_grid(grid) == 2
    work.join(60)
    assert work.status == EXIT_STOPPED
    assert all(events(run, "stopped")[0]["saved"] for run in dirs(grid))
    assert not requests(grid)
    assert not (grid.folder / CANCEL).exists()


def test_each_run_is_asked_once(tmp_path: Path) -> None:
    """By the process that works on the grid; where there is none, by whoever cancels."""
    grid = tiny_grid(tmp_path)
    run = create_run(grid.runs[0].resolved, grid.folder, name=grid.runs[0].run_id)
    with RunLock(RunPaths(run)):
        with RunLock(RunPaths(grid.folder)):
            assert cancel_grid(grid) == 1
            assert (grid.folder / CANCEL).exists()
            assert not requests(grid)
        assert cancel_grid(grid) == 1
    assert [each.kind for each in control.take_requests(run)[0]] == ["stop_and_save"]


def test_what_came_too_late_for_a_run_does_not_stop_it_later(tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, seeds=1)
    executor = Scripted(
        Ending.FAILED, writes=lambda run_dir: control.request(run_dir, "stop_and_save")
    )
    assert train_grid(grid, executor) == 1
    assert not requests(grid)


# Failures and losses -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_failing_run_does_not_stop_the_others(model: Path, tmp_path: Path) -> None:
    more = """
[[when]]
match = { "method.name" = "bitfit" }
set = { "model.name" = "/no/such/model" }
"""
    grid = tiny_grid(tmp_path, model, axes=METHODS + more)
    assert train_grid(grid, LocalExecutor(2)) == 1
    assert count_states(read_states(grid)) == {"completed": 2, "failed": 2}


def test_a_worker_that_finds_nothing_has_failed_and_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(run_dir: Path, environment: Any) -> subprocess.Popen[bytes]:
        code = f"raise SystemExit({NotFoundError.exit_code})"
        return subprocess.Popen([sys.executable, "-c", code])

    monkeypatch.setattr(executors, "start_worker", start)
    said: list[str] = []
    grid = tiny_grid(tmp_path, seeds=1)
    assert train_grid(grid, LocalExecutor(1), on_change=lambda run, what: said.append(what)) == 1
    assert said == ["began", "failed"]


def test_a_run_that_a_full_disk_keeps_from_beginning_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def start(run_dir: Path, environment: Any) -> subprocess.Popen[bytes]:
        asked.append(run_dir.name)
        if len(asked) == 2:
            full = OSError(errno.ENOSPC, "No space left on device")
            raise storage_error(run_dir / "log.txt", "the worker's output", full)
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(75)"])

    monkeypatch.setattr(executors, "start_worker", start)
    said: list[str] = []
    grid = tiny_grid(tmp_path, seeds=3)
    assert train_grid(grid, LocalExecutor(1), on_change=lambda run, what: said.append(what)) == 1
    assert set(asked) == {run.run_id for run in grid.runs}
    assert sum("could not begin" in what and "disk is full" in what for what in said) == 1


def test_what_an_exit_status_says() -> None:
    failed = [1, 2, 3, NotFoundError.exit_code, 130]
    assert {ending(status) for status in failed} == {Ending.FAILED}
    assert ending(0) is Ending.COMPLETED
    assert ending(EXIT_STOPPED) is Ending.STOPPED
    assert ending(EXIT_LOCKED) is Ending.LOCKED
    assert ending(-signal.SIGKILL) is ending(None) is Ending.LOST


def test_a_worker_says_that_another_trains_its_run(tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, seeds=1)
    run = create_run(grid.runs[0].resolved, grid.folder, name="held")
    with RunLock(RunPaths(run)):
        done = subprocess.run(
            [sys.executable, "-m", worker.__name__, str(run)], capture_output=True, check=False
        )
    assert done.returncode == EXIT_LOCKED


def test_status_says_why_a_run_failed_and_run_how_to_begin_it_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = tiny_grid(tmp_path)
    at = ["--output-dir", str(tmp_path / "runs")]
    for run in grid.runs:
        run_dir = create_run(run.resolved, grid.folder, name=run.run_id)
        with EventWriter(run_dir / "events.jsonl", 1) as writer:
            writer.write(0, Failed(message="there is no such model"))
    assert run_command_line(["grid", "status", str(grid.path), *at]) == 0
    assert capfd.readouterr()[0].count("step 0/0: there is no such model") == 2
    assert run_command_line(["grid", "run", str(grid.path), *at]) == 1
    assert "2 failed" in capfd.readouterr()[1]


def test_a_lost_run_begins_again_as_long_as_it_gets_further(tmp_path: Path) -> None:
    calls = 0

    def write(run_dir: Path) -> None:
        nonlocal calls
        calls += 1
        with EventWriter(run_dir / "events.jsonl", calls) as writer:
            writer.write(min(calls, 6), Warned(message="lost"))

    said: list[str] = []
    executor = Scripted(*[Ending.LOST] * 20, writes=write)
    grid = tiny_grid(tmp_path, seeds=1)
    status = train_grid(grid, executor, on_change=lambda run, what: said.append(what))
    assert status == EXIT_STOPPED
    assert said[-1] == "was lost 3 times"
    assert calls == 6 + 2


# Directories that are not what they should be ----------------------------------------------------


def test_a_directory_that_was_only_begun_is_made_again(tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, seeds=1)
    (run,) = dirs(grid)
    run.mkdir(parents=True)
    RunPaths(run).config.write_text("[model")
    train_grid(grid, executor := Scripted(Ending.FAILED))
    assert executor.submitted == [run]
    assert events(run, "run_created")


@pytest.mark.parametrize("lost", ["events.jsonl", "config.toml"])
def test_a_run_with_weights_is_never_deleted(tmp_path: Path, lost: str) -> None:
    grid = tiny_grid(tmp_path)
    first, second = dirs(grid)
    create_run(grid.runs[0].resolved, grid.folder, name=first.name)
    weights = RunPaths(first).checkpoint(4) / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_text("precious")
    (first / lost).unlink()
    said: list[str] = []
    executor = Scripted(Ending.FAILED)
    assert train_grid(grid, executor, on_change=lambda run, what: said.append(what)) == 1
    assert executor.submitted == [second], "the other run goes on"
    assert weights.read_text() == "precious"
    assert said[0].startswith("is damaged")


def test_a_run_of_other_settings_is_not_taken_for_the_planned_one(tmp_path: Path) -> None:
    """As after an update that changes a default: ids leave defaults out."""
    grid = tiny_grid(tmp_path)
    now = grid.runs[0].resolved
    config = now.config
    training = config.training.model_copy(update={"weight_decay": 0.5})
    before = replace(now, config=config.model_copy(update={"training": training}))
    create_run(before, grid.folder, name=grid.runs[0].run_id)
    executor = Scripted()
    with pytest.raises(ConfigError) as error:
        train_grid(grid, executor)
    (problem,) = error.value.problems
    assert str(problem) == f"{grid.runs[0].run_id}: training.weight_decay is 0.5, planned 0.01"
    assert not executor.submitted


def test_a_setting_that_the_run_s_version_did_not_know_makes_no_other_run(tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, seeds=1)
    run = create_run(grid.runs[0].resolved, grid.folder, name=grid.runs[0].run_id)
    paths = RunPaths(run)
    lines = paths.config.read_text().splitlines()
    paths.config.write_text("\n".join(each for each in lines if "weight_decay" not in each))
    record = json.loads(paths.events.read_text())
    del record["config"]["training"]["weight_decay"]
    paths.events.write_text(json.dumps(record) + "\n")
    assert read_states(grid)[run.name].state == "created"


def test_a_folder_that_vanishes_is_no_crash(tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, seeds=1)
    create_run(grid.runs[0].resolved, grid.folder, name=grid.runs[0].run_id)
    shutil.rmtree(grid.folder)
    assert count_states(read_states(grid)) == {"waiting": 1}


# Beside what is no run ---------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["file", "pipe", "link to nothing", "folder with a pipe as log"])
def test_what_lies_in_the_place_of_a_run_stops_no_other(what: str, tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path)
    grid.folder.mkdir(parents=True)
    taken, free = dirs(grid)
    if what == "file":
        taken.write_text("mine")
    elif what == "pipe":
        os.mkfifo(taken)
    elif what == "link to nothing":
        taken.symlink_to("nowhere")
    else:
        (taken / "model").mkdir(parents=True)
        (taken / "model" / "weights").touch()
        os.mkfifo(taken / "events.jsonl")
    said: list[tuple[str, str]] = []
    executor = Scripted(Ending.COMPLETED)
    status = train_grid(grid, executor, on_change=lambda run, how: said.append((run.run_id, how)))
    assert status != 0
    assert executor.submitted == [free]
    assert [run_id for run_id, how in said if how.startswith("is damaged")] == [taken.name]
    assert os.path.lexists(taken)
    assert read_states(grid)[taken.name].state == "unreadable"
