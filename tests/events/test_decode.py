"""Each type of event comes back from its record; other things do not; old logs are read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.events import types as ev
from calisr_engine.events.decode import DecodeError, decode, parse
from calisr_engine.events.fold import fold, fold_all
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import EVENT_TYPES
from calisr_engine.events.view import RunView
from calisr_engine.trackers.scalars import scalars
from tests.events.cases import CASES, record

FIRST = Path(__file__).parents[1] / "fixtures" / "first_version" / "runs"


def test_every_type_has_a_case() -> None:
    assert CASES.keys() == EVENT_TYPES.keys()


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_an_event_comes_back_from_the_log(kind: str, tmp_path: Path) -> None:
    with EventWriter(tmp_path / "events.jsonl", attempt=3) as writer:
        writer.write(7, CASES[kind])
    found = parse((tmp_path / "events.jsonl").read_bytes())
    assert found is not None
    line = decode(found)
    assert line is not None
    assert line.event == CASES[kind]
    assert (line.seq, line.attempt, line.step) == (0, 3, 7)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_the_order_of_keys_and_unknown_fields_do_not_matter(kind: str) -> None:
    turned = dict(reversed(list({**record(CASES[kind]), "later": [1]}.items())))
    line = decode(turned)
    assert line is not None
    assert line.event == CASES[kind]


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_each_field_is_wanted_in_its_own_type(kind: str) -> None:
    event = CASES[kind]
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        wrong: list[Any] = [object, [[1]]] if isinstance(value, dict) else [{"a": 1}]
        if isinstance(value, int | float) and not isinstance(value, bool):
            wrong += ["5", True]
        if isinstance(value, bool):
            wrong += [1, "true"]
        if isinstance(value, str):
            wrong += [5]
        for each in wrong:
            with pytest.raises(DecodeError, match=rf"no {kind} event: .*{field.name}"):
                decode({**record(event), field.name: each})


def test_a_missing_field_is_named() -> None:
    broken = record(CASES["progress"])
    del broken["loss"]
    with pytest.raises(DecodeError, match="loss"):
        decode(broken)


def test_an_unknown_type_is_passed_over() -> None:
    assert decode({**record(CASES["paused"]), "type": "something_later"}) is None


@pytest.mark.parametrize("cause", ["calibration", "schedule", "hand"])
def test_format_1_wrote_the_cause_before_the_reason(cause: str) -> None:
    old = record(CASES["group_switched"])
    del old["cause"]
    line = decode({**old, "v": 1, "why": f"{cause}: value: 3 of 5"})
    assert line is not None
    assert isinstance(line.event, ev.GroupSwitched)
    assert (line.event.cause, line.event.why) == (cause, "value: 3 of 5")


def test_format_1_said_in_words_that_a_switch_was_held_back() -> None:
    old = record(CASES["srs_evaluated"])
    del old["groups"]["query"]["held_back"]
    said = "3 of 5; but training ends with this step, so nothing switches"
    for why, held in ((said, True), ("3 of 5", False)):
        old["groups"]["query"]["why"] = why
        line = decode(old)
        assert line is not None
        assert isinstance(line.event, ev.SrsEvaluated)
        assert line.event.groups["query"].held_back is held


@pytest.mark.parametrize("log", sorted(FIRST.glob("*/events.jsonl")), ids=lambda p: p.parent.name)
def test_logs_of_the_first_version_hold_no_garbage(log: Path) -> None:
    records = [json.loads(line) for line in log.read_text().splitlines()]
    view = fold_all(RunView(), records)
    assert view.garbage == 0
    assert view.step > 0
    for switch in view.switches:
        assert switch.cause in ("calibration", "schedule")
        assert not switch.why.startswith(switch.cause)


FIGURES = {"run_started", "progress", "stable_rank_sampled", "srs_evaluated"} | {
    "group_switched",
    "evaluated",
}


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_scalars_of_every_type(kind: str) -> None:
    found = scalars(record(CASES[kind]))
    assert bool(found) == (kind in FIGURES)
    assert all(isinstance(value, float) for value in found.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(EVENT_TYPES)), st.data())
@settings(max_examples=400, derandomize=True, deadline=None)
def test_valid_json_of_wrong_types_never_breaks_the_fold(kind: str, data: st.DataObject) -> None:
    said = record(CASES[kind])
    for key in data.draw(st.sets(st.sampled_from(sorted(said)), min_size=1, max_size=4)):
        said[key] = data.draw(JSON)
    line = json.dumps(said).encode()
    found = parse(line)
    if found is not None:
        view = fold_all(RunView(), [record(CASES["run_created"]), record(CASES["run_started"])])
        fold(view, found)
        json.dumps(view.to_dict())
