"""What a page may say, and what it may not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_tui.serve.messages import COLUMNS, ROWS, Focus, Ping, Size, Typed, first_size, parse


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (["stdin", "a\x1b[A"], Typed(b"a\x1b[A")),
        (["stdin", "\ud800"], Typed(b"?")),
        (["resize", {"width": 100, "height": 30}], Size(100, 30)),
        (["resize", {"width": 10**9, "height": 10**9}], Size(COLUMNS[1], ROWS[1])),
        (["resize", {"width": -5, "height": 0}], Size(COLUMNS[0], ROWS[0])),
        (["ping", "1700000000000"], Ping("1700000000000")),
        (["focus"], Focus(True)),
        (["blur"], Focus(False)),
        (["ping", "x" * 33], None),
        (["resize", {"width": 100}], None),
        (["resize", {"width": "100", "height": 30}], None),
        (["resize", {"width": 100.0, "height": 30}], None),
        (["resize", {"width": True, "height": 30}], None),
        (["stdin", 5], None),
        (["stdin"], None),
        (["quit"], None),
        ([], None),
        ({"stdin": "a"}, None),
        (None, None),
    ],
)
def test_messages(sent: object, message: object) -> None:
    assert parse(json.dumps(sent)) == message


@pytest.mark.parametrize("text", ["", "x", "[" * 200_000, '["resize",{"width":NaN,"height":1}]'])
def test_what_is_no_message(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("digits", [4301, 100_000])
def test_a_number_of_many_digits_is_no_size(digits: int) -> None:
    assert parse('["resize",{"width":1,"height":' + "9" * digits + "}]") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KINDS = st.sampled_from(["stdin", "resize", "ping", "focus", "blur", "quit"])
SIZES = st.fixed_dictionaries({"width": JSON | st.integers(), "height": JSON | st.integers()})


@settings(derandomize=True, max_examples=100)
@given(st.tuples(KINDS, JSON | SIZES).map(list) | JSON)
def test_anything_is_a_bounded_message_or_none(sent: object) -> None:
    message = parse(json.dumps(sent))
    if isinstance(message, Size):
        assert COLUMNS[0] <= message.columns <= COLUMNS[1]
        assert ROWS[0] <= message.rows <= ROWS[1]
    assert message is None or isinstance(sent, list)


@settings(derandomize=True, max_examples=100)
@given(st.text() | st.integers().map(str), st.text() | st.integers().map(str))
def test_a_first_size_is_always_one(columns: str, rows: str) -> None:
    size = first_size(columns, rows)
    assert COLUMNS[0] <= size.columns <= COLUMNS[1]
    assert ROWS[0] <= size.rows <= ROWS[1]


def test_a_first_size_is_what_the_page_says() -> None:
    assert first_size("120", "40") == Size(120, 40)
    assert first_size("", "x") == Size(80, 24)
    assert first_size("999999999999", "²") == Size(80, 24)
