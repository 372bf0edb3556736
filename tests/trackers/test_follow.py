"""Trackers follow a run, and nothing that happens to them reaches it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from calisr_engine.config.load import load
from calisr_engine.errors import UnavailableError
from calisr_engine.process.execute import execute
from calisr_engine.runs import installed, load_view
from calisr_engine.runs.create import create_run
from calisr_engine.trackers import queue
from calisr_engine.trackers.scalars import scalars
from calisr_tui.cli.app import run_command_line
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run, save_model

CALIBRATED = (
    "method.name=lora",
    "calibration.variant=S",
    "calibration.delta=0.3",
    "calibration.samples_per_epoch=3",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


class Fake(GeneralTracker):
    """Accelerate's interface; keeps what it is told, and misbehaves on demand.

    It takes the names of all trackers, so `arguments` are those each real one would get.
    """

    name = "fake"
    requires_logging_directory = False
    started: list[Fake] = []
    raise_at: str = ""
    hang_at: str = ""
    release = threading.Event()

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__()
        self.positional, self.named = positional, named
        self.hyperparameters: dict[str, Any] = {}
        self.logged: list[tuple[dict[str, float], int | None]] = []
        self.finished = False
        self.thread = threading.current_thread()
        Fake.started.append(self)

    @property
    def tracker(self) -> Any:
        return type("Run", (), {"name": "its-name", "info": type("I", (), {"run_id": "its-id"})})

    def _misbehave(self, where: str) -> None:
        if not Fake.release.is_set():
            print(f"noise of {where}")
            print(f"noise of {where}", file=sys.stderr)
        random.random()  # as MLflow does to make up names; training draws from torch alone
        if where == Fake.raise_at:
            raise ConnectionError("the network is down\nand more")
        if where == Fake.hang_at:
            Fake.release.wait()

    def start(self) -> None:
        self._misbehave("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._misbehave("store")
        self.hyperparameters = values

    def log(self, values: dict[str, Any], step: int | None = None, **more: Any) -> None:
        if len(self.logged) == 3:
            self._misbehave("log")
        self.logged.append((values, step))

    def finish(self) -> None:
        self._misbehave("finish")
        self.finished = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Fake]]:
    """Stands for W&B, MLflow and trackio."""
    for name in ("wandb", "mlflow", "trackio"):
        monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, name, Fake)
    monkeypatch.setattr(installed, "missing", lambda names: [])
    Fake.started, Fake.raise_at, Fake.hang_at = [], "", ""
    Fake.release.clear()
    yield Fake
    Fake.release.set()


def told(run: Path) -> list[tuple[dict[str, float], int]]:
    """What the log says that a tracker should have been told, in order."""
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [(values, record["step"]) for record in lines if (values := scalars(record))]


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = (run / "checkpoints").glob("step-*/*.safetensors")
    return {f"{f.parent.name}/{f.name}/{k}": v for f in files for k, v in load_file(f).items()}


def story(run: Path) -> list[dict[str, Any]]:
    """All events without what time alone decides."""
    timed = ("time", "seq", "seconds", "examples_per_second", "seconds_per_step", "freed_bytes")
    timed += ("bytes",)  # a checkpoint's: it keeps its times in decimals
    kept = []
    for line in (run / "events.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["type"] in ("resources", "run_created"):
            continue
        for key in [*timed, "config"]:
            record.pop(key, None)
        if record["type"] == "completed":
            summary = record["summary"]
            record["summary"] = {
                k: v for k, v in summary.items() if "seconds" not in k and k != "calibration_share"
            }
        kept.append(record)
    return kept


def warnings(run: Path) -> list[str]:
    return [w["message"] for w in events(run, "warning") if "tracker" in w["message"]]


def same_run(one: Path, two: Path) -> None:
    """Weights, optimizer and random states to the bit, and every event but tracker warnings."""
    mine, theirs = weights(one), weights(two)
    assert mine.keys() == theirs.keys()
    assert all(mine[name].equal(theirs[name]) for name in mine)
    first, second = story(one), story(two)
    assert [e for e in first if "tracker" not in e.get("message", "")] == [
        e for e in second if "tracker" not in e.get("message", "")
    ]


@pytest.fixture(scope="module")
def plain(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without trackers."""
    output = tmp_path_factory.mktemp("plain")
    run = make_run(model, output, "plain", *CALIBRATED, "training.dropout=0.1")
    assert execute(run, raise_errors=True) == 0
    return run


