"""What a run does when it is asked for something, twice, or for nothing that makes sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from calisr_engine.process.execute import execute
from calisr_engine.runs import control
from tests.training.tiny_run import events, make_run


def asked(model: Path, folder: Path, *kinds: str, **args: str) -> Path:
    run = make_run(model, folder, "run", "method.name=lora", "training.max_steps=2")
    for kind in kinds:
        control.request(run, kind, **(args if kind == "switch" else {}))
    status = execute(run, raise_errors=True, since=0.0)
    assert status == (75 if {"stop", "stop_and_save", "end_early"} & set(kinds) else 0)
    return run


def test_a_second_pause_and_a_second_resume_change_nothing(model: Path, tmp_path: Path) -> None:
    kinds = ("resume", "pause", "pause", "resume", "resume")
    run = asked(model, tmp_path, *kinds)
    assert [len(events(run, kind)) for kind in ("paused", "resumed")] == [1, 1]
    assert not [e for e in events(run, "warning") if "cannot switch" in e["message"]]


@pytest.mark.parametrize(
    ("kind", "saved"), [("stop", False), ("stop_and_save", True), ("end_early", True)]
)
def test_a_stop_ends_a_pause(model: Path, tmp_path: Path, kind: str, saved: bool) -> None:
    run = asked(model, tmp_path, "pause", kind)
    (stopped,) = events(run, "stopped")
    assert (stopped["step"], stopped["saved"]) == (0, saved)
    assert ("search" in stopped["reason"]) is (kind == "end_early")
    assert (run / "checkpoints" / "step-0").is_dir() is saved
    assert not events(run, "resumed")


def test_only_a_group_in_fft_can_switch(model: Path, tmp_path: Path) -> None:
    run = asked(model, tmp_path, "switch", group="model")
    assert events(run, "group_switched")[0]["cause"] == "schedule"  # the light method from step 0
    (told,) = [e for e in events(run, "warning") if "cannot switch" in e["message"]]
    assert told["message"] == "cannot switch 'model': not a group in FFT"
    assert told["hint"].endswith("none is left in FFT")


def test_evaluating_twice_at_one_step_is_once(model: Path, tmp_path: Path) -> None:
    run = asked(model, tmp_path, "evaluate", "evaluate", "checkpoint", "checkpoint")
    assert [(e["step"], e["planned"]) for e in events(run, "evaluated")] == [(0, False), (2, True)]
    assert [e["step"] for e in events(run, "checkpoint_saved")] == [0, 2]
