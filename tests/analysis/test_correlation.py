"""Correlation within tasks and seeds, against scipy and against chance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calisr_engine.analysis.correlation import Table, within


def table(x: np.ndarray, y: np.ndarray) -> Table:
    """Of figures by (seed, row)."""
    seeds, rows = x.shape
    return {f"row {r}": {s: (x[s, r], y[s, r]) for s in range(seeds)} for r in range(rows)}


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(4, 5), st.integers(0, 10**6), st.booleans())
def test_one_task_and_seed_is_spearmans_with_all_orders(rows: int, seed: int, ties: bool) -> None:
    x, y = np.random.default_rng(seed).normal(size=(2, rows))
    if ties:
        x[0] = x[1]
    found = within([table(x[None], y[None])])
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    as_far = [
        abs(stats.spearmanr(x, y[list(order)]).statistic) >= abs(found.rho or 0) - 1e-9
        for order in itertools.permutations(range(rows))
    ]
    assert found.p_value == pytest.approx(np.mean(as_far))


def test_levels_of_tasks_and_seeds_do_not_count() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 3, 6))
    plain = within([table(x, y), table(y, x)])
    level = 100 * rng.normal(size=(3, 1))
    assert within([table(x + level, y - level), table(50 + y, x)]).rho == plain.rho
    assert (plain.tasks, plain.rows, plain.strata) == (2, 12, 6)


def test_seeds_that_repeat_the_same_are_no_more_witnesses() -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 1, 6))
    one, five = within([table(x, y)]), within([table(*(np.repeat(v, 5, 0) for v in (x, y)))])
    assert one.p_value == five.p_value
    assert one.interval == five.interval


def test_only_seeds_that_all_rows_have_count() -> None:
    x, y = np.random.default_rng(3).normal(size=(2, 2, 5))
    lacking = {name: dict(seeds) for name, seeds in table(x, y).items()}
    del lacking["row 2"][1]
    assert within([lacking]) == within([table(x[:1], y[:1])])


def test_where_nothing_can_be_said() -> None:
    x, y = np.random.default_rng(4).normal(size=(2, 2, 3))
    few = within([table(x, y)])
    assert few.rho is not None
    assert few.p_value is few.interval is None
    for tasks in ([], [table(x[:, :1], y[:, :1])], [table(np.ones((1, 5)), np.ones((1, 5)))]):
        assert within(tasks).rho is None
    same = np.arange(6.0)[None]
    assert within([table(same, same)]).interval is None
    assert within([table(same, same)]).p_value == pytest.approx(2 / 720)


def test_figures_that_have_nothing_to_do_with_each_other_are_rarely_said_to() -> None:
    """Rows have levels of their own in both figures, which five seeds repeat almost exactly."""
    rng = np.random.default_rng(5)
    rejected, held, tries = 0, 0, 250
    for _ in range(tries):
        x, y = (rng.normal(size=(1, 5)) + 0.01 * rng.normal(size=(5, 5)) for _ in range(2))
        found = within([table(x, y)])
        assert found.p_value is not None
        rejected += found.p_value <= 0.05
        held += found.interval is None or found.interval[0] <= 0 <= found.interval[1]
    assert rejected / tries < 0.08
    assert held / tries > 0.9
