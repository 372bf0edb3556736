"""Runs in another machine's scratch folder: what comes home, when, and what a lost node costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.errors import CalisrError
from calisr_engine.grid import bring_home, scratch
from calisr_engine.grid.bring_home import AwayRun, LostNodeError, by_unit, sendable
from calisr_engine.grid.executors import Ending
from calisr_engine.grid.on_node import node_name
from calisr_engine.grid.scratch import ScratchRun, own_shelf
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of, is_locked
from tests.training.tiny_run import events, make_run, save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small chunks, short rounds, and a folder for temporary files of the node's own."""
    monkeypatch.setattr(bring_home, "ROUND_SECONDS", 0.05)
    monkeypatch.setattr(bring_home, "CHUNK", 1500)
    monkeypatch.setattr(scratch, "CHUNK", 1500)
    (tmp_path / "node").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "node"))


class Direct:
    """A scratch run of this process; `lost_at` says at which call its node is lost."""

    def __init__(self, run: ScratchRun, lost_at: Any = lambda method, args: False) -> None:
        self.run, self.lost_at, self.gone = run, lost_at, False
        self.largest = 0

    def placed(self, seconds: float) -> str | None:
        return "far-away"

    def call(self, method: str, *args: Any) -> Any:
        self.gone = self.gone or self.lost_at(method, args)
        if self.gone:
            raise LostNodeError
        answer = getattr(self.run, method)(*args)
        if method == "read" and answer:
            self.largest = max(self.largest, len(answer))
        return answer

    def end(self) -> None:
        process = self.run._process
        if process is not None and process.poll() is None:
            process.kill()


class ByHand(ScratchRun):
    """Instead of training, does the steps of a script, one a look."""

    script: Any = ()

    def begin(self) -> None:
        self.steps = iter(self.script)

    def look(self, offset: int, everything: bool) -> tuple[int | None, bytes]:
        step = next(self.steps, None)
        if step is not None:
            step(self)
        return super().look(offset, everything)


def put(name: str, size: int) -> Any:
    def do(run: ScratchRun) -> None:
        path = run.paths.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(i % 251 for i in range(size)))

    return do


def prune(name: str) -> Any:
    def do(run: ScratchRun) -> None:
        folder = run.paths.root / name
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    return do


def say(kind: str, status: int | None = None) -> Any:
    def do(run: ScratchRun) -> None:
        record = {"v": 1, "seq": 1, "attempt": 1, "time": 0.0, "step": 4, "type": kind}
        with run.paths.events.open("a") as file:
            file.write(json.dumps(record) + "\n")
        run._status = status

    return do


def by_hand(model: Path, folder: Path, script: Any, lost_at: Any = None, retries: int = 0) -> Any:
    run = make_run(model, folder / "home", "run")
    links: list[Direct] = []

    def connect() -> Direct:
        made = ByHand("run")
        made.script = script
        links.append(Direct(made, lost_at) if lost_at else Direct(made))
        return links[-1]

    return run, AwayRun(run, connect, retries), links


def test_files_come_in_chunks_and_pruned_ones_go(model: Path, tmp_path: Path) -> None:
    seen: list[bool] = []
    script = [
        put("checkpoints/step-2/a.safetensors", 4000),
        put("best/step-1/weights.safetensors", 10),
        put("predictions/x.tsv", 1500),
        lambda run: seen.append((home / "checkpoints/step-2/a.safetensors").is_file()),
        put("checkpoints/step-4/a.safetensors", 5000),
        put("checkpoints/step-5.tmp-77/a.safetensors", 5),
        prune("checkpoints/step-2"),
        put("model/config.json", 3),
        say("completed", 0),
    ]
    home, away, links = by_hand(model, tmp_path, script)
    away.run()
    assert away.ending is Ending.COMPLETED
    assert seen == [True], "a checkpoint is home before the run ends"
    names = {str(p.relative_to(home)) for p in home.rglob("*") if p.is_file()}
    assert names == {
        "config.toml",
        "events.jsonl",
        "lock",
        "checkpoints/step-4/a.safetensors",
        "best/step-1/weights.safetensors",
        "predictions/x.tsv",
        "model/config.json",
    }
    assert (home / "checkpoints/step-4/a.safetensors").read_bytes() == bytes(
        i % 251 for i in range(5000)
    )
    assert links[0].largest == 1500
    assert len(events(home, "completed")) == 1
    assert not list((tmp_path / "node").rglob("events.jsonl"))
    assert not is_locked(RunPaths(home))


