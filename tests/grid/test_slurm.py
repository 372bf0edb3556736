"""A grid through submitit: jobs in its wrapping as processes of this machine."""

from __future__ import annotations

import os
import signal
import stat
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from calisr_engine.errors import EXIT_STOPPED, ConfigError, UnavailableError
from calisr_engine.grid import Grid, slurm
from calisr_engine.grid.executors import Ending
from calisr_engine.grid.slurm import JobNeeds, SlurmExecutor
from calisr_engine.grid.state import count_states, read_states
from calisr_engine.grid.train import cancel_grid, train_grid
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of, is_locked
from tests.grid.tiny_grid import InBackground, dirs, tiny_grid, trains, until
from tests.training.tiny_run import events, save_model

needs_submitit = pytest.mark.skipif(
    find_spec("submitit") is None,
    reason="submitit is not installed: pip install 'calisr[slurm]'",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "QUEUE_SECONDS", 0.2)
    monkeypatch.setattr(slurm, "GONE_SECONDS", 0.5)


def begin(grid: Grid, executor: SlurmExecutor) -> tuple[Path, InBackground]:
    work = InBackground(grid, executor)
    (run,) = dirs(grid)
    until(lambda: trains(run))
    return run, work


@needs_submitit
@pytest.mark.slow
def test_a_job_whose_time_is_over_goes_on_from_where_it_saved(model: Path, tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, model, seeds=1, every=10, epochs=25)
    executor = SlurmExecutor(JobNeeds(), cluster="local")
    run, work = begin(grid, executor)
    worker = psutil.Process(int((holder_of(RunPaths(run)) or {})["pid"]))
    job = worker.parent()
    for process in (worker, job):  # SLURM warns all processes of a job
        os.kill(process.pid, signal.SIGUSR2)
    work.join(200)
    executor.close()
    assert work.status == 0
    assert len(events(run, "stopped")) == 1
    started = events(run, "run_started")
    assert [e["resumed_from"] for e in started] == [None, events(run, "stopped")[0]["step"]]
    assert events(run, "completed")
    assert list((run / "slurm").glob("*_log.out")), "the job's output is in the run directory"
    assert count_states(read_states(grid))["completed"] == 1


@needs_submitit
@pytest.mark.slow
def test_cancelling_stops_and_saves(model: Path, tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, model, seeds=1, every=10, epochs=1000)
    executor = SlurmExecutor(JobNeeds(), cluster="local")
    run, work = begin(grid, executor)
    assert cancel_grid(grid) == 1
    work.join(60)
    executor.close()
    assert work.status == EXIT_STOPPED
    assert events(run, "stopped")[0]["saved"]
    assert not is_locked(RunPaths(run))


@needs_submitit
def test_missing_data_fails_with_the_nodes_name(tmp_path: Path) -> None:
    more = '"task.name" = "RTE"\n"task.data_dir" = "/no/data"'
    grid = tiny_grid(tmp_path, seeds=1, settings=more)
    assert train_grid(grid, SlurmExecutor(JobNeeds(), cluster="local")) == 1
    run = dirs(grid)[0]
    assert "does not have task.data_dir = /no/data" in events(run, "failed")[0]["message"]


def commands(folder: Path, **scripts: str) -> None:
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755 | stat.S_IEXEC)


@needs_submitit
def test_what_sbatch_is_asked_for_and_jobs_that_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With commands in SLURM's place: an sbatch that keeps the script, a queue with its job."""
    commands(
        tmp_path / "bin",
        sbatch=f'cp "$1" {tmp_path}/asked; echo x >> {tmp_path}/calls; echo Submitted batch job 77',
        squeue="echo 77",
        srun="exit 0",
        scancel=f"echo $1 > {tmp_path}/cancelled",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    grid = tiny_grid(tmp_path, seeds=1)
    run = dirs(grid)[0]
    run.mkdir(parents=True)
    needs = JobNeeds(90, "short", 2, 4, 10, {"qos": "high"})
    first = SlurmExecutor(needs, at_once=1)
    first.submit(run)
    assert first.free() == 0
    asked = (tmp_path / "asked").read_text()
    for line in (
        *("--time=90", "--partition=short", "--gpus-per-node=2", "--cpus-per-task=4"),
        *("--mem=10GB", "--qos=high", "--requeue", "--signal=USR2@120"),
        f"--job-name=calisr-{run.name}",
        f"--output={run}/slurm/%j_0_log.out",
    ):
        assert f"#SBATCH {line}" in asked
    second = SlurmExecutor(needs)
    second.submit(run)
    assert (tmp_path / "calls").read_text().count("x") == 1, "the queued job was taken up"
    assert slurm.take_back([run]) == 1, "cancelling without the process that submitted"
    (tmp_path / "cancelled").unlink()
    second.stop()
    assert (tmp_path / "cancelled").read_text().strip() == "77"
    commands(tmp_path / "later", squeue="true")
    monkeypatch.setenv("PATH", f"{tmp_path}/later:{os.environ['PATH']}")
    time.sleep(0.3)
    assert second.finished() == [(run, Ending.STOPPED)]


@needs_submitit
def test_what_sbatch_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(
        tmp_path / "bin",
        sbatch="echo 'sbatch: error: invalid partition specified: no' >&2; exit 1",
        squeue="true",
        srun="true",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError, match="refused the job: invalid partition"):
        SlurmExecutor(JobNeeds(partition="no")).submit(tmp_path / "run")


@needs_submitit
def test_without_slurm_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="no SLURM"):
        SlurmExecutor(JobNeeds())
