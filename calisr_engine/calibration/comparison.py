"""Comparing stable ranks of a group: W with only the core stepped against W with all stepped.

A hit is SR_LFT < SR_FFT, strictly, of the group's sums (rule `sum`), of the sums of logarithms
(`log_sum`), or matrix by matrix (`vote`: the hit is the share of matrices that have one).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from calisr_engine.calibration.stable_rank import check_finite, scaled, tall, to_double

Rule = Literal["sum", "log_sum", "vote"]

Pair = tuple[Tensor, Tensor]
"""(W_LFT, W_FFT), two matrices of one shape."""

Pairs = Mapping[str, Pair | Callable[[], Pair]]
"""Target name -> its pair, or a function that makes it when it is wanted."""


@dataclass(frozen=True)
class StableRankBounds:
    """A stable rank known to lie in [low, high]; `value` is the figure to report."""

    low: float
    value: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> StableRankBounds:
        """The figure of an exact method, which is taken at its word."""
        return cls(value, value, value)

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True)
class MatrixComparison:
    """One matrix in one sample.

    Attributes:
        lft, fft: stable ranks with only the core stepped, and with everything stepped.
        fallback: whether the exact method was taken since the fast bound was not clear.
        anchored: whether its anchor was made anew.
    """

    lft: StableRankBounds
    fft: StableRankBounds
    fallback: bool = False
    anchored: bool = False

    @property
    def sr_lft(self) -> float:
        return self.lft.value

    @property
    def sr_fft(self) -> float:
        return self.fft.value

    def difference(self, rule: Rule) -> tuple[float, float, float]:
        """Bounds and value of term_LFT - term_FFT: (low, value, high).

        Equal bounds on both sides mean identical matrices or exact values: the term is then exact.
        """
        if self.lft == self.fft:
            return 0.0, 0.0, 0.0
        f = _log_term if rule == "log_sum" else float
        value = f(self.lft.value) - f(self.fft.value)
        return f(self.lft.low) - f(self.fft.high), value, f(self.lft.high) - f(self.fft.low)

    @property
    def undecided(self) -> float:
        """Width that an exact evaluation would remove."""
        return 0.0 if self.lft == self.fft else self.lft.width + self.fft.width


@dataclass(frozen=True)
class GroupComparison:
    """One group in one sample.

    Attributes:
        sr_lft, sr_fft: the group's scores: sums of stable ranks, or of their logarithms.
        difference: sr_lft - sr_fft, summed matrix by matrix so that nothing cancels.
        hit: 1 if sr_lft < sr_fft else 0; with rule `vote` the share of matrices with a hit.
        fallbacks: matrices for which the fast bound was not clear and the exact value was taken.
        anchored: matrices whose anchor was made anew.
        matrices: each matrix by name.
    """

    rule: Rule
    sr_lft: float
    sr_fft: float
    difference: float
    hit: Fraction
    fallbacks: int
    anchored: int
    matrices: dict[str, MatrixComparison]


def still_open(matrices: Mapping[str, MatrixComparison], rule: Rule) -> list[str]:
    """Matrices whose bounds leave the decision open, the widest first; empty if it is certain."""
    terms = {name: matrix.difference(rule) for name, matrix in matrices.items()}
    if rule == "vote":
        names = [name for name, (low, _, high) in terms.items() if low < 0 <= high]
    else:
        low = math.fsum(term[0] for term in terms.values())
        high = math.fsum(term[2] for term in terms.values())
        names = list(terms) if low < 0 <= high else []
    names = [name for name in names if matrices[name].undecided > 0]
    return sorted(names, key=lambda name: -matrices[name].undecided)


def group_comparison(matrices: Mapping[str, MatrixComparison], rule: Rule) -> GroupComparison:
    """The group's figures and its hit, from matrices whose bounds suffice (see `still_open`)."""
    f = _log_term if rule == "log_sum" else float
    values = {name: matrix.difference(rule)[1] for name, matrix in matrices.items()}
    difference = math.fsum(values.values())
    hit = Fraction(int(difference < 0))
    if rule == "vote":
        hit = Fraction(sum(value < 0 for value in values.values()), max(1, len(values)))
    return GroupComparison(
        rule=rule,
        sr_lft=math.fsum(f(matrix.sr_lft) for matrix in matrices.values()),
        sr_fft=math.fsum(f(matrix.sr_fft) for matrix in matrices.values()),
        difference=difference,
        hit=hit,
        fallbacks=sum(matrix.fallback for matrix in matrices.values()),
        anchored=sum(matrix.anchored for matrix in matrices.values()),
        matrices=dict(matrices),
    )


@torch.no_grad()
def exact_comparison(pairs: Pairs, rule: Rule = "sum") -> GroupComparison:
    """The comparison by full float64 singular value decompositions: slow, for audits and tests.

    Args:
        pairs: target name -> (W_LFT, W_FFT) or a function giving them.

    Raises:
        ValueError: a weight that is not finite, or a pair of unequal shapes.
    """
    matrices = {}
    for name, pair in pairs.items():
        both = double_pair(name, pair() if callable(pair) else pair)
        lft, fft = (
            StableRankBounds.exactly(_by_singular_values(check_finite(w, name))) for w in both
        )
        matrices[name] = MatrixComparison(lft, fft)
    return group_comparison(matrices, rule)


def double_pair(name: str, pair: Pair) -> Pair:
    """Both matrices in float64.

    Raises:
        ValueError: not two matrices of one shape.
    """
    lft, fft = pair
    if lft.shape != fft.shape or lft.dim() != 2 or lft.numel() == 0:
        raise ValueError(f"{name}: {tuple(lft.shape)} and {tuple(fft.shape)} cannot be compared")
    return to_double(lft), to_double(fft)


def check_rule(rule: str, names: Sequence[str]) -> None:
    """Raise ValueError for an unknown rule or a group without matrices."""
    if rule not in ("sum", "log_sum", "vote"):
        raise ValueError(f"unknown rule {rule!r}; known are sum, log_sum and vote")
    if not names:
        raise ValueError("a group without matrices cannot be compared")


def _by_singular_values(weight: Tensor) -> float:
    values = torch.linalg.svdvals(tall(scaled(weight[None])[0]))
    if values[0] == 0:
        return 0.0
    return float((values / values[0]).square().sum())


def _log_term(rank: float) -> float:
    """log SR; a zero matrix (SR 0) counts like the smallest possible stable rank, 1."""
    return math.log(rank) if rank > 0 else 0.0
