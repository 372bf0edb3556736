"""Where screens get their runs from: logs as they grow, and recorded ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_engine.events.view import RunView
from calisr_tui.feed import EXAMPLE, ReplayFeed, RunFeed
from calisr_tui.themes import colours
from calisr_tui.widgets.log_pane import line
from tests.events.cases import CASES, record


def test_a_replay_does_not_ask_in_which_order_keys_stand(tmp_path: Path) -> None:
    lines = (EXAMPLE / "events.jsonl").read_text().splitlines()
    turned = (json.dumps(dict(reversed(json.loads(each).items()))) for each in lines)
    (tmp_path / "events.jsonl").write_text("\n".join([*turned, "garbage", ""]))
    recorded, replayed = ReplayFeed(EXAMPLE), ReplayFeed(tmp_path)
    assert replayed.duration == recorded.duration > 0
    assert replayed.garbage == 1
    for feed in (recorded, replayed):
        feed.seek(feed.duration)
    assert replayed.view.to_dict() == recorded.view.to_dict()


def shown(*said: ev.Event) -> str:
    view = fold_all(RunView(), [record(each) for each in said])
    table = line(view.messages[-1], colours("calisr-dark"), 80)
    return str(next(iter(table.columns[-1].cells)))


def test_each_decision_is_told_once() -> None:
    switched = CASES["group_switched"]
    assert isinstance(switched, ev.GroupSwitched)
    why = "query switched: 3 of 5 samples, 0.60 > 0.50"
    assert f"(hand: {why})" in shown(replace(switched, why=why))
    stays = ev.GroupDecision(srs=0.2, delta=0.5, hits=1, samples=5, switch=False, why="key stays")
    goes = replace(stays, hits=3, switch=True, why=why)
    decided = ev.SrsEvaluated(epoch=1.0, groups={"query": goes, "key": stays})
    by_score = replace(switched, why=why, cause="calibration")
    view = fold_all(RunView(), [record(each) for each in (decided, by_score)])
    assert [message.text for message in view.messages] == [
        "key stays",
        f"{why}; trainable now 500 = 50.00%",
    ]


def test_a_process_loads_until_it_says_that_it_trains(tmp_path: Path) -> None:
    log, own = tmp_path / "events.jsonl", [True]
    stopped = ev.Stopped(reason="asked to", saved=True)

    def write(*said: tuple[ev.Event, int]) -> None:
        with log.open("a") as file:
            for event, attempt in said:
                file.write(json.dumps({**record(event), "attempt": attempt}) + "\n")

    write((CASES["run_created"], 1), (CASES["run_started"], 1), (stopped, 1))
    feed = RunFeed(tmp_path, own=lambda: own[0])
    feed.poll()
    assert feed.loading
    write((CASES["run_started"], 2))
    feed.poll()
    assert not feed.loading
    write((stopped, 2))  # the process is not gone yet
    feed.poll()
    assert feed.trained
    assert not feed.loading


def test_whether_a_run_trains_is_looked_at_anew_where_it_is_asked(tmp_path: Path) -> None:
    """A key that resumes a run at the moment of its end was told that it trains already."""
    own = [True]
    feed = RunFeed(tmp_path, lambda: own[0])
    feed.poll()
    assert feed.trained
    own[0] = False
    feed.poll()  # looks at the log, and only now and then at the process
    assert feed.trained
    assert not feed.is_trained_now()
    assert not feed.trained
