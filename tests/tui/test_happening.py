"""What the live screen says of a run: what a group waits for, why, and whether it overfits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from calisr_engine.analysis.outlook import Outlook, next_decision, outlook
from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_tui import happening
from tests.events.cases import record
from tests.tui.live_run import a_run


def test_an_outlook_counts_the_samples_to_come() -> None:
    view = a_run()
    step = next_decision(view)
    assert step == 50
    assert outlook(view, view.groups["query"], step) == Outlook(50, left=2, more=1)
    assert outlook(view, view.groups["attention_output"], step) == Outlook(50, left=2, more=3)
    every = a_run(samples_per_epoch=None, every_steps=10)
    assert outlook(every, every.groups["query"], 50) == Outlook(50, left=2, more=1)
    enough = a_run(delta=0.3)
    assert outlook(enough, enough.groups["query"], 50) == Outlook(50, left=2, more=0)
    strict = a_run(delta=1.0)
    assert outlook(strict, strict.groups["query"], 50) == Outlook(50, left=2, more=None)


def test_what_is_decided_at_the_end_switches_nothing() -> None:
    view = a_run(steps=50)
    assert next_decision(view) is None
    assert happening.now(view, view.groups["query"], None)[0].startswith("query trains fully to")


@pytest.mark.parametrize(
    ("group", "settings", "said"),
    [
        ("query", {}, "query: 2 of 3 light steps kept the rank lower; one more hit switches it"),
        ("query", {"delta": 0.7}, "2 more hits switch it at step 50"),
        ("query", {"delta": 0.3}, "that is enough, it switches at step 50"),
        ("attention_output", {}, "0 of 3 light steps kept the rank lower; too few to switch"),
        ("query", {"taken": 0}, "a new window; it needs 3 of its 5 samples"),
        ("query", {"control": "matched"}, "no score decides"),
        ("query", {"switched": True}, "is light (?) since step 50: 2 of 3 light steps kept"),
    ],
)
def test_one_sentence_says_what_happens(group: str, settings: Any, said: str) -> None:
    view = a_run(**settings)
    sentence, short = happening.now(view, view.groups[group], next_decision(view))
    assert said in sentence
    assert len(short) <= 56  # what a terminal of 60 columns has room for


def test_why_the_share_stays_high_and_light_stands_above_full() -> None:
    view = a_run(switched=True)
    assert "the other 2 switch" in str(happening.why_share(view))
    notes = happening.notes(view, view.groups["query"])
    assert notes == [happening.LAST_SAMPLE, happening.why_share(view), happening.LOWER]
    assert happening.notes(a_run(), a_run().groups["query"]) == [happening.LOWER]


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([], ""),
        ([0.6], ""),
        ([0.6, 0.5], "validation still falls"),
        ([0.6, 0.5, 0.505], "validation flat since 20"),
        ([0.6, 0.5, 0.6], "overfits since 20: validation +20%"),
    ],
)
def test_overfitting_is_said(losses: list[float], said: str) -> None:
    evaluated = ev.Evaluated(
        epoch=1.0, metrics={"f1": 0.5}, metric="f1", value=0.5, best=0.5, best_step=1, is_best=True
    )
    said_of = [record(replace(evaluated, loss=loss), 10 * n) for n, loss in enumerate(losses, 1)]
    assert happening.overfitting(fold_all(a_run(), said_of)) == said
