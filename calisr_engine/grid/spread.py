"""Mean, spread and the paired test: the only place where runs become statistics."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean, and standard deviation of a sample (n - 1); None without (two) values."""
    return (
        statistics.mean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
    )


def over_columns(columns: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Seed -> mean over the columns, of the seeds that every column has."""
    tables = list(columns)
    seeds = set.intersection(*(set(each) for each in tables))
    return {seed: statistics.mean(each[seed] for each in tables) for seed in sorted(seeds)}


def paired(
    own: Mapping[int, float], other: Mapping[int, float]
) -> tuple[float | None, float | None, int]:
    """Mean difference over the seeds that both have, its p-value, and how many seeds those are.

    The p-value is that of a two-sided paired t-test; None below two such seeds, or where all
    differences are the same.
    """
    shared = sorted(own.keys() & other.keys())
    if not shared:
        return None, None, 0
    differences = [own[seed] - other[seed] for seed in shared]
    mean = statistics.mean(differences)
    if len(shared) < 2 or not any(differences):
        return mean, None, len(shared)
    from scipy.stats import ttest_1samp

    p_value = float(ttest_1samp(differences, 0.0).pvalue)
    return mean, None if math.isnan(p_value) else p_value, len(shared)
