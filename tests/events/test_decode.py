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
from calisr_engine.events.decode import DecodeError, decode, decode_block, envelopes, parse
from calisr_engine.events.fold import fold, fold_all, fold_blocks
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import EVENT_TYPES
from calisr_engine.events.view import RunView
from calisr_engine.trackers.scalars import scalars
from calisr_tui.feed import EXAMPLE
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
    "generalisation_measured",
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


RANGES = {
    ("progress", "loss"): [1e101, -1e101],
    ("run_started", "total_steps"): [-1, 2**53 + 1],
    ("run_started", "decision_steps"): [[-5]],
    ("evaluated", "best_step"): [-1, 5.0],
    ("resources", "memory_bytes"): [-1, 2**60],
}


@pytest.mark.parametrize(("kind", "field"), RANGES)
def test_each_figure_has_its_range(kind: str, field: str) -> None:
    for value in RANGES[kind, field]:
        with pytest.raises(DecodeError, match=field):
            decode({**record(CASES[kind]), field: value})


@pytest.mark.parametrize("step", [-1, 2**53 + 1, 1.0, "1", None, True])
def test_a_step_is_a_count(step: Any) -> None:
    assert parse(json.dumps({**record(CASES["paused"]), "step": step}).encode()) is None
    assert decode_block(json.dumps({**record(CASES["paused"]), "step": step}).encode()) == ([], 1)


@pytest.mark.parametrize("time", [-1, 1e300, "now", None, [], True])
def test_a_time_that_is_none_is_not_known_and_the_rest_holds(time: Any) -> None:
    lines, garbage = decode_block(json.dumps({**record(CASES["paused"]), "time": time}).encode())
    assert ([line.time for line in lines], garbage) == ([None], 0)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("run_created", "config", {"calibration": {"delta": "0.5"}}),
        ("run_created", "config", {"calibration": None}),
        ("run_created", "config", {"method": {"components": [3]}}),
        ("completed", "summary", {"best": "0.9"}),
        ("completed", "summary", {"switched": {"query": "never"}}),
        ("settings_changed", "changes", {"training.epochs": {"from": 2}}),
    ],
)
def test_what_readers_rely_on_in_free_fields_has_its_type(
    kind: str, field: str, value: Any
) -> None:
    with pytest.raises(DecodeError, match=f"no {kind} event"):
        decode({**record(CASES[kind]), field: value})


@pytest.mark.parametrize("kind", ["run_created", "completed", "settings_changed"])
def test_free_values_are_not_nested_without_end(kind: str) -> None:
    field = {"run_created": "config", "completed": "summary", "settings_changed": "changes"}[kind]
    nested: Any = 1
    for _ in range(40):
        nested = [nested]
    value = {"a": {"from": nested, "to": 1}} if kind == "settings_changed" else {"a": nested}
    assert decode_block(json.dumps({**record(CASES[kind]), field: value}).encode()) == ([], 1)


ODD = (
    *(b"", b" ", b"{", b"[1]", b"null", b"\xff\xfe", b"\x00" * 9, b"[" * 5000, b"1e400"),
    *(b'{"type":"progress"}', b'{"v":2,"seq":0,"attempt":1,"step":1,"type":"of later"}'),
)


@given(
    st.lists(st.sampled_from(sorted(EVENT_TYPES)) | st.sampled_from(ODD), max_size=30),
    st.sampled_from([1, 2, 3]),
)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_a_block_says_what_its_lines_say_one_by_one(said: list[str | bytes], version: int) -> None:
    """Also where older formats are upgraded and unknown ones are passed over."""
    lines = [
        each
        if isinstance(each, bytes)
        else json.dumps(record(CASES[each]) | {"v": version}).encode()
        for each in said
    ]
    block = b"".join(line + b"\n" for line in lines)
    found, garbage = decode_block(block)
    parsed = [(each, parse(each)) for each in lines]
    one_by_one, wrong = [], 0
    for line, each in parsed:
        try:
            decoded = None if each is None else decode(each)
        except DecodeError:
            each = decoded = None
        wrong += each is None and bool(line.strip())
        one_by_one += [] if decoded is None else [decoded]
    assert [(line.kind, line.event, line.step) for line in found] == [
        (line.kind, line.event, line.step) for line in one_by_one
    ]
    assert garbage == wrong
    heads = envelopes(block)
    assert [head is not None for head in heads] == [each is not None for _, each in parsed]


def test_a_block_folds_as_its_records(tmp_path: Path) -> None:
    for log in [*FIRST.glob("*/events.jsonl"), EXAMPLE / "events.jsonl"]:
        block = log.read_bytes()
        records = [json.loads(line) for line in block.splitlines()]
        at_once, one_by_one = fold_blocks(RunView(), [block]), fold_all(RunView(), records)
        assert at_once == one_by_one