def tracked_run(model: Path, output: Path, names: str, *sets: str) -> Path:
    tracked = (f"output.trackers={names}", "output.tracker_project=trials")
    return make_run(model, output, "tracked", *CALIBRATED, "training.dropout=0.1", *tracked, *sets)


def test_all_trackers_are_told_what_the_log_says(
    plain: Path, model: Path, tmp_path: Path, fake: type[Fake], capfd: pytest.CaptureFixture[str]
) -> None:
    run = tracked_run(model, tmp_path, "[wandb, mlflow, trackio]")
    assert execute(run, raise_errors=True) == 0
    same_run(plain, run)
    assert len(fake.started) == 3
    assert len({tracker.thread for tracker in fake.started}) == 3
    for tracker in fake.started:
        assert tracker.positional == ("trials",)
        assert tracker.logged == told(run)
        assert tracker.finished
        assert tracker.hyperparameters["calibration.delta"] == 0.3
    assert "noise" not in "".join(capfd.readouterr())
    assert warnings(run) == []
    names = {name for values, _ in fake.started[0].logged for name in values}
    assert {"train/loss", "eval/matthews", "SR_LFT/query", "SRS/query"} <= names


@pytest.mark.parametrize("where", ["start", "store", "log", "finish"])
def test_a_tracker_that_raises_is_dropped_with_one_warning(
    where: str, plain: Path, model: Path, tmp_path: Path, fake: type[Fake]
) -> None:
    fake.raise_at = where
    run = tracked_run(model, tmp_path, "[wandb]")
    assert execute(run, raise_errors=True) == 0
    same_run(plain, run)
    assert warnings(run) == [
        "tracker wandb gets no more figures: ConnectionError: the network is down"
    ]
    assert load_view(run).state == "completed"
    last = (run / "events.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["type"] == "completed"


@pytest.mark.parametrize("where", ["start", "log", "finish"])
def test_a_tracker_that_hangs_holds_nothing_up(
    where: str,
    plain: Path,
    model: Path,
    tmp_path: Path,
    fake: type[Fake],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It never answers, so a run that waited for it would not end. The others go on."""
    monkeypatch.setattr(queue, "CLOSE_SECONDS", 0.2)
    fake.hang_at = where
    run = tracked_run(model, tmp_path, "[wandb]")
    assert execute(run, raise_errors=True) == 0
    same_run(plain, run)
    assert len(warnings(run)) == 1
    assert "did not finish within 0.2 seconds" in warnings(run)[0]


def test_a_tracker_that_stalls_or_falls_behind_is_dropped_in_mid_run(
    model: Path, tmp_path: Path, fake: type[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.hang_at = "start"
    monkeypatch.setattr(queue, "QUEUE_LIMIT", 4)
    run = tracked_run(model, tmp_path, "[wandb]")
    assert execute(run, raise_errors=True) == 0
    assert warnings(run) == ["tracker wandb gets no more figures: it fell 4 records behind"]
    assert 0 < next(w["step"] for w in events(run, "warning") if "tracker" in w["message"]) < 18
    monkeypatch.setattr(queue, "QUEUE_LIMIT", 10_000)
    monkeypatch.setattr(queue, "STALL_SECONDS", 0.0)
    other = make_run(model, tmp_path, "stalls", *CALIBRATED, "output.trackers=[wandb]")
    assert execute(other, raise_errors=True) == 0
    assert warnings(other) == [
        "tracker wandb gets no more figures: it has not answered for 0 seconds"
    ]


def test_one_that_fails_leaves_the_others_alone(
    model: Path, tmp_path: Path, fake: type[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Fake):
        def start(self) -> None:
            raise SystemExit("no key")

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "mlflow", Broken)
    run = tracked_run(model, tmp_path, "[mlflow, wandb]")
    assert execute(run, raise_errors=True) == 0
    assert warnings(run) == ["tracker mlflow gets no more figures: SystemExit: no key"]
    good = next(t for t in fake.started if not isinstance(t, Broken))
    assert good.finished
    assert good.logged == told(run)


def test_a_resumed_run_goes_on_in_the_same_tracker_runs(
    model: Path, tmp_path: Path, fake: type[Fake]
) -> None:
    run = tracked_run(model, tmp_path, "[wandb, mlflow, trackio]")
    stop = threading.Event()
    stop.set()
    assert execute(run, stop) == 75
    first = {tracker.thread.name: tracker for tracker in fake.started}
    assert all(tracker.finished for tracker in fake.started)
    fake.started = []
    assert execute(run, raise_errors=True) == 0
    second = {tracker.thread.name: tracker for tracker in fake.started}
    wandb, mlflow, trackio = (f"calisr-tracker-{n}" for n in ("wandb", "mlflow", "trackio"))
    assert first[wandb].named["id"] == second[wandb].named["id"]
    assert second[wandb].named["resume"] == "allow"
    assert first[mlflow].named == {"run_name": "tracked"}
    assert second[mlflow].named == {"run_id": "its-id"}
    assert first[trackio].named["name"] == "tracked"
    assert second[trackio].named["name"] == "its-name"
    assert second[trackio].named["resume"] == "allow"
    assert all(tracker.hyperparameters for tracker in first.values())
    assert not any(tracker.hyperparameters for tracker in second.values())  # told once
    steps = [step for _, step in second[wandb].logged]
    assert steps == sorted(steps)


def test_tensorboard_files_say_what_the_log_says(plain: Path, model: Path, tmp_path: Path) -> None:
    run = tracked_run(model, tmp_path, "[tensorboard]")
    assert execute(run, raise_errors=True) == 0
    same_run(plain, run)
    expected: dict[str, list[tuple[int, float]]] = {}
    for values, step in told(run):
        for name, value in values.items():
            expected.setdefault(name, []).append((step, value))
    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert set(read.Tags()["scalars"]) == set(expected)
    for name, points in expected.items():
        found = [(each.step, each.value) for each in read.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in points]
        assert [v for _, v in found] == pytest.approx([v for _, v in points], rel=1e-6)
    assert list((run / "tensorboard").glob("*/hparams.yml"))


def test_tensorboard_goes_on_in_its_folder_and_hides_repeated_steps(
    model: Path, tmp_path: Path
) -> None:
    run = tracked_run(model, tmp_path, "[tensorboard]", "output.checkpoint_every_steps=4")
    kill_at(run, 6)
    assert execute(run, raise_errors=True) == 0
    assert events(run, "run_started")[-1]["resumed_from"] == 4
    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [each.step for each in read.Scalars("train/loss")] == list(range(1, 19))
    assert len(list((run / "tensorboard").glob("*/hparams.yml"))) == 1


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_made(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installed, "missing", lambda names: [n for n in names if n == "mlflow"])
    resolved = load(None, ["output.trackers=[tensorboard, mlflow]", f"output.dir={tmp_path / 'r'}"])
    with pytest.raises(UnavailableError, match=r"pip install 'calisr\[mlflow\]'"):
        create_run(resolved)
    arguments = ["run", "demo", "--output-dir", str(tmp_path / "r"), "-s", "output.trackers=mlflow"]
    assert run_command_line(arguments) == 3
    assert run_command_line([*arguments, "--dry-run"]) == 3
    assert "pip install 'calisr[mlflow]'" in capfd.readouterr()[1]
    assert not (tmp_path / "r").exists()
    # A grid's node, or a resume elsewhere: the run goes on without it.
    with monkeypatch.context() as patch:
        patch.setattr(installed, "missing", lambda names: [])
        run = tracked_run(model, tmp_path, "[mlflow]")
    assert execute(run, raise_errors=True) == 0
    assert warnings(run) == ["tracker mlflow gets no more figures: it is not installed"]


@pytest.mark.slow
def test_a_worker_does_not_wait_for_what_a_library_left_behind(model: Path, tmp_path: Path) -> None:
    """W&B's own handler at exit would try for a minute to reach a server that is gone."""
    run = make_run(model, tmp_path, "worker", "method.name=fft", "training.epochs=1")
    code = (
        "import atexit, runpy, sys, time;"
        "atexit.register(time.sleep, 10_000);"
        f"sys.argv = ['worker', {str(run)!r}];"
        "runpy.run_module('calisr_engine.process.worker', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=200, check=False)
    assert done.returncode == 0
    assert load_view(run).state == "completed"


def test_an_unknown_tracker_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "demo", "-s", "output.trackers=tensorbord"]) == 2
    assert 'did you mean "tensorboard"?' in capfd.readouterr()[1]