def test_a_result_is_told_only_when_its_files_are_home(model: Path, tmp_path: Path) -> None:
    script = [put("checkpoints/step-4/a", 3000), put("model/config.json", 3), say("completed", 0)]
    home, away, _ = by_hand(
        model, tmp_path, script, lambda method, args: method == "read" and "model" in args[0]
    )
    away.run()
    assert away.ending is Ending.LOST
    assert not events(home, "completed")
    assert (home / "checkpoints/step-4/a").stat().st_size == 3000
    assert not (home / "model").exists()
    assert not list(home.rglob("*.tmp-*"))


def test_a_damaged_disk_at_home_is_said_in_the_log(model: Path, tmp_path: Path) -> None:
    home, away, _ = by_hand(model, tmp_path, [put("best/step-1/w", 9), say("completed", 0)])
    (home / "best").write_text("in the way")
    away.run()
    assert away.ending is Ending.FAILED
    assert "brought home" in events(home, "failed")[0]["message"]


@pytest.mark.slow
def test_a_run_goes_on_on_another_node_from_what_came_home(model: Path, tmp_path: Path) -> None:
    home = make_run(model, tmp_path / "home", "run", "output.checkpoint_every_steps=2")
    holders: list[Any] = []

    def lost(method: str, args: Any) -> bool:
        if method != "files" or not list((home / "checkpoints").glob("step-?/manifest.json")):
            return False
        holders.append(holder_of(RunPaths(home)))
        return True

    links: list[Direct] = []

    def connect() -> Direct:
        links.append(Direct(ScratchRun("run", 1), (lambda *_: False) if links else lost))
        return links[-1]

    away = AwayRun(home, connect, retries=1)
    away.run()
    assert away.ending is Ending.COMPLETED
    assert len(links) == 2
    assert holders[0]["host"] == "far-away"
    started = events(home, "run_started")
    assert len(started) == 2
    assert started[1]["resumed_from"] >= 2
    assert (home / "model" / "model.safetensors").is_file()
    assert events(home, "completed")


def test_a_run_without_a_place_is_taken_back(model: Path, tmp_path: Path) -> None:
    home, away, links = by_hand(model, tmp_path, [])
    away.stop_and_save()
    away.run()
    assert away.ending is Ending.STOPPED
    assert not links[0].gone
    assert not events(home, "run_started")


def test_missing_data_is_said_with_the_nodes_name(tmp_path: Path) -> None:
    home = make_run(tmp_path, tmp_path / "home", "run", "task.name=RTE", "task.data_dir=/no/data")
    away = AwayRun(home, lambda: Direct(ScratchRun("run")), retries=0)
    away.run()
    assert away.ending is Ending.FAILED
    failure = events(home, "failed")[0]
    assert f"the node {node_name()} does not have task.data_dir" in failure["message"]
    assert "/no/data" in failure["message"]


def test_what_is_sent_and_what_is_renamed_as_one(tmp_path: Path) -> None:
    for name in [
        *("config.toml", "events.jsonl", "lock", "log.txt", "control/1.json", "model/m"),
        *("checkpoints/step-9/a", "checkpoints/step-10/a", "checkpoints/step-11.tmp-3/a"),
        *("best/step-9/w", "samples/step-3.safetensors"),
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(sendable(RunPaths(tmp_path))) == {
        "config.toml",
        "events.jsonl",
        "log.txt",
        "checkpoints/step-10/a",
        "best/step-9/w",
    }
    files = dict.fromkeys(["best/s/a", "best/s/b", "model/x/y", "predictions/p", "log.txt"], (1, 1))
    assert set(by_unit(files)) == {"best/s", "model", "predictions/p", "log.txt"}


def test_the_scratch_folder_is_this_user_s_alone(tmp_path: Path) -> None:
    shelf = own_shelf()
    assert shelf.stat().st_mode & 0o777 == 0o700
    assert own_shelf() == shelf
    shelf.chmod(0o755)
    with pytest.raises(CalisrError, match="only this user can enter"):
        ScratchRun("run")
    shelf.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    shelf.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CalisrError, match="only this user can enter"):
        ScratchRun("run")


def test_a_worker_s_failure_is_no_lost_node(model: Path, tmp_path: Path) -> None:
    for status, how in ((4, Ending.FAILED), (-9, Ending.LOST), (73, Ending.LOCKED)):
        _, away, _ = by_hand(model, tmp_path / str(status), [say("warning", status)])
        away.run()
        assert away.ending is how
