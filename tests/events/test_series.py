"""A series that takes many points at once is the one that takes them one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.events import series
from calisr_engine.events.series import Series

BATCHES = st.lists(st.lists(st.none() | st.floats(-1e3, 1e3), max_size=20), max_size=8)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "SERIES_LIMIT", 8)


def one_by_one(points: list[tuple[int, float]]) -> tuple[list[float], list[float]]:
    """The rule, written anew: beyond 8 points every second one is dropped, and from then on twice
    as many share a place, which the newest of them has."""
    x: list[float] = []
    y: list[float] = []
    share, begun = 1, 0
    for step, value in points:
        if begun:
            x[-1], y[-1] = step, value
        else:
            x.append(step)
            y.append(value)
        begun = (begun + 1) % share
        if len(x) > 8:
            x, y = x[::2], y[::2]
            share, begun = share * 2, 0
    return x, y


@given(BATCHES)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_many_at_once(batches: list[list[float | None]]) -> None:
    found = Series()
    known: list[tuple[int, float]] = []
    step = 0
    for batch in batches:
        found.extend(range(step, step + len(batch)), batch)
        known += [(step + n, y) for n, y in enumerate(batch) if y is not None]
        step += len(batch)
    assert (found.x, found.y) == one_by_one(known)
    assert len(found) <= 8
