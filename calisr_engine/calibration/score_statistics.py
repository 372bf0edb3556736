"""How much a stable rank score can tell: persistence of hits, and what a fair coin would do.

Samples of one run are no independent opinions: hits come in runs. All figures here are of one
group's samples in order, x_1 ... x_N in [0, 1], 1 being a hit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from calisr_engine.calibration.score import should_switch

FEWEST = 8
"""Samples below which an autocorrelation is not given: its standard error is about 1/sqrt(N)."""


def flips(hits: Sequence[float]) -> int:
    """How often a sample says other than the one before; (N - 1) / 2 is expected of a fair coin."""
    return sum(a != b for a, b in pairwise(hits))


def lag_one(series: Sequence[Sequence[float]]) -> float | None:
    """Lag-one autocorrelation r of hits, over one or more series (runs), each about its own mean.

    r = sum (x_i - m)(x_{i+1} - m) / sum (x_i - m)^2, sums over all series. None with fewer than
    FEWEST samples in all, or where no sample differs from its series' mean.
    """
    above = below = 0.0
    for hits in series:
        mean = math.fsum(hits) / len(hits) if hits else 0.0
        above += math.fsum((a - mean) * (b - mean) for a, b in pairwise(hits))
        below += math.fsum((a - mean) ** 2 for a in hits)
    if sum(map(len, series)) < FEWEST or below == 0.0:
        return None
    return above / below


def effective_samples(samples: int, r: float | None) -> float | None:
    """n_eff = n (1 - r) / (1 + r): how many independent samples say as much of the mean.

    The large-sample value for a first-order autoregressive series. An r below 0 is taken as 0: that
    hits alternate is no reason to trust fewer of them more. None where r is not known.
    """
    if r is None:
        return None
    r = min(max(r, 0.0), 1.0)
    return samples * (1 - r) / (1 + r)


def fair_coin_switches(windows: Sequence[int], delta: float, cumulative: bool = False) -> Fraction:
    """Probability that a group whose hits are fair coin flips has switched after these windows.

    Exact, for any delta and for counters that go on over windows.

    Args:
        windows: samples in each decision window that can switch, in order.
    """
    waiting: dict[int, Fraction] = {0: Fraction(1)}
    counted, switched = 0, Fraction(0)
    for samples in windows:
        if not cumulative:
            waiting, counted = {0: sum(waiting.values(), Fraction(0))}, 0
        counted += samples
        after: dict[int, Fraction] = {}
        for hits, mass in waiting.items():
            for more in range(samples + 1):
                chance = mass * Fraction(math.comb(samples, more), 2**samples)
                after[hits + more] = after.get(hits + more, Fraction(0)) + chance
        leaving = {h for h in after if should_switch(h, counted, delta)}
        switched += sum((after[h] for h in leaving), Fraction(0))
        waiting = {h: mass for h, mass in after.items() if h not in leaving}
    return switched


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's correlation; None with fewer than three pairs, or where one side is constant."""
    if len(x) < 3:
        return None
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    xx = math.fsum((a - mx) ** 2 for a in x)
    yy = math.fsum((b - my) ** 2 for b in y)
    if xx == 0.0 or yy == 0.0:
        return None
    return math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / math.sqrt(xx * yy)
