"""Anchors: matrices whose spectrum is known well enough to speak for their neighbours.

An anchor is a float32 copy A of an earlier weight (rounding makes it another matrix near the
weight, which is all that is needed) with a certificate

    A^T A <= mu I + Q^T S Q       (Loewner order; Q k x n, S >= 0 diagonal)

which is checked, not assumed: a Cholesky factorisation of M = mu I + Q^T S Q - A^T A that runs to
its end in float64 (unit roundoff u) proves that M + E is positive definite for some
||E|| <= (n + 1) u tr(M) / (1 - (n + 1) u) (Higham, Accuracy and Stability, thm. 10.3). mu is then
raised by that and by the rounding of M itself. So Q and S may come from any approximation; only
sharpness depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from calisr_engine.calibration.bounds import UNIT
from calisr_engine.calibration.stable_rank import row_pieces, tall
from calisr_engine.calibration.subspace import orthonormal_rows

_MARGINS = (1e-3, 5e-3, 2e-2, 1e-1)
"""How far above its estimate mu is tried, relative to it."""

_RESIDUAL = 1e-3
"""Relative residual at which a direction is known well enough."""


@dataclass(frozen=True)
class Anchor:
    """A certified neighbour of one weight.

    Attributes:
        copy: A, float32, in the shape of the weight.
        directions: Q, float64 (k, n), n the smaller side of the weight.
        strengths: S and, last, mu: float64 (k + 1,).
        start: float64 (n,), last known top singular vector of the weight.
    """

    copy: Tensor
    directions: Tensor
    strengths: Tensor
    start: Tensor

    def to(self, device: torch.device) -> Anchor:
        """The same anchor on another device."""
        return Anchor(*(t.to(device) for t in self.tensors().values()))

    def tensors(self) -> dict[str, Tensor]:
        """Its four tensors by name, as `Anchor(**tensors)` takes them."""
        return {
            "copy": self.copy,
            "directions": self.directions,
            "strengths": self.strengths,
            "start": self.start,
        }


def make_anchor(weight: Tensor, directions: int, start: Tensor | None = None) -> Anchor:
    """Copy a weight and certify the copy's spectrum: one Gram matrix and one Cholesky.

    Args:
        weight: (m, n) float64, entries of ordinary size.
        directions: k, at most a quarter of the smaller side is used.
        start: (n,) a vector near the top right singular vector, if one is known.
    """
    copy = weight.to(torch.float32, copy=True).contiguous()
    a = tall(copy.to(torch.float64))
    m, n = a.shape
    gram = a.mT @ a
    trace = float(gram.diagonal().sum())
    k = max(1, min(directions, n // 4))
    first = fixed_vector(n, weight.device) if start is None else start
    values, vectors = ritz_pairs(gram, first, k + 1, min(8 * k + 64, n // 2))
    q, s = vectors[:k], (values[:k] - values[k]).clamp_min(0)
    deflated = gram - (q.mT * s) @ q
    # Another start: of a cluster, the first one's Krylov space holds one direction only.
    other = fixed_vector(n, weight.device, stride=0.41421356237309515)
    estimate, _ = ritz_pairs(deflated, other, 1, min(48, n // 2))

    rounding = 4 * (m * UNIT * trace + (n + k + 8) * UNIT * n * (trace + float(s.sum())))
    mu = trace + rounding
    for margin in _MARGINS:
        tried = float(estimate[0]) * (1 + margin) + rounding
        candidate = -deflated
        candidate.diagonal().add_(tried)
        if int(torch.linalg.cholesky_ex(candidate).info) == 0:
            mu = tried + rounding
            break
    else:
        s = torch.zeros_like(s)  # A^T A <= tr(A^T A) I always holds
    return Anchor(
        copy=copy,
        directions=q.contiguous(),
        strengths=torch.cat([s, s.new_tensor([mu])]),
        start=vectors[0].clone(),
    )


def ritz_pairs(matrix: Tensor, start: Tensor, wanted: int, steps: int) -> tuple[Tensor, Tensor]:
    """Ritz values, largest first, and vectors (rows) of a symmetric matrix (n, n).

    Lanczos with full orthogonalisation, until the first `wanted` pairs have residuals below
    `_RESIDUAL` times the largest value, or `steps` vectors.
    """
    rows = orthonormal_rows(start[None, None], start.new_empty(1, 0, start.numel()))[0]
    images = torch.mv(matrix, rows[0])[None]
    while True:
        for _ in range(12):
            new = orthonormal_rows(images[-1:][None], rows[None])[0]
            rows = torch.cat([rows, new])
            images = torch.cat([images, torch.mv(matrix, new[0])[None]])
        h = (rows @ images.mT).cpu()  # so small a problem takes a GPU many times as long
        values, g = torch.linalg.eigh((h + h.mT) / 2)
        values, g = values.flip(0), g.flip(1).mT
        # In a Krylov space only the newest vector's image leaves the space.
        leaves = torch.linalg.vector_norm(images[-1] - (images[-1] @ rows.mT) @ rows).cpu()
        residuals = leaves * g[:wanted, -1].abs()
        known = len(rows) > wanted and bool((residuals <= _RESIDUAL * values[0]).all())
        if known or len(rows) >= max(steps, wanted):
            return values.to(rows.device), g.to(rows.device) @ rows


def fixed_vector(n: int, device: torch.device, stride: float = 0.6180339887498949) -> Tensor:
    """A start vector without symmetry and without a random generator, float64 (n,)."""
    steps = torch.arange(1, n + 1, dtype=torch.float64, device=device)
    return torch.frac(steps * stride) - 0.47


def drift(weight: Tensor, copy: Tensor) -> Tensor:
    """A bound on ||W - A||_F, shape (b,), for W (b, m, n) float64, A the same or float32."""
    norms = []
    room = torch.empty_like(row_pieces(weight)[0])  # one buffer: fresh memory costs more than sums
    for w, a in zip(row_pieces(weight), row_pieces(copy), strict=True):
        difference = room[:, : w.shape[1]].copy_(a).sub_(w)
        norms.append(torch.linalg.vector_norm(difference, dim=-1))
    return torch.linalg.vector_norm(torch.cat(norms, dim=-1), dim=-1) * (1 + 1e-9)
