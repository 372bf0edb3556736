"""A growing subspace for the largest singular value of W: Krylov vectors and given directions.

Vectors are rows, because on CPUs a thin product is several times faster that way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from calisr_engine.calibration.bounds import SmallProblem


class Subspace:
    """Orthonormal rows V with their images, for b tall matrices W of one shape (b, m, n).

    Attributes:
        v: (b, j, n) orthonormal rows.
        y: (b, j, m) rows W v.
        z: (b, j, n) rows W^T W v.
    """

    def __init__(self, weight: Tensor) -> None:
        b, m, n = weight.shape
        self.weight = weight
        self.v = weight.new_empty(b, 0, n)
        self.y = weight.new_empty(b, 0, m)
        self.z = weight.new_empty(b, 0, n)

    def add(self, directions: Tensor) -> None:
        """Take in more directions (b, p, n); what lies in the subspace already is replaced."""
        new = orthonormal_rows(directions.to(self.weight.dtype), self.v)
        image = multiply(new, self.weight.mT)
        back = multiply(image, self.weight)
        self.v = torch.cat([self.v, new], dim=1)
        self.y = torch.cat([self.y, image], dim=1)
        self.z = torch.cat([self.z, back], dim=1)

    def grow(self, first: Tensor, steps: int) -> None:
        """Krylov steps: `first` (b, n), then each time the newest image."""
        self.add(first[:, None])
        for _ in range(steps - 1):
            self.add(self.z[:, -1:])

    def top(self) -> tuple[Tensor, Tensor, Tensor]:
        """Best Ritz value (b,), its vector (b, n) and its residual vector (b, n)."""
        values, vectors = torch.linalg.eigh((self.y @ self.y.mT).cpu().double())
        g = vectors[..., -1:].mT.to(self.v)
        theta = values[:, -1].to(self.v)
        vector = (g @ self.v)[:, 0]
        return theta, vector, (g @ self.z)[:, 0] - theta[:, None] * vector

    def small_problem(self, directions: Tensor) -> tuple[SmallProblem, Tensor, Tensor]:
        """What `top_bounds` needs, beside the top Ritz vector (b, n) and all residuals (b, j, n).

        Args:
            directions: (b, k, n) the anchor's Q.
        """
        j, k = self.v.shape[1], directions.shape[1]
        grams = torch.cat(
            [self.y @ self.y.mT, self.v @ self.v.mT, self.v @ directions.mT], dim=-1
        ).cpu()
        h, identity, captured = grams.split([j, j, k], dim=-1)
        values, vectors = torch.linalg.eigh(h)
        values, g = values.flip(-1), vectors.flip(-1).mT  # rows of g: Ritz vectors, best first
        rotation = g.to(self.v.device)

        ritz_vectors = rotation @ self.v
        top = ritz_vectors[:, 0]
        image = (rotation[:, :1] @ self.y)[:, 0]
        theta = image.square().sum(-1) / top.square().sum(-1)
        residuals = rotation @ self.z - values.to(self.v)[..., None] * ritz_vectors
        residual = residuals[:, 0] + (values.to(self.v)[:, :1] - theta[:, None]) * top
        gram = residuals @ residuals.mT
        ritz = values.clone()
        ritz[:, 0] = theta.cpu()
        small = SmallProblem(
            ritz=ritz,
            residual=torch.linalg.vector_norm(residual, dim=-1).cpu(),
            residual_gram=gram.cpu(),
            captured=g @ captured,
            coefficients=g[:, 0].abs().sum(-1),
            defect=(identity - torch.eye(j, dtype=h.dtype)).abs().amax(dim=(-2, -1)),
        )
        residuals[:, 0] = residual
        return small, top, residuals


def multiply(rows: Tensor, matrix: Tensor) -> Tensor:
    """rows (b, p, q) times matrix (b, q, s); a single row goes the fast way of a vector."""
    if rows.shape[:2] == (1, 1):
        return torch.mv(matrix[0].mT, rows[0, 0])[None, None]
    return rows @ matrix


def orthonormal_rows(rows: Tensor, against: Tensor) -> Tensor:
    """Rows (b, p, n) made orthonormal to each other and to the orthonormal rows `against`.

    Rows that vanish on the way are replaced by whatever rounding leaves, or stay zero; the bounds
    check orthonormality, so this costs sharpness and never truth.
    """
    tiny = torch.finfo(rows.dtype).tiny
    for _ in range(2 if rows.shape[1] == 1 else 3):
        if rows.shape[1] == 1:
            rows = rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min(tiny)
        else:
            rows = torch.linalg.qr(rows.mT).Q.mT
        rows = rows - (rows @ against.mT) @ against
    if rows.shape[1] == 1:
        return rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min(tiny)
    return torch.linalg.qr(rows.mT).Q.mT


def warm_start(weight: Tensor, start: Tensor, tolerance: float = 3e-6) -> Tensor:
    """A vector near the top right singular vector of each matrix, found in float32.

    Only a starting point for the float64 work: nothing rests on its accuracy.

    Args:
        weight: (b, m, n) float64, entries of ordinary size.
        start: (b, n) any vectors, best a former sample's.
        tolerance: relative residual at which to stop.

    Returns:
        (b, n) float64.
    """
    subspace = Subspace(weight.to(torch.float32))
    first = start.to(torch.float32)
    for _ in range(8):
        subspace.grow(first, 4)
        theta, vector, first = subspace.top()
        if bool((torch.linalg.vector_norm(first, dim=-1) <= tolerance * theta).all()):
            break
    return vector.to(torch.float64)
