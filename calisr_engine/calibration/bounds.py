"""Rigorous bounds on the largest eigenvalue of W^T W from a small subspace.

Write G = W^T W (n x n, W tall m x n), ||.|| for the spectral norm and lambda_1 for the largest
eigenvalue of G. Let the rows of V (j x n) be orthonormal and their images under G known.

1. Rayleigh-Ritz. With Ritz pairs (theta_i, z_i) of G on span V, lambda_1 >= theta = theta_1. In the
   orthonormal basis [z_1, the rest of the space] G is [[theta, s^T], [s, C]] where ||s|| = r is the
   residual ||G z_1 - theta z_1||. If C <= c2 I (Loewner order), replacing C by c2 I raises every
   eigenvalue, so (Kato-Temple; Parlett, The Symmetric Eigenvalue Problem, ch. 10)

       lambda_1 <= (theta + c2 + sqrt((theta - c2)^2 + 4 r^2)) / 2  <=  theta + r^2 / (theta - c2).

   The first form holds for every c2, also for c2 >= theta; the second for theta > c2.
2. The rest of span V. C acts on span(z_2..z_j) + V_perp and is [[Theta_2, R_2], [R_2^T, D]], where
   R_2 holds the residuals of z_2..z_j and D is G on V_perp. By the same monotonicity, for D <= c I,
   c2 is the largest eigenvalue of [[Theta_2, F], [F^T, c I]], F F^T = R_2 R_2^T, a matrix of order
   2 (j - 1).
3. The complement. An anchor is a matrix A near W with a certificate A^T A <= mu I + Q^T S Q (the
   rows of Q are k directions, S >= 0 diagonal; see anchor.py). For unit v in V_perp, with V_perp's
   projector P = I - V^T V, ||A v||^2 <= mu + lambda_max(S^1/2 Q P Q^T S^1/2) =: mu + tau. Hence
   (Weyl for singular values) ||W v|| <= ||A v|| + ||W - A||_F and c = (sqrt(mu + tau) + d)^2 with
   d = ||W - A||_F. Where span V holds Q, tau is 0: only the spectrum below the k directions counts.
   Parts 2 and 3 hold as well for the first p Ritz vectors in place of all j (p = 1: the argument
   bounds C at once), whose residuals may be far smaller than those of the last; the smallest is c2.

Rounding, u = 2^-53. A float64 matrix-vector product errs by at most n u ||W||_F in norm, whatever
the order of summation (Higham, Accuracy and Stability, ch. 3). With ||g||_1 the 1-norm of z_1's
coefficients in V, W z_1 errs by e = (n + 2 j) u ||g||_1 ||W||_F, theta by 2 e sqrt(theta), and the
residual by about 2 (m + n + 2 j) u ||g||_1 ||W||_F^2. c2 needs few digits; it is raised by
64 j (delta + (m + n) u) ||W||_F^2, which covers its rounding and a departure delta of V V^T from
the identity. `low` and `high` also leave room (64 sqrt(n) u) for the rounding of the exact fp64
methods, so that a decision which the bounds allow is also the one those methods give.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

UNIT = 2.0**-53
"""Unit roundoff of float64."""

_ORTHONORMAL = 1e-11
"""Largest |V V^T - I| with which bounds are given at all."""


@dataclass(frozen=True)
class TopBounds:
    """Bounds on lambda_1(W^T W) of b matrices; all tensors float64 on the CPU, shape (b,).

    Attributes:
        low, high: lambda_1 lies between (high is infinite where nothing could be shown).
        rest: bound c2 on all of W^T W orthogonal to the top Ritz vector.
        deflated: what c would be with all of the anchor's directions in the subspace.
    """

    low: Tensor
    high: Tensor
    rest: Tensor
    deflated: Tensor

    @property
    def gap(self) -> Tensor:
        """Proven relative separation of the top Ritz value from the rest (negative: none)."""
        return 1 - self.rest / self.low

    @property
    def reachable_gap(self) -> Tensor:
        """The separation that this anchor can give at best."""
        return 1 - self.deflated / self.low


@dataclass(frozen=True)
class SmallProblem:
    """What the bounds need to know of W and the subspace, in the basis of Ritz vectors.

    b matrices, j Ritz vectors (best first), k anchor directions; float64 on the CPU.

    Attributes:
        ritz: (b, j) Ritz values theta_i; ritz[:, 0] from ||W z_1||^2 directly.
        residual: (b,) norm of G z_1 - theta_1 z_1.
        residual_gram: (b, j, j) inner products of the residuals of all Ritz vectors.
        captured: (b, j, k) inner products of Ritz vectors and the anchor's directions.
        coefficients: (b,) 1-norm ||g||_1 of z_1's coefficients.
        defect: (b,) largest entry of |V V^T - I|.
    """

    ritz: Tensor
    residual: Tensor
    residual_gram: Tensor
    captured: Tensor
    coefficients: Tensor
    defect: Tensor


def top_bounds(
    small: SmallProblem,
    shape: tuple[int, int],
    squared_norm: Tensor,
    strengths: Tensor,
    floor: Tensor,
    drift: Tensor,
) -> TopBounds:
    """The bounds of the module's docstring.

    Args:
        shape: (m, n) of the tall matrices.
        squared_norm: (b,) ||W||_F^2.
        strengths: (b, k) diagonal of S.
        floor: (b,) mu.
        drift: (b,) bound d on ||W - A||_F.
    """
    m, n = shape
    j = small.ritz.shape[-1]
    theta = small.ritz[:, 0]
    slack = 64 * j * (small.defect + (m + n) * UNIT) * squared_norm

    rest = _complement(small.captured[:, :1], strengths, floor, drift, slack)
    k = strengths.shape[-1]
    for p in sorted({j} | {p for p in (4, k // 2, k) if 1 < p < j and j > k}):
        if p > 1:
            c = _complement(small.captured[:, :p], strengths, floor, drift, slack)
            rest = torch.minimum(rest, _second(small, p, c) + slack)
    deflated = (floor.sqrt() + drift).square()

    product_error = (n + 2 * j) * UNIT * small.coefficients * squared_norm.sqrt()
    relative = 2.2 * product_error / theta.sqrt() + (64 * n**0.5 + 16) * UNIT
    residual = small.residual + 2.2 * (m + n + 2 * j) * UNIT * small.coefficients * squared_norm
    low = theta * (1 - relative)
    high = _two_by_two(theta * (1 + relative), rest, residual) * (1 + 4 * UNIT)
    high = torch.where(small.defect <= _ORTHONORMAL, high, torch.inf)
    return TopBounds(low=low, high=high, rest=rest, deflated=deflated)


def _two_by_two(theta: Tensor, rest: Tensor, residual: Tensor) -> Tensor:
    """Largest eigenvalue of [[theta, r], [r, rest]], without cancellation."""
    half = (theta - rest).abs() / 2
    more = residual.square() / (half + torch.hypot(half, residual)).clamp_min(1e-300)
    return torch.maximum(theta, rest) + more


def _complement(
    captured: Tensor, strengths: Tensor, floor: Tensor, drift: Tensor, slack: Tensor
) -> Tensor:
    """c of part 3, for the complement of the rows whose products with Q are given."""
    root = strengths.sqrt()
    uncaught = torch.eye(root.shape[-1], dtype=root.dtype) - captured.mT @ captured
    tau = torch.linalg.eigvalsh(root[:, :, None] * uncaught * root[:, None, :])[:, -1]
    return ((floor + tau.clamp_min(0) + slack).sqrt() + drift).square() * (1 + 64 * UNIT)


def _second(small: SmallProblem, p: int, c: Tensor) -> Tensor:
    """c2 of part 2, from the first p Ritz vectors."""
    values, vectors = torch.linalg.eigh(small.residual_gram[:, 1:p, 1:p])
    factor = vectors * values.clamp_min(0).sqrt()[:, None, :]
    others = torch.diag_embed(small.ritz[:, 1:p])
    complement = torch.diag_embed(c[:, None].expand_as(values))
    top = torch.cat([others, factor], dim=-1)
    bottom = torch.cat([factor.mT, complement], dim=-1)
    return torch.linalg.eigvalsh(torch.cat([top, bottom], dim=-2))[:, -1]
