"""Paired statistics against their definitions, written anew, against scipy, and against chance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calisr_engine.analysis import paired

NUMBERS = st.floats(-20, 20).map(lambda value: round(value, 2))
DIFFERENCES = st.lists(NUMBERS, min_size=3, max_size=9).filter(lambda d: max(d) - min(d) > 0.5)
P_VALUES = st.dictionaries(st.text("abcdefgh", min_size=1), st.floats(0, 1), max_size=6)
few = settings(max_examples=40, deadline=None, derandomize=True)


@few
@given(DIFFERENCES)
def test_the_t_test_and_its_interval_are_scipys(differences: list[float]) -> None:
    found = paired.t_test(differences)
    expected = stats.ttest_1samp(differences, 0.0)
    assert found is not None
    assert found.pairs == len(differences)
    assert found.difference == pytest.approx(np.mean(differences))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_the_t_test_of_three_pairs_by_hand() -> None:
    found = paired.t_test([1.0, 2.0, 3.0])
    t = 2.0 * 3**0.5  # for two degrees of freedom p = 1 - t / sqrt(2 + t^2)
    assert found is not None
    assert found.p_value == pytest.approx(1 - t / (2 + t * t) ** 0.5)


def test_too_few_pairs_and_no_spread_are_not_tested() -> None:
    assert paired.t_test([]) is None
    for differences in ([1.0], [1.0, 2.0], [0.0] * 4, [0.5, 0.5 + 1e-13, 0.5 - 1e-13]):
        found = paired.t_test(differences)
        assert found == paired.PairedTest(len(differences), pytest.approx(np.mean(differences)))
        assert paired.bootstrap(differences) is None
        assert paired.hedges_g(differences) is None


@few
@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_the_sign_flip_test_counts_all_flips(differences: list[float]) -> None:
    observed = abs(sum(differences))
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(math.fsum(s * d for s, d in zip(flip, differences, strict=True))) for flip in flips]
    share = sum(each >= observed - 1e-6 for each in sums) / len(sums)
    assert paired.sign_flip(differences) == pytest.approx(share)


def test_the_sign_flip_test_is_scipys_permutation_test_also_when_it_is_drawn() -> None:
    rng = np.random.default_rng(5)
    for count in (5, 10, 30):
        differences = rng.normal(0.3, 1.0, count)
        expected = stats.permutation_test(
            (differences,),
            np.mean,
            permutation_type="samples",
            n_resamples=np.inf if count <= 10 else 50_000,
            rng=1,
        )
        near = 1e-12 if count <= 10 else 0.01
        assert paired.sign_flip(differences.tolist()) == pytest.approx(expected.pvalue, abs=near)
    same = differences.tolist()
    assert paired.sign_flip(same) == paired.sign_flip(same)


def test_the_bootstrap_interval_is_bca_and_the_same_each_time() -> None:
    differences = [0.3, 1.2, -0.4, 2.0, 0.9, 3.5]
    data = np.array(differences)
    # BCa by its definition (Efron, 1987), from resamples of its own.
    draws = np.random.default_rng(9).choice(data, (40_000, len(data))).mean(axis=1)
    mean = data.mean()
    below = (np.sum(draws < mean) + np.sum(draws <= mean)) / 2 / len(draws)
    z0 = stats.norm.ppf(below)
    jack = np.array([np.delete(data, i).mean() for i in range(len(data))])
    away = jack.mean() - jack
    a = np.sum(away**3) / (6 * np.sum(away**2) ** 1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        ends.append(np.quantile(draws, stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))))
    found = paired.bootstrap(differences)
    assert found == pytest.approx(ends, abs=0.06)
    assert found == paired.bootstrap(differences)


def test_hedges_g_has_no_bias() -> None:
    rng = np.random.default_rng(2)
    samples = rng.normal(0.8, 1.0, (2000, 5))
    found = [paired.hedges_g(each) for each in samples.tolist()]
    assert np.mean([g for g in found if g is not None]) == pytest.approx(0.8, abs=0.03)
    cohens = samples.mean(axis=1) / samples.std(axis=1, ddof=1)
    assert cohens.mean() > 0.9
    # For 4 degrees of freedom gamma(2) / (sqrt(2) gamma(1.5)).
    factor = 1.0 / (math.sqrt(2) * math.sqrt(math.pi) / 2)
    d = [1.0, 2.0, 3.0, 4.0, 6.0]
    assert paired.hedges_g(d) == pytest.approx(factor * np.mean(d) / np.std(d, ddof=1))


@pytest.mark.parametrize(("effect", "level"), [(0.5, 0.05), (-1.2, 0.05), (1.0, 0.01), (3.0, 0.05)])
def test_with_the_seeds_needed_the_power_is_reached_and_not_before(
    effect: float, level: float
) -> None:
    needed = paired.seeds_needed(effect, level)
    assert needed is not None

    def power(pairs: int) -> float:
        critical = stats.t.ppf(1 - level / 2, pairs - 1)
        shifted = stats.nct(pairs - 1, abs(effect) * math.sqrt(pairs))
        return float(shifted.sf(critical) + shifted.cdf(-critical))

    assert power(needed) >= 0.8
    assert needed == paired.FEWEST or power(needed - 1) < 0.8
    rng = np.random.default_rng(3)
    drawn = rng.normal(effect, 1.0, (4000, needed))
    assert np.mean(stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < level) == pytest.approx(
        power(needed), abs=0.03
    )


def test_known_numbers_of_seeds() -> None:
    """Of the one-sample t-test, two-sided 5 %, power 80 % (Cohen, 1988)."""
    assert [paired.seeds_needed(effect) for effect in (0.2, 0.5, 0.8)] == [199, 34, 15]
    assert paired.seeds_needed(0.0) is None
    assert paired.seeds_needed(0.05) is None
    assert paired.seeds_needed(100.0) == paired.FEWEST


@few
@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p_values: dict[str, float]) -> None:
    """The adjusted p of a hypothesis is the largest Bonferroni p of the sets that hold it."""
    found = paired.holm(p_values)
    assert list(found) == list(p_values)
    for name in p_values:
        others = [each for each in p_values if each != name]
        sets = (
            (name, *more)
            for size in range(len(others) + 1)
            for more in itertools.combinations(others, size)
        )
        expected = max(min(1.0, len(s) * min(p_values[each] for each in s)) for s in sets)
        assert found[name] == pytest.approx(expected)


# Chance ------------------------------------------------------------------------------------------


def test_rows_without_a_difference_are_rarely_called_one() -> None:
    """Six rows against one reference, 5 seeds: a wrong claim in about one table of twenty."""
    rng = np.random.default_rng(11)
    tables, alone, corrected = 600, 0, 0
    for _ in range(tables):
        rows = rng.normal(size=(6, 5)) - rng.normal(size=5)  # they share the reference's results
        tests = {i: paired.t_test(row) for i, row in enumerate(rows.tolist())}
        p_values = {i: test.p_value for i, test in tests.items() if test and test.p_value}
        alone += min(p_values.values()) < 0.05
        corrected += min(paired.holm(p_values).values()) < 0.05
    assert alone / tables > 0.12  # without the correction
    assert 0.015 < corrected / tables < 0.065


def test_students_interval_holds_the_truth_and_the_bootstraps_too_rarely() -> None:
    rng = np.random.default_rng(12)
    student, drawn, rejected, samples = 0, 0, 0, 200
    for differences in rng.normal(1.0, 2.0, (samples, 5)).tolist():
        test, interval = paired.t_test(differences), paired.bootstrap(differences)
        assert test is not None
        assert test.interval is not None
        assert interval is not None
        student += test.interval[0] <= 1.0 <= test.interval[1]
        drawn += interval[0] <= 1.0 <= interval[1]
        rejected += paired.sign_flip(differences) < 0.05
    assert student / samples == pytest.approx(0.95, abs=0.035)
    assert drawn / samples == pytest.approx(0.83, abs=0.05)
    assert rejected == 0  # five signs cannot


def test_the_sign_flip_test_keeps_its_level_where_differences_are_far_from_normal() -> None:
    rng = np.random.default_rng(13)
    drawn = rng.standard_cauchy((1000, 8))
    rejected = sum(paired.sign_flip(each) <= 0.05 for each in drawn.tolist())
    assert 0.025 < rejected / 1000 < 0.07
