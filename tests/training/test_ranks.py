"""Several processes that train one run: the same as one process with the same batches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.errors import ConfigError
from calisr_engine.process.execute import execute
from calisr_engine.runs import control, load_view
from calisr_engine.training.ranks import Place, Ranks, slice_of
from tests.training.rank_process import start, statuses
from tests.training.tiny_run import events, make_run, save_model

CALIBRATED = ("calibration.variant=S", "calibration.delta=0.3", "calibration.samples_per_epoch=3")
# 85 rows in batches of 7: slices of 3 and 4, and one batch of a single row, so one empty slice.
UNEVEN = ("task.max_train_examples=85", "training.batch_size=7", "training.accumulate=2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    folders = (run_dir / "checkpoints").glob("step-*/model.safetensors")
    return load_file(max(folders, key=lambda p: int(p.parent.name.split("-")[1])))


def switches(run_dir: Path) -> list[tuple[int, str, int]]:
    return [(e["step"], e["group"], e["trainable"]) for e in events(run_dir, "group_switched")]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 7, 32])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_slices_are_a_partition_in_order(rows: int, size: int) -> None:
    parts = [slice_of(range(rows), rank, size) for rank in range(size)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_environment_says_which_process_this_is() -> None:
    assert Place.from_environment({}) == Place()
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert Place.from_environment(given) == Place(3, 4, 1, 2)
    for wrong in ({"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "a", "WORLD_SIZE": "2"}):
        with pytest.raises(ConfigError):
            Place.from_environment(wrong)


def test_one_named_gpu_is_not_for_several_processes() -> None:
    with pytest.raises(ConfigError, match="cuda:1"):
        Ranks(Place(1, 2)).device_name("cuda:1")
    assert Ranks().device_name("cuda:1") == "cuda:1"


@pytest.mark.parametrize(
    ("gpus", "local", "wanted", "expected"),
    [
        (0, 1, "auto", "cpu"),
        (2, 1, "auto", "cuda:1"),
        (2, 3, "cuda", "cuda:1"),
        (2, 2, "cuda", "cuda:0"),
        (0, 1, "cuda", "cuda"),  # refused where the device is chosen
        (2, 1, "cpu", "cpu"),
    ],
)
def test_each_process_takes_the_next_gpu(
    monkeypatch: pytest.MonkeyPatch, gpus: int, local: int, wanted: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert Ranks(Place(local, 4, local, 4)).device_name(wanted) == expected
    with pytest.raises(ConfigError, match="mps"):
        Ranks(Place(local, 4, local, 4)).device_name("mps")


def met(monkeypatch: pytest.MonkeyPatch, device: str, place: Place, gpus: int = 0) -> Any:
    """How these ranks would meet: (backend, what torch is told)."""
    told: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda *a, **k: told.append((a, k))
    )
    with Ranks(place).joined(torch.device(device)):
        pass
    ((backend,), given) = told[0]
    return backend, given


def test_ranks_meet_over_nccl_where_each_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert met(monkeypatch, "cuda", Place(1, 4, 1, 2), gpus=2)[0] == "cpu:gloo,cuda:nccl"
    assert met(monkeypatch, "cuda", Place(1, 4, 0, 1), gpus=2)[0] == "cpu:gloo,cuda:nccl"
    assert met(monkeypatch, "cuda", Place(1, 4, 1, 4), gpus=2)[0] == "gloo"
    backend, given = met(monkeypatch, "cpu", Place(1, 4, 1, 2), gpus=2)
    assert backend == "gloo"
    assert (given["rank"], given["world_size"]) == (1, 4)


def test_how_long_ranks_wait_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, seconds in ((None, 600), ("", 600), ("0.5", 0.5), ("9999999", 9999999)):
        if said is not None:
            monkeypatch.setenv("CALISR_RANK_TIMEOUT", said)
        given = met(monkeypatch, "cpu", Place(0, 2))[1]
        assert given["timeout"].total_seconds() == seconds
    for wrong in ("0", "-1", "soon", "nan", "inf", "1e7"):
        monkeypatch.setenv("CALISR_RANK_TIMEOUT", wrong)
        with pytest.raises(ConfigError, match="CALISR_RANK_TIMEOUT"):
            met(monkeypatch, "cpu", Place(0, 2))


@pytest.mark.parametrize(
    "methods",
    [["lora", "child_tuning_d"], pytest.param(["mpop"], marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_two_processes_do_what_one_does(methods: list[str], model: Path, tmp_path: Path) -> None:
    """Same switches at the same steps; losses and weights equal but for the order of additions.

    The masks are those of the first process. Gradients added in the backward pass give the same
    bits as those added after it.
    """

    def runs(name: str, methods: Sequence[str], *more: str) -> list[Path]:
        return [
            make_run(
                model,
                tmp_path,
                f"{name}-{method}",
                f"method.name={method}",
                "training.dropout=0.0",
                *CALIBRATED,
                *UNEVEN,
                *more,
            )
            for method in methods
        ]

    single, double = runs("one", methods), runs("two", methods)
    overlapped = runs("overlapped", methods[:1], "training.overlap_gradients=true")
    for run in single:
        assert execute(run, raise_errors=True) == 0
    jobs = [{"run_dir": run, "on": 1, "other_masks": True} for run in [*double, *overlapped]]
    assert statuses(jobs) == [[0] * len(jobs)] * 2
    for after, meanwhile in zip(double, overlapped, strict=False):
        mine, theirs = weights(after), weights(meanwhile)
        assert all(theirs[name].equal(value) for name, value in mine.items())
    for one, two in zip(single, double, strict=True):
        assert switches(one) == switches(two)
        assert len({step for step, _, _ in switches(one)}) >= 1
        first, second = events(one, "progress"), events(two, "progress")
        assert [e["step"] for e in first] == [e["step"] for e in second]
        assert [e["loss"] for e in first] == pytest.approx([e["loss"] for e in second], abs=1e-5)
        norms = [[e["gradient_norm"] for e in found] for found in (first, second)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-3, abs=1e-5)
        mine, theirs = weights(one), weights(two)
        assert mine.keys() == theirs.keys()
        for name, weight in mine.items():
            torch.testing.assert_close(weight, theirs[name], rtol=1e-3, atol=1e-4, msg=name)
        assert [e["metrics"] for e in events(one, "evaluated")] == [
            pytest.approx(e["metrics"]) for e in events(two, "evaluated")
        ]
        hits = [
            [
                (e["step"], {group: g["hits"] for group, g in e["groups"].items()})
                for e in events(run, "stable_rank_sampled")
            ]
            for run in (one, two)
        ]
        assert hits[0] == hits[1]
        seqs = [e["seq"] for kind in ("progress", "evaluated") for e in events(two, kind)]
        assert len(seqs) == len(set(seqs))
        summary = load_view(two).summary
        assert summary is not None
        assert (two / "model" / "README.md").is_file()


@pytest.mark.slow
def test_stops_and_resumes_to_the_same_bits_with_dropout(model: Path, tmp_path: Path) -> None:
    """A stop that reaches rank 1 only stops both at one step; each goes on with its own stream."""
    sets = ("method.name=lora", "training.dropout=0.1", *CALIBRATED, *UNEVEN)
    calm, stopped, asked = (make_run(model, tmp_path, n, *sets) for n in ("calm", "stop", "ask"))
    control.request(asked, "switch", group="query")
    control.request(asked, "checkpoint")
    control.request(asked, "evaluate")
    control.request(asked, "pause")
    control.request(asked, "resume")
    jobs: list[dict[str, Any]] = [
        {"run_dir": calm},
        {"run_dir": stopped, "stop_at": 9, "on": 1},
        {"run_dir": stopped},
        {"run_dir": asked},
    ]
    assert statuses(jobs) == [[0, 75, 0, 0]] * 2
    assert [e["step"] for e in events(stopped, "stopped")] == [9]
    mine, theirs = weights(calm), weights(stopped)
    assert all(mine[name].equal(theirs[name]) for name in mine)
    assert switches(calm) == switches(stopped)
    assert (0, "query") in [(step, group) for step, group, _ in switches(asked)]
    assert [len(events(asked, kind)) for kind in ("paused", "resumed")] == [1, 1]
    streams = [load_file(p) for p in (stopped / "checkpoints").glob("step-21/rng*.safetensors")]
    assert len(streams) == 2
    assert not streams[0]["torch"].equal(streams[1]["torch"])

    # What two processes began, one can finish.
    resumed = make_run(model, tmp_path, "alone", *sets)
    assert statuses([{"run_dir": resumed, "stop_at": 5, "on": 0}]) == [[75]] * 2
    assert execute(resumed, raise_errors=True) == 0


@pytest.mark.slow
def test_a_rank_that_dies_fails_the_run_clearly(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "dies", "method.name=lora", *CALIBRATED)
    began = time.monotonic()
    first, second = start([{"run_dir": run, "die_at": 5, "on": 1}])
    assert second.wait(120) == 9
    died = time.monotonic()
    out, _ = first.communicate(timeout=120)
    assert time.monotonic() - died < 30, f"{died - began:.0f} s before the death"
    assert out.split() == ["1"]
    view = load_view(run)
    assert view.state == "failed"
    assert view.failure is not None
    assert "process 0 of this run's 2 lost the others" in view.failure.message


@pytest.mark.slow
def test_calisr_run_starts_and_stops_the_processes(model: Path, tmp_path: Path) -> None:
    """`--processes 2`: SIGINT stops and saves; `resume --processes 2` finishes."""
    output = tmp_path / "runs"
    sets = [f"model.name={model}", "training.epochs=400", "training.device=cpu"]
    sets += ["task.max_train_examples=96", "task.max_length=64", "output.name=cli"]
    sets += ["output.trackers=tensorboard"]
    command = [sys.executable, "-m", "calisr_tui"]
    begin = [*command, "run", "demo", "--processes", "2", "--output-dir", str(output)]
    begin += [word for each in sets for word in ("--set", each)]
    process = subprocess.Popen(begin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = output / "cli" / "events.jsonl"
    while process.poll() is None and not (log.is_file() and '"progress"' in log.read_text()):
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    stopped = events(output / "cli", "stopped")
    assert [each["saved"] for each in stopped] == [True]
    # Process 0 alone feeds trackers: one file of scalars (hyperparameters lie a folder deeper).
    assert len(list((output / "cli" / "tensorboard").glob("events.*"))) == 1
    assert '"processes": 2' in (output / "cli" / "environment.json").read_text()
    assert events(output / "cli", "run_started")[0]["device"] == "2 x cpu"
