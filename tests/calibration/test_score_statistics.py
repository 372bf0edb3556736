"""Persistence of hits and the fair coin's probabilities, against simulations."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calisr_engine.calibration.score import ScoreBoard
from calisr_engine.calibration.score_statistics import (
    correlation,
    effective_samples,
    fair_coin_switches,
    flips,
    lag_one,
)


def persistent(length: int, stay: float, rng: random.Random) -> list[float]:
    """A two-state chain that keeps its state with probability `stay`; its r is 2 stay - 1."""
    state, found = rng.random() < 0.5, []
    for _ in range(length):
        found.append(float(state))
        state = state if rng.random() < stay else not state
    return found


@pytest.mark.parametrize("stay", [0.5, 0.75, 0.9])
def test_effective_samples_are_as_many_as_the_means_spread_says(stay: float) -> None:
    """Var(mean of n) = p (1 - p) / n_eff, over many series."""
    rng = random.Random(5)
    length, count = 200, 1500
    means = [sum(persistent(length, stay, rng)) / length for _ in range(count)]
    centre = sum(means) / count
    variance = sum((m - centre) ** 2 for m in means) / (count - 1)
    expected = effective_samples(length, 2 * stay - 1)
    assert expected is not None
    assert 0.25 / variance == pytest.approx(expected, rel=0.15)  # sd of the ratio 4 %


@pytest.mark.parametrize("stay", [0.5, 0.8])
def test_lag_one_finds_the_chains_own(stay: float) -> None:
    rng = random.Random(6)
    found = lag_one([persistent(400, stay, rng) for _ in range(20)])
    assert found == pytest.approx(2 * stay - 1, abs=0.04)


def test_flips_of_a_chain() -> None:
    assert flips([1, 1, 0, 1]) == 2
    assert flips([1]) == flips([]) == 0
    assert flips(persistent(4001, 0.9, random.Random(7))) == pytest.approx(400, abs=60)


def test_what_is_not_known_is_none() -> None:
    assert lag_one([[1.0, 0.0, 1.0]]) is None  # too few
    assert lag_one([[1.0] * 20]) is None  # all alike
    assert effective_samples(5, None) is None
    assert effective_samples(5, -0.5) == 5  # alternating hits are worth no more
    assert correlation([1, 2], [1, 2]) is None
    assert correlation([1, 1, 1], [1, 2, 3]) is None
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


@given(st.integers(1, 7), st.sampled_from([0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.8, 1.0]))
def test_one_window_by_counting_every_outcome(samples: int, delta: float) -> None:
    above = sum(
        Fraction(bin(outcome).count("1"), samples) > Fraction(str(delta))
        for outcome in range(2**samples)
    )
    assert fair_coin_switches([samples], delta) == Fraction(above, 2**samples)


def test_the_figures_of_the_usual_settings() -> None:
    assert fair_coin_switches([5], 0.5) == fair_coin_switches([3], 0.5) == Fraction(1, 2)
    assert fair_coin_switches([5, 5], 0.5) == Fraction(3, 4)
    assert fair_coin_switches([5], 0.6) == Fraction(6, 32)
    assert fair_coin_switches([], 0.5) == 0


@pytest.mark.parametrize("cumulative", [False, True])
@pytest.mark.parametrize(("windows", "delta"), [([5, 5], 0.5), ([3, 4, 2], 0.6), ([4, 0, 4], 0.45)])
def test_several_windows_by_simulating_the_board_itself(
    windows: list[int], delta: float, cumulative: bool
) -> None:
    rng, count, switched = random.Random(8), 2500, 0
    for _ in range(count):
        board = ScoreBoard.start(("g",), delta, cumulative)
        for samples in windows:
            for _ in range(samples):
                board = board.record("g", hit=rng.getrandbits(1))
            board, decisions = board.close_window(("g",))
            if decisions["g"].switch:
                switched += 1
                break
    expected = float(fair_coin_switches(windows, delta, cumulative))
    assert switched / count == pytest.approx(expected, abs=0.04)  # four standard errors
