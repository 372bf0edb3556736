"""Two matrices by their singular values and left singular vectors, all in float64.

Equation (3) of the paper compares rho(W, a) = (s_1 + a_1) / sqrt(sum_{i>=2} (s_i + a_i)^2) with
rho(W, 0), where s_i are the singular values of W. Which a the paper means is open; here
a_i = s_i(W') - s_i(W), with its sign. So rho(W, a) belongs to W', and as rho^2 = 1 / (SR - 1), rho
grows exactly where the stable rank SR falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from calisr_engine.calibration.stable_rank import check_finite, to_double

TOLERANCE = 1e-3
"""Gap of two singular values, relative to the largest one, up to which they count as equal."""


@dataclass(frozen=True)
class Comparison:
    """A matrix before and after, with k = min(m, n) singular values each, largest first.

    Attributes:
        name: of the target, "LAYER.component".
        shape: (m, n).
        before, after: singular values.
        change: a_i = after_i - before_i.
        stable_rank_before, stable_rank_after: SR, 0 for a zero matrix.
        ratio_before, ratio_after: rho(W, 0) and rho(W, a) of Equation (3); infinite at rank one.
        alignment: |cos| of the angle between the i-th left singular vectors.
        degenerate: whether s_i lies in a cluster of nearly equal singular values, before or after.
            The single vectors of a cluster are not determined, only the space that they span.
        subspace: ||U'^T U||_F / sqrt(size) of the i-th cluster of `before`: 1 where both span the
            same space; equal to `alignment` where the cluster is one vector.
    """

    name: str
    shape: tuple[int, int]
    before: tuple[float, ...]
    after: tuple[float, ...]
    change: tuple[float, ...]
    stable_rank_before: float
    stable_rank_after: float
    ratio_before: float
    ratio_after: float
    alignment: tuple[float, ...]
    degenerate: tuple[bool, ...]
    subspace: tuple[float, ...]

    @property
    def component(self) -> str:
        return self.name.partition(".")[2]

    @property
    def layer(self) -> int:
        return int(self.name.partition(".")[0])

    @property
    def mean_alignment(self) -> float | None:
        """Mean |cos| over the vectors that are determined; None where none is."""
        sure = [c for c, loose in zip(self.alignment, self.degenerate, strict=True) if not loose]
        return math.fsum(sure) / len(sure) if sure else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; an infinite ratio is None."""
        return {
            "target": self.name,
            "layer": self.layer,
            "component": self.component,
            "shape": list(self.shape),
            "stable_rank": {"a": self.stable_rank_before, "b": self.stable_rank_after},
            "ratio": {"a": _finite(self.ratio_before), "b": _finite(self.ratio_after)},
            "singular_values": {"a": list(self.before), "b": list(self.after)},
            "change": list(self.change),
            "alignment": list(self.alignment),
            "degenerate": list(self.degenerate),
            "subspace_alignment": list(self.subspace),
            "mean_alignment": self.mean_alignment,
        }


def compare(name: str, before: Tensor, after: Tensor, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two matrices of one shape (m, n), any floating dtype.

    Raises:
        ValueError: no matrices of one shape, empty, or an entry that is not finite.
    """
    if before.dim() != 2 or before.shape != after.shape or before.numel() == 0:
        raise ValueError(f"{name}: cannot compare {tuple(before.shape)} with {tuple(after.shape)}")
    values, left = decompose(check_finite(before, name))
    new_values, new_left = decompose(check_finite(after, name))
    change = new_values - values
    groups = clusters(values, tolerance)
    loose = _in_cluster(groups) | _in_cluster(clusters(new_values, tolerance))
    return Comparison(
        name=name,
        shape=(before.shape[0], before.shape[1]),
        before=tuple(values.tolist()),
        after=tuple(new_values.tolist()),
        change=tuple(change.tolist()),
        stable_rank_before=stable_rank_of(values),
        stable_rank_after=stable_rank_of(new_values),
        ratio_before=ratio(values),
        ratio_after=ratio(values, change),
        alignment=tuple(alignment(left, new_left).tolist()),
        degenerate=tuple(loose.tolist()),
        subspace=tuple(subspace_alignment(left, new_left, groups).tolist()),
    )


def decompose(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values (k,), largest first, and left singular vectors (m, k), in float64."""
    matrix = to_double(weight)
    if matrix.shape[0] < matrix.shape[1]:  # LAPACK is far faster on the tall transpose
        _, values, right = torch.linalg.svd(matrix.mT, full_matrices=False)
        return values, right.mT
    left, values, _ = torch.linalg.svd(matrix, full_matrices=False)
    return values, left


def stable_rank_of(values: Tensor) -> float:
    """Stable rank of a matrix with these singular values (k,), largest first; 0 if all are 0."""
    largest = float(values[0])
    return float((values / largest).square().sum()) if largest > 0 else 0.0


def ratio(values: Tensor, change: Tensor | None = None) -> float:
    """rho(W, a) of Equation (3); rho(W, 0) without `change`.

    Args:
        values: singular values s of W (k,), largest first.
        change: a (k,), signed.

    Returns:
        Infinity where all but the first are 0, and 0 where all are.
    """
    moved = values if change is None else values + change
    rest = float(torch.linalg.vector_norm(moved[1:]))
    first = float(moved[0])
    if rest == 0:
        return math.inf if first > 0 else 0.0
    return first / rest


def alignment(left: Tensor, other: Tensor) -> Tensor:
    """|cos| of the angles between the i-th columns of two (m, k) matrices with unit columns."""
    return (left * other).sum(dim=0).abs().clamp(max=1.0)


def clusters(values: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Number of the cluster of each singular value (k,), from 0.

    Neighbours belong together where they differ by at most `tolerance` times the largest.
    """
    gaps = values[:-1] - values[1:]
    steps = (gaps > tolerance * values[0]).long()
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


def subspace_alignment(left: Tensor, other: Tensor, groups: Tensor) -> Tensor:
    """||U_c'^T U_c||_F / sqrt(|c|) of the cluster c of each column, in [0, 1], shape (k,)."""
    result = left.new_empty(left.shape[1])
    for number in groups.unique():
        members = groups == number
        overlap = torch.linalg.matrix_norm(other[:, members].mT @ left[:, members])
        result[members] = overlap / math.sqrt(int(members.sum()))
    return result.clamp(max=1.0)


def _in_cluster(groups: Tensor) -> Tensor:
    """Whether each is in a cluster of more than one."""
    return torch.bincount(groups)[groups] > 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
