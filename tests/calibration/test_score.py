from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import pytest

from calisr_engine.calibration.score import (
    ScoreBoard,
    exact_hits,
    sample_steps,
    should_switch,
)


@pytest.mark.parametrize(
    ("hits", "samples", "delta", "expected"),
    [
        (3, 5, 0.6, False),  # in doubles 0.6 is less than 3/5
        (4, 5, 0.6, True),
        (3, 10, 0.3, False),
        (7, 10, 0.7, False),
        (9, 20, 0.45, False),
        (1, 2, 0.5, False),
        (0, 5, 0.0, False),
        (1, 5, 0.0, True),
        (5, 5, 1.0, False),
        (0, 0, 0.0, False),
        (1, 10**6, 1e-06, False),
        (Fraction(31, 10), 5, 0.62, False),
        (Fraction(31, 10) + Fraction(1, 10**30), 5, 0.62, True),
    ],
)
def test_switch_is_exact(hits: int | Fraction, samples: int, delta: float, expected: bool) -> None:
    assert should_switch(hits, samples, delta) is expected


def test_every_decimal_delta_is_a_tie_with_itself() -> None:
    for hundredths in range(101):
        assert not should_switch(hundredths, 100, hundredths / 100)
        assert hundredths == 100 or should_switch(hundredths + 1, 100, hundredths / 100)


def test_the_hits_of_a_log_are_the_fractions_that_they_stand_for() -> None:
    for matrices in (3, 6, 12, 24, 144):
        for count in range(5 * matrices + 1):
            assert exact_hits(count / matrices) == Fraction(count, matrices)


def test_sample_steps_are_even_and_end_the_window() -> None:
    assert sample_steps(100, 5) == (20, 40, 60, 80, 100)
    assert sample_steps(10, 3) == (3, 6, 10)
    assert sample_steps(3, 5) == (1, 2, 3)
    assert sample_steps(7, 1) == (7,)
    for window in range(1, 60):
        for samples in range(1, 9):
            steps = sample_steps(window, samples)
            gaps = [b - a for a, b in zip((0, *steps), steps, strict=False)]
            assert len(steps) == min(window, samples)
            assert steps[-1] == window
            assert max(gaps) - min(gaps) <= 1
    with pytest.raises(ValueError, match="at least one"):
        sample_steps(0, 5)


def test_window_decides_restarts_and_says_why() -> None:
    board = ScoreBoard.start(("value", "query", "key"), 0.5)
    for hit in (1, 1, 0, 1, 1):
        board = board.record("value", hit=hit)
    for hit in (1, 0):
        board = board.record("query", hit=bool(hit))
    before = board
    board, decisions = board.close_window(["value", "query", "key"])
    assert decisions["value"].switch
    assert decisions["value"].reason == "value switched: 4 of 5 samples, 0.80 > 0.50"
    assert not decisions["query"].switch
    assert (
        decisions["query"].reason == "query stays in full fine-tuning: 1 of 2 samples, 0.50 = 0.50"
    )
    assert decisions["key"].srs is None
    assert not decisions["key"].switch
    assert "no samples in this window, nothing decided" in decisions["key"].reason
    assert board.counters["value"].samples == 0
    assert before.counters["value"].samples == 5  # states are never changed in place


@pytest.mark.parametrize(
    ("hits", "delta", "said"),
    [
        ((1, 0, 0, 0, 0), 0.5, "stays in full fine-tuning: 1 of 5 samples, 0.20 < 0.50"),
        ((1, 1, 1, 0, 0), 0.6, "stays in full fine-tuning: 3 of 5 samples, 0.60 = 0.60"),
        ((1, 1, 0), 0.667, "stays in full fine-tuning: 2 of 3 samples, 0.66667 < 0.667"),
        ((1, 1, 0), 0.5, "switched: 2 of 3 samples, 0.66667 > 0.50"),
        (
            (Fraction(1, 3), Fraction(2, 3)),
            0.525,
            "stays in full fine-tuning: 1 of 2 samples, 0.50 < 0.525",
        ),
        ((Fraction(3, 4), 1), 0.525, "switched: 1.75 of 2 samples, 0.875 > 0.525"),
    ],
)
def test_reasons_give_the_numbers(hits: tuple[int, ...], delta: float, said: str) -> None:
    board = ScoreBoard.start(("a",), delta)
    for hit in hits:
        board = board.record("a", hit=hit)
    _, decisions = board.close_window(["a"])
    assert decisions["a"].reason == f"a {said}"


def test_only_those_who_wait_are_decided() -> None:
    board = ScoreBoard.start(("a", "b"), 0.5).record("a", hit=1).record("b", hit=1)
    board, decisions = board.close_window(["b"])
    assert set(decisions) == {"b"}
    assert (board.counters["a"].samples, board.counters["b"].samples) == (1, 0)


def test_cumulative_goes_on_counting() -> None:
    board = ScoreBoard.start(("a",), 0.5, cumulative=True)
    board, first = board.record("a", hit=0).close_window(["a"])
    board, second = board.record("a", hit=1).record("a", hit=1).close_window(["a"])
    assert not first["a"].switch
    assert second["a"].srs == Fraction(2, 3)
    assert second["a"].switch


def test_votes_add_up_exactly() -> None:
    board = ScoreBoard.start(("a",), 0.3)
    for _ in range(10):
        board = board.record("a", hit=Fraction(3, 10))
    _, decisions = board.close_window(["a"])
    assert decisions["a"].srs == Fraction(3, 10)  # ten times 0.3 in doubles is not 3
    assert not decisions["a"].switch
    for bad in (0.5, 2, -1):
        with pytest.raises(ValueError, match="a hit is"):
            board.record("a", hit=bad)  # type: ignore[arg-type]


def test_json_round_trip_goes_on_equally() -> None:
    board = ScoreBoard.start(("a", "b"), 0.45, cumulative=True)
    board = board.record("a", hit=Fraction(1, 3))
    again = ScoreBoard.from_dict(json.loads(json.dumps(board.to_dict())))
    assert again == board
    first, second = (each.record("a", hit=1).close_window(["a", "b"]) for each in (again, board))
    assert first == second


def test_score_needs_no_torch() -> None:
    code = "import sys, calisr_engine.calibration.score; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
