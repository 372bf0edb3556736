"""What the live screen says of a run: what a group waits for, why, and whether it overfits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from rich.console import Console

from calisr_engine.analysis.outlook import Outlook, next_decision, outlook
from calisr_engine.analysis.score import in_words
from calisr_engine.calibration.score import exact_decimal, should_switch
from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_tui import happening, words
from calisr_tui.charts import plots, srs_table
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.srs_table import rows, table_text
from calisr_tui.cli.live_text import render
from calisr_tui.widgets.status_line import status_text
from tests.events.cases import record
from tests.tui.live_run import a_run

STYLES = dict.fromkeys((*ROLES, "row"), "")


def test_an_outlook_counts_the_samples_to_come() -> None:
    view = a_run()
    step = next_decision(view)
    assert step == 50
    assert outlook(view, view.groups["query"], step) == Outlook(50, 2, Fraction(1, 2))
    assert outlook(view, view.groups["attention_output"], step) == Outlook(50, 2, Fraction(5, 2))
    every = a_run(samples_per_epoch=None, every_steps=10)
    assert outlook(every, every.groups["query"], 50) == Outlook(50, 2, Fraction(1, 2))
    enough = a_run(delta=0.3)
    assert outlook(enough, enough.groups["query"], 50) == Outlook(50, 2, Fraction(-1, 2))
    strict = a_run(delta=1.0)
    assert outlook(strict, strict.groups["query"], 50) == Outlook(50, 2, Fraction(3))


def test_an_outlook_is_what_every_way_to_go_on_comes_to() -> None:
    for left in range(5):
        for quarters in range(13):
            for delta in (0.0, 0.25, 0.5, 0.6, 1.0):
                short = exact_decimal(delta) * (3 + left) - Fraction(quarters, 4)
                whole, vote = Outlook(50, left, short), Outlook(50, left, short, votes=True)
                ends = [should_switch(Fraction(quarters, 4) + n, 3 + left, delta) for n in range(8)]
                assert whole.more == (ends.index(True) if True in ends else 8)
                assert whole.possible == vote.possible == ends[left]
                assert whole.enough == vote.enough == ends[0]


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
    assert settings != {"taken": 0} or short == "new window; 3 of 5 hits switch it at step 50"
    assert len(short) <= 56  # what a terminal of 60 columns has room for


VOTE: dict[str, Any] = {"score": "vote", "shares": (2 / 3, 1 / 3)}


@pytest.mark.parametrize(
    ("group", "settings", "waits", "said"),
    [
        ("query", {}, ">0.83 of 2", "1.67 of 3 votes: light rank lower; more than 0.83 of the"),
        ("attention_output", {}, ">1.5 of 2", "1 of 3 votes: light rank lower; more than 1.5"),
        ("attention_output", {"delta": 0.7}, "too few", "1 of 3 votes: light rank lower; too few"),
        ("query", {"delta": 0.3}, "enough", "that is enough, it switches at step 50"),
        ("query", {"taken": 0}, ">2.5 of 5", "it needs more than 2.5 of its 5 samples"),
        ("query", {"switched": True}, "–", "1.67 of 3 votes: light rank lower, and 0.56 > δ 0.5"),
        ("query", {"control": "coin"}, "1 of 2", "coin flips were heads; one more hit switches it"),
    ],
)
def test_votes_are_no_whole_hits(group: str, settings: Any, waits: str, said: str) -> None:
    view = a_run(**VOTE | settings)
    step = next_decision(view)
    assert happening.waits_for(outlook(view, view.groups[group], step)) == waits
    sentence, short = happening.now(view, view.groups[group], step)
    assert said in sentence
    assert len(short) <= 60


def test_a_vote_of_half_the_samples_and_a_little_more_is_enough() -> None:
    """2.6 of 5 is above 0.5, though no whole number of hits is between."""
    for hits, said in ((2.6, "enough"), (2.5, "too few")):
        view = a_run(taken=5, score="vote")
        view.groups["query"].hits = hits
        (row, *_) = rows(view)
        assert row.waits == said
        assert row.above == (said == "enough")


def test_what_is_said_of_votes_says_so() -> None:
    view = a_run(**VOTE)
    counter = words.explain_counter(view, view.groups["query"])
    assert "33% of its matrices had the lower rank" in counter
    assert "1.67 hits in 3 samples" in counter
    switched = a_run(**VOTE, switched=True)
    assert "cast 1.67 of 3 votes for" in words.explain_counter(switched, switched.groups["query"])
    told = in_words(view, view.groups["query"])
    assert told.startswith("In all its 3 samples 56% of the votes are hits")
    assert "the one before" not in told
    (plot, differences) = plots.stable_rank(view, "query", None)
    assert not any("hit" in line.label for line in (*plot.lines, *differences.lines))


@pytest.mark.parametrize("control", ["matched", "shuffled"])
def test_given_steps_are_told_without_delta(control: str) -> None:
    view = a_run(control=control, measure=True)
    console = Console(width=100, color_system=None)
    with console.capture() as shown:
        console.print(render(view, 100))
    table = table_text(rows(view), view.threshold, 60, None, 0, {}, STYLES).plain
    assert "Δ rank" in table  # it is measured, and decides nothing
    told = [
        happening.now(view, view.groups["query"], None)[0],
        *happening.notes(view, view.groups["query"]),
    ]
    told += [shown.get(), table, words.explain_group(view, view.groups["query"])]
    told += [status_text(view, 120, [], STYLES).plain, srs_table.title(view.threshold, 100)]
    for each in told:
        assert "δ" not in each
        assert "decision" not in each
        assert "Lower is better" not in each


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
