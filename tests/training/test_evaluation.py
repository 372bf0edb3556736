"""Patience, the best model, and what an evaluation by hand does not do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_engine.process.execute import execute
from calisr_engine.results import plain_export
from calisr_engine.runs import control, load_view
from calisr_engine.training.evaluation import Score
from calisr_engine.training.state import TrainState
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import after_event, kill_at
from tests.training.tiny_run import events, make_run

PATIENT = (
    "method.name=lora",
    "training.epochs=6",
    "training.learning_rate=1e-7",  # nothing is learnt, so nothing improves
    "training.early_stopping=2",
)


def test_the_first_of_equals_is_the_best() -> None:
    score = Score()
    found = [score.take(value, 0.3, step, True, True) for step, value in enumerate((0.5, 0.5, 0.6))]
    assert found == [True, False, True]
    assert (score.best, score.best_step, score.last, score.without_gain) == (0.6, 2, 0.6, 0)


def test_of_equals_the_one_with_the_lower_loss_is_best_but_no_gain() -> None:
    score = Score()
    losses = (0.6, 0.7, 0.5, None, 0.4)
    found = [score.take(1.0, loss, step, True, True) for step, loss in enumerate(losses)]
    assert found == [True, False, True, False, True]
    assert (score.best_step, score.best_loss, score.without_gain) == (4, 0.4, 4)
    assert not score.take(0.9, 0.1, 5, True, True)
    assert not score.take(1.0, 0.1, 6, counts=False, planned=True)


def test_an_older_checkpoint_knows_no_loss_of_its_best(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "old", "output.checkpoint_every_steps=4")
    kill_at(run, 11)
    state = newest_checkpoint(run) / "state.json"
    content = json.loads(state.read_text())
    assert content["score"].pop("best_loss") is not None
    assert TrainState.load_state_dict(content, {"rng": {}}).score.best_loss is None


def test_a_model_that_is_not_finished_stands_in_until_one_is() -> None:
    score = Score()
    assert score.take(0.9, None, 1, counts=False, planned=True)
    assert score.take(0.4, None, 2, counts=True, planned=True)
    assert not score.take(0.3, None, 3, counts=True, planned=True)
    assert (score.best, score.best_step) == (0.4, 2)


def test_an_evaluation_by_hand_is_no_opinion_on_patience() -> None:
    score = Score()
    score.take(0.5, None, 1, True, True)
    score.take(0.4, None, 2, True, False)
    assert score.without_gain == 0
    assert score.last == 0.4
    assert score.take(0.6, None, 3, True, False)


def test_evaluations_asked_for_do_not_end_a_run_early(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "asked", *PATIENT[:2], "training.early_stopping=1")

    def ask(step: int, event: object) -> None:
        if getattr(event, "type", "") == "progress" and step in (2, 3, 4):
            control.request(run, "evaluate")

    with after_event(ask), pytest.MonkeyPatch.context() as patch:
        patch.setattr("calisr_engine.training.requests.POLL_SECONDS", 0.0)
        assert execute(run, raise_errors=True) == 0
    by_hand = [e for e in events(run, "evaluated") if not e["planned"]]
    assert [e["step"] for e in by_hand] == [2, 3, 4]
    assert not any(e["is_best"] for e in by_hand[1:])
    planned = [e["step"] for e in events(run, "evaluated") if e["planned"]]
    assert planned[0] == 6


def test_a_run_that_ended_early_stays_ended_when_its_export_failed(
    model: Path, tmp_path: Path
) -> None:
    """Killed or failed after its last checkpoint, it does not train on."""
    calm, failed = (make_run(model, tmp_path, name, *PATIENT) for name in ("calm", "failed"))
    assert execute(calm, raise_errors=True) == 0
    summary = load_view(calm).summary
    assert summary is not None
    assert summary["ended_early"]
    assert summary["steps"] == 18 < load_view(calm).total_steps

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_export, "save_file", full)
        assert execute(failed) == 1
    failure = load_view(failed).failure
    assert failure is not None
    assert "the disk is full" in failure.message
    assert "calisr resume" in failure.hint
    assert execute(failed, raise_errors=True) == 0
    again = load_view(failed).summary
    assert again is not None
    assert again["steps"] == 18
    for key in ("best", "best_step", "last", "ended_early", "trainable"):
        assert again[key] == summary[key], key
    assert digest(failed / "model" / "model.safetensors") == digest(
        calm / "model" / "model.safetensors"
    )
    assert len(events(failed, "evaluated")) == len(events(calm, "evaluated"))


def test_killed_right_after_the_last_checkpoint(model: Path, tmp_path: Path) -> None:
    calm, killed = (make_run(model, tmp_path, name, *PATIENT) for name in ("calm", "killed"))
    assert execute(calm, raise_errors=True) == 0
    kill_at(killed, 18, "checkpoint_saved")
    assert execute(killed, raise_errors=True) == 0
    assert newest_checkpoint(killed).name == newest_checkpoint(calm).name == "step-18"
    assert len(events(killed, "evaluated")) == len(events(calm, "evaluated"))
