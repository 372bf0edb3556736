"""When a run evaluates and saves, and that it says a thing once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from calisr_engine.process.execute import execute
from calisr_engine.tasks.data import TaskData
from tests.training.tiny_run import events, make_run, save_model


def test_each_step_can_be_saved_the_first_too_and_a_note_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(TaskData, "score_notes", lambda *_: ["an odd metric"])
    run = make_run(
        save_model(tmp_path / "model"),
        tmp_path,
        "run",
        "training.max_steps=5",
        "training.eval_every_steps=2",
        "output.checkpoint_every_steps=1",
    )
    assert execute(run, raise_errors=True) == 0
    assert [e["step"] for e in events(run, "checkpoint_saved")] == [1, 2, 3, 4, 5]
    assert [e["step"] for e in events(run, "evaluated")] == [2, 4, 5]
    odd = [e["step"] for e in events(run, "warning") if e["message"] == "an odd metric"]
    assert odd == [2]
    assert {path.name for path in (run / "checkpoints").iterdir()} <= {"step-4", "step-5"}
