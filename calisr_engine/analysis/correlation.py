"""Whether two figures of runs go together: Spearman's correlation within tasks and seeds.

Runs of different tasks or seeds are never compared with each other: ranks are taken within each
stratum (a task and a seed), and correlated together. The p-value is that of a permutation of whole
rows within each task, the same for all its seeds: a row that shows the same thing with five seeds
is one witness, not five. The interval counts in the same way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ranks = NDArray[np.float64]

FEWEST_ROWS = 4
"""Below so many rows in every task nothing is said: 3 rows have 6 orders."""
_EXACT = 5040
_DRAWN = 9_999

Table = Mapping[str, Mapping[int, tuple[float, float]]]
"""Row -> seed -> (x, y), of one task."""


@dataclass(frozen=True)
class Correlation:
    """Attributes:
    rho: Spearman's correlation within the strata; None where a figure never differs.
    p_value: two-sided, by permutation; interval: 95 %, by Fisher's z with 1.06 / (n - 3) for its
        variance, n - 1 being the rows less one summed over tasks; each None with too few rows.
    tasks, rows, strata: how many tasks counted, rows summed over them, and tasks times seeds.
    """

    rho: float | None
    p_value: float | None
    interval: tuple[float, float] | None
    tasks: int
    rows: int
    strata: int


def within(tasks: Sequence[Table]) -> Correlation:
    """Correlate x with y within each task and seed.

    Of each task the seeds count that all its rows have; a task of one row does not count.
    """
    import numpy as np

    ranked = [r for r in map(_ranked, tasks) if r is not None]
    rows = sum(x.shape[1] for x, _ in ranked)
    strata = sum(x.shape[0] for x, _ in ranked)

    def rho(orders: Sequence[Sequence[int]]) -> float:
        """With the rows of each task's y in these orders."""
        along = sum(
            float(np.sum(x * y[:, list(o)])) for (x, y), o in zip(ranked, orders, strict=True)
        )
        return along / scale if scale else 0.0

    squares = [math.fsum(float(np.sum(each[i] ** 2)) for each in ranked) for i in (0, 1)]
    scale = math.sqrt(squares[0] * squares[1])
    if not scale:
        return Correlation(None, None, None, len(ranked), rows, strata)
    sizes = [x.shape[1] for x, _ in ranked]
    found = max(-1.0, min(1.0, rho([range(size) for size in sizes])))
    if max(sizes) < FEWEST_ROWS:
        return Correlation(found, None, None, len(ranked), rows, strata)
    reached, count = 0, 0
    for orders in _orders(sizes):
        reached += abs(rho(orders)) >= abs(found) - 1e-9
        count += 1
    return Correlation(
        found, reached / count, _interval(found, rows - len(ranked)), len(ranked), rows, strata
    )


def _ranked(task: Table) -> tuple[Ranks, Ranks] | None:
    """Ranks of x and y less their mean, (seeds, rows) each; None where nothing can be compared."""
    import numpy as np
    from scipy.stats import rankdata

    seeds = sorted(set.intersection(*(set(row) for row in task.values()))) if task else []
    if len(task) < 2 or not seeds:
        return None
    values = np.array([[row[seed] for row in task.values()] for seed in seeds])
    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    return ranks[..., 0], ranks[..., 1]


def _orders(sizes: Sequence[int]) -> Iterator[Sequence[Sequence[int]]]:
    """All orders of the rows of all tasks; many drawn ones, and that which is, where there are
    too many."""
    import numpy as np

    if math.prod(map(math.factorial, sizes)) <= _EXACT:
        yield from itertools.product(*(itertools.permutations(range(size)) for size in sizes))
        return
    rng = np.random.default_rng(0)
    yield [range(size) for size in sizes]
    for _ in range(_DRAWN):
        yield [rng.permutation(size).tolist() for size in sizes]


def _interval(rho: float, freedom: int) -> tuple[float, float] | None:
    """Of Fisher's z (Fieller, Hartley and Pearson, 1957); `freedom` is n - 1."""
    if freedom < 3 or abs(rho) >= 1.0:
        return None
    half = 1.959963984540054 * math.sqrt(1.06 / (freedom - 2))
    middle = math.atanh(rho)
    return math.tanh(middle - half), math.tanh(middle + half)
