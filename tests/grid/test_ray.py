"""Grids on a Ray cluster of this machine: lost nodes, cancelling, storage that is not shared."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.errors import EXIT_STOPPED, UnavailableError
from calisr_engine.grid.executors import Ending
from calisr_engine.grid.ray_nodes import RayExecutor
from calisr_engine.grid.state import count_states, read_states
from calisr_engine.grid.train import cancel_grid
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from tests.grid.tiny_grid import InBackground, dirs, tiny_grid, trains, until
from tests.training.tiny_run import events, save_model

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'calisr[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without room for runs, and two nodes with room for one each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes_with_room = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_lost_nodes_run_goes_on_elsewhere(cluster: Any, model: Path, tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, model, every=10, epochs=150)
    executor = RayExecutor(cluster.address, grid.folder)
    work = InBackground(grid, executor)
    until(lambda: all(any((d / "checkpoints").glob("step-?0")) for d in dirs(grid)))
    cluster.remove_node(cluster.nodes_with_room[0], allow_graceful=False)
    work.join(200)
    executor.close()
    assert work.status == 0
    assert count_states(read_states(grid))["completed"] == 2
    resumed = []
    for run in dirs(grid):
        attempts = [json.loads(line)["attempt"] for line in (run / "events.jsonl").open()]
        assert attempts == sorted(attempts), "two processes wrote to one log at once"
        resumed += [e["resumed_from"] for e in events(run, "run_started") if e["attempt"] > 1]
    assert len(resumed) == 1, "one run was on the lost node"
    assert resumed[0] >= 10


def test_cancelling_saves_and_does_not_hang(cluster: Any, model: Path, tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, model, every=10, epochs=1000, seeds=3)
    executor = RayExecutor(cluster.address, grid.folder)
    work = InBackground(grid, executor)
    until(lambda: all(map(trains, dirs(grid)[:2])))
    assert cancel_grid(grid) == 2
    work.join(60)
    began = time.monotonic()
    executor.close()
    assert time.monotonic() - began < 30
    assert work.status == EXIT_STOPPED
    assert [events(d, "stopped")[0]["saved"] for d in dirs(grid)[:2]] == [True, True]
    assert not any(is_locked(RunPaths(d)) for d in dirs(grid))
    assert not list(grid.folder.glob(".shared-*"))


def test_a_run_that_waits_for_a_node_is_taken_back(
    cluster: Any, model: Path, tmp_path: Path
) -> None:
    grid = tiny_grid(tmp_path, model, every=10, epochs=1, seeds=1)
    executor = RayExecutor(cluster.address, grid.folder, threads=64)
    assert executor.free() == 0
    executor.submit(grid.folder / grid.runs[0].run_id)
    executor.stop()
    until(lambda: executor.finished() == [(dirs(grid)[0], Ending.STOPPED)], 30)
    executor.close()


def hide_folder(grid: Any) -> None:
    """What a node without the storage sees: no mark beside the run directories."""
    next(grid.folder.glob(".shared-*")).unlink()


def scratches(folder: Path) -> list[Path]:
    return list(folder.glob("calisr-scratch-*/*/*/events.jsonl"))


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Any]:
    """A head without room, and two nodes with a folder for temporary files of their own each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.scratch = [tmp_path / "one", tmp_path / "two"]
    made.nodes_with_room = []
    for folder in made.scratch:
        folder.mkdir()
        made.nodes_with_room.append(made.add_node(num_cpus=1, env_vars={"TMPDIR": str(folder)}))
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def test_without_shared_storage_runs_come_home_from_lost_nodes(
    apart: Any, model: Path, tmp_path: Path
) -> None:
    grid = tiny_grid(tmp_path, model, every=10, epochs=150)
    notes: list[str] = []
    executor = RayExecutor(apart.address, grid.folder, on_note=notes.append)
    hide_folder(grid)
    work = InBackground(grid, executor)
    until(lambda: all(any((d / "checkpoints").glob("step-?0")) for d in dirs(grid)), 150)
    assert all(len(scratches(folder)) == 1 for folder in apart.scratch)
    assert all(is_locked(RunPaths(d)) for d in dirs(grid)), "at home they count as in training"
    apart.remove_node(apart.nodes_with_room[0], allow_graceful=False)
    work.join(200)
    executor.close()
    assert work.status == 0
    assert len(notes) == 1
    assert "does not see" in notes[0]
    assert count_states(read_states(grid))["completed"] == 2
    resumed = []
    for run in dirs(grid):
        attempts = [json.loads(line)["attempt"] for line in (run / "events.jsonl").open()]
        assert attempts == sorted(attempts)
        assert [e["seq"] for e in map(json.loads, (run / "events.jsonl").open())] == list(
            range(len(attempts))
        )
        resumed += [e["resumed_from"] for e in events(run, "run_started") if e["attempt"] > 1]
        assert any((run / "best").glob("*/weights.safetensors"))
        assert (run / "environment.json").is_file()
        assert (run / "predictions").is_dir()
        assert not list(run.rglob("*.tmp-*"))
    assert len(resumed) == 1, "one run was on the lost node"
    assert resumed[0] >= 10
    assert not scratches(apart.scratch[1]), "what is home is removed from the node"


def test_cancelling_brings_home_what_was_saved(apart: Any, model: Path, tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path, model, every=10, epochs=1000, seeds=1)
    executor = RayExecutor(apart.address, grid.folder)
    hide_folder(grid)
    work = InBackground(grid, executor)
    (run,) = dirs(grid)
    until(lambda: trains(run))
    assert cancel_grid(grid) == 1
    work.join(60)
    executor.close()
    assert work.status == EXIT_STOPPED
    stopped = events(run, "stopped")[0]
    assert stopped["saved"]
    assert (run / "checkpoints" / f"step-{stopped['step']}" / "manifest.json").is_file()
    assert not is_locked(RunPaths(run))
    assert not any(map(scratches, apart.scratch))


def test_no_cluster_at_the_address_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no Ray cluster"):
        RayExecutor("127.0.0.1:1", tmp_path)
