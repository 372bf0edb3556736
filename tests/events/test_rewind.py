"""A resume takes back what was trained after its checkpoint, at the checkpoint's step too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_engine.events.rewind import effective
from calisr_engine.events.view import RunView
from calisr_engine.process.execute import execute
from calisr_engine.runs import control, load_view
from calisr_engine.runs.store import summarise
from tests.events.cases import CASES, record
from tests.events.test_fold import shown, started
from tests.training.interrupt import after_event
from tests.training.tiny_run import events, make_run

PLANNED = ev.Evaluated(
    epoch=0.5, metrics={"f1": 0.5}, metric="f1", value=0.5, best=0.5, best_step=6, is_best=True
)
BY_HAND = replace(PLANNED, metrics={"f1": 0.9}, value=0.9, best=0.9, planned=False)
SWITCH = ev.GroupSwitched(
    epoch=1.0,
    group="query",
    cause="hand",
    why="asked for",
    trainable_before=1000,
    trainable=700,
    total=1000,
)
SAVED = ev.CheckpointSaved(path="checkpoints/step-6", bytes=1, seconds=0.1)


def log(*said: tuple[int, ev.Event]) -> list[dict[str, Any]]:
    return [record(event, step, seq=seq) for seq, (step, event) in enumerate(said)]


def test_what_was_asked_for_after_the_checkpoint_at_its_step_is_taken_back() -> None:
    progress = ev.Progress(epoch=1.0, loss=0.5, learning_rate=1e-3)
    begin = [(0, CASES["run_created"]), (0, started(None, set()))]
    begin += [(6, progress), (6, PLANNED), (6, SAVED)]
    calm = fold_all(RunView(), log(*begin))
    records = log(*begin, (6, BY_HAND), (6, SWITCH), (6, started(6, set())))
    resumed = fold_all(RunView(), records)
    assert shown(resumed) == shown(calm)
    assert resumed.trainable_share.last == calm.trainable_share.last == 1.0
    assert [line.event for line in effective(records)].count(SWITCH) == 0
    assert not any("switched" in message.text for message in resumed.messages)


def test_what_was_asked_for_before_the_checkpoint_at_its_step_holds() -> None:
    begin = [(0, CASES["run_created"]), (0, started(None, set()))]
    records = log(*begin, (6, BY_HAND), (6, SWITCH), (6, SAVED), (6, started(6, {"query"})))
    view = fold_all(RunView(), records)
    assert (view.best, view.switched) == (0.9, {"query": 6})


def test_the_newest_checkpoint_of_a_step_counts() -> None:
    begin = [(0, CASES["run_created"]), (0, started(None, set()))]
    view = fold_all(
        RunView(), log(*begin, (6, SAVED), (6, SWITCH), (6, SAVED), (6, started(6, {"query"})))
    )
    assert view.switched == {"query": 6}


def test_a_checkpoint_whose_line_was_lost_keeps_its_step() -> None:
    begin = [(0, CASES["run_created"]), (0, started(None, set()))]
    records = log(*begin, (6, PLANNED), (7, BY_HAND), (6, started(6, set())))
    assert fold_all(RunView(), records).best == 0.5


def test_switches_before_the_first_step_count_once_when_a_run_begins_anew() -> None:
    """A run with `schedule.switch_at = 0` that is killed before its first checkpoint."""
    switch = replace(SWITCH, epoch=0.0, cause="schedule")
    attempt = [(0, switch), (1, CASES["progress"])]
    begin = [(0, CASES["run_created"]), (0, started(None, set())), *attempt]
    records = log(*begin, (0, started(0, set())), *attempt)
    view = fold_all(RunView(), records)
    assert [each.group for each in view.switches] == ["query"]
    assert shown(view) == shown(fold_all(RunView(), log(*begin)))


def test_a_switch_asked_for_at_the_step_of_a_checkpoint_is_saved_with_a_stop(
    model: Path, tmp_path: Path
) -> None:
    """Stop and save at a step that has a checkpoint from before the switch: it is written anew."""
    sets = ("method.name=lora", "calibration.variant=S", "output.checkpoint_every_steps=4")
    run = make_run(model, tmp_path, "by-hand", *sets)

    def ask(step: int, event: Any) -> None:
        if event.type == "checkpoint_saved" and step == 4 and len(events(run, event.type)) == 1:
            control.request(run, "switch", group="query")
            control.request(run, "stop_and_save")

    with after_event(ask), pytest.MonkeyPatch.context() as patch:
        patch.setattr("calisr_engine.training.requests.POLL_SECONDS", 0.0)
        assert execute(run, raise_errors=True) == 75
    assert events(run, "stopped")[-1]["saved"]
    assert execute(run, raise_errors=True) == 0
    started_again = events(run, "run_started")[-1]
    assert started_again["resumed_from"] == 4
    assert started_again["phases"]["query"] == "lft"
    view = load_view(run)
    assert view.switched is not None
    assert view.switched["query"] == 4
    assert view.switched == {g: s for g, s in view.summary["switched"].items() if s is not None}  # type: ignore[index]
    assert summarise(run).switched == view.switched
