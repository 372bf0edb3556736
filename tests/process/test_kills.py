"""Kills and failing calls inside saving, pruning, finishing and exporting: every resume ends with
the same bits. `tests/faults` does it with real signals and below Python, many times."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.events.log import read_records
from calisr_engine.process import worker
from calisr_engine.process.execute import execute
from calisr_engine.process.thread import EngineThread
from calisr_engine.runs import load_view
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import Kill
from tests.training.tiny_run import make_run

SETTINGS = (
    "method.name=lora",
    "calibration.variant=S",
    "calibration.delta=0.3",
    "calibration.samples_per_epoch=3",
    "training.epochs=2",
    "training.eval_every_steps=3",
    "output.checkpoint_every_steps=4",
    "output.keep_checkpoints=1",
)
KEPT = ("best", "best_step", "last", "switched", "trainable", "samples", "steps")
OPERATIONS = ("fsync", "rename", "replace", "unlink", "rmdir")
"""What every write, prune and export goes through."""


@contextmanager
def killed_at(operation: int) -> Iterator[list[str]]:
    """Counts the file operations of the run; from number `operation` on, all of them fail.

    So nothing is cleaned up after the kill, as after SIGKILL.
    """
    done: list[str] = []
    real = {name: getattr(os, name) for name in OPERATIONS}
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:

            def act(*args: Any, name: str = name, **kwargs: Any) -> Any:
                done.append(name)
                if len(done) >= operation:
                    raise Kill
                return real[name](*args, **kwargs)

            patch.setattr(os, name, act)
        yield done


def outcome(run: Path) -> dict[str, Any]:
    summary = load_view(run).summary
    assert summary is not None
    best = next(iter((run / "best").glob("step-*")))
    return {
        **{key: summary[key] for key in KEPT},
        "weights": digest(newest_checkpoint(run) / "model.safetensors"),
        "best weights": digest(best / "weights.safetensors"),
        "model": digest(run / "model" / "model.safetensors"),
        "predictions": (run / "predictions" / "validation.tsv").read_text(),
    }


@contextmanager
def failing_at(operation: int, number: int, on: bool) -> Iterator[list[str]]:
    """Operation `operation` of the run fails, and all after it if `on`, as on a full disk."""
    done: list[str] = []
    names = (*OPERATIONS, "write", "mkdir", "ftruncate")
    real = {name: getattr(os, name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        for name in names:

            def act(*args: Any, name: str = name, **kwargs: Any) -> Any:
                done.append(name)
                if len(done) == operation or (on and len(done) > operation):
                    raise OSError(number, os.strerror(number))
                return real[name](*args, **kwargs)

            patch.setattr(os, name, act)
        yield done


Undisturbed = tuple[dict[str, Any], list[str], list[str]]


@pytest.fixture(scope="module")
def undisturbed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What comes of the run, and its operations as those who kill and those who fail count them."""
    calm = make_run(model, tmp_path_factory.mktemp("calm"), "calm", *SETTINGS)
    with killed_at(10**9) as few, failing_at(10**9, 0, False) as all_of_them:
        assert execute(calm, raise_errors=True) == 0
    return outcome(calm), few, all_of_them


@pytest.mark.parametrize("every", [13, pytest.param(7, marks=pytest.mark.slow)])
def test_killed_at_any_file_operation(
    every: int, undisturbed: Undisturbed, model: Path, tmp_path: Path
) -> None:
    expected, done, _ = undisturbed
    assert {"fsync", "rename", "unlink"} <= set(done)
    # A prime, so that all kinds and moments are met in one run or another.
    for number in range(3, len(done), every):
        run = make_run(model, tmp_path, f"killed-{number}", *SETTINGS)
        with killed_at(number):
            try:
                execute(run)
            except Kill:
                pass
            else:
                raise AssertionError(f"operation {number} of {len(done)} was not reached")
        assert execute(run, raise_errors=True) == 0
        assert outcome(run) == expected, f"killed at operation {number}: {done[number - 1]}"
        leftovers = [p for p in run.rglob("*") if ".tmp" in p.name]
        assert not leftovers, f"killed at operation {number}"
        shutil.rmtree(run)


@pytest.mark.parametrize("every", [41, pytest.param(23, marks=pytest.mark.slow)])
def test_any_operation_may_fail(
    every: int, undisturbed: Undisturbed, model: Path, tmp_path: Path
) -> None:
    expected, _, done = undisturbed
    told = set()
    for turn, operation in enumerate(range(2, len(done), every)):
        run = make_run(model, tmp_path, f"failing-{operation}", *SETTINGS)
        number, on = (errno.ENOSPC, errno.EIO)[turn % 2], turn % 4 > 1
        with failing_at(operation, number, on):
            engine = EngineThread(run)
            engine.start()
            status = engine.join()
        failure = engine.error or load_view(run).failure
        what = f"{done[operation - 1]}, operation {operation}"
        if status:
            assert failure is not None, f"{what}: failed without a word"
            assert status == 1
            assert "could not be written" in failure.message, what
            told.add(engine.error is None)
            assert execute(run, raise_errors=True) == 0
        assert outcome(run) == expected, what
        numbers = [record["seq"] for record in read_records(run / "events.jsonl")]
        assert numbers == list(range(len(numbers))), what
        assert not [p for p in run.rglob("*") if ".tmp" in p.name], what
        shutil.rmtree(run)
    assert told == {True, False}  # in the log, and where that took no more lines by the thread


def test_a_worker_whose_log_takes_no_more_lines_says_why(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own handlers
    run = make_run(model, tmp_path, "run", *SETTINGS)
    with failing_at(30, errno.ENOSPC, True):
        assert worker.main([str(run)]) == 1
    said = capsys.readouterr().err
    assert "could not be written" in said
    assert "the disk is full" in said
    assert "Traceback" not in said
    assert load_view(run).failure is None


def test_killed_again_and_again(undisturbed: Undisturbed, model: Path, tmp_path: Path) -> None:
    killed = make_run(model, tmp_path, "killed", *SETTINGS)
    for number in (5, 17, 29, 23, 31, 40, 11, 47):
        with killed_at(number):
            try:
                execute(killed)
            except Kill:
                continue
        break
    assert execute(killed, raise_errors=True) == 0
    assert outcome(killed) == undisturbed[0]
