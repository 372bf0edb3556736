"""Mean and spread over seeds, and what two rows have of the same seeds."""

from __future__ import annotations

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


def paired(own: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, ...]:
    """Own minus other for the seeds that both have, in order of seed."""
    return tuple(own[seed] - other[seed] for seed in sorted(own.keys() & other.keys()))
