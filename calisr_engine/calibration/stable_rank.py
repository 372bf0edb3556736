"""Stable rank SR(W) = ||W||_F^2 / ||W||_2^2, exactly, in float64.

In [1, rank W]; unchanged by scaling or transposing W. The change that one optimizer step makes is a
few parts in a million, which float32 cannot resolve, so everything here is float64 whatever the
input is, and neither autocast nor TF32 reaches it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def stable_rank(weight: Tensor) -> Tensor:
    """Stable rank of one matrix or a batch.

    Args:
        weight: (m, n) or (b, m, n), any floating dtype.

    Returns:
        float64, a scalar for (m, n) and (b,) for (b, m, n). The stable rank of a zero matrix is
        taken as 0, its rank.

    Raises:
        ValueError: not 2- or 3-dimensional, empty, or an entry that is not finite.
    """
    if weight.dim() not in (2, 3) or weight.numel() == 0:
        raise ValueError(f"expected a matrix or a batch of matrices, got {tuple(weight.shape)}")
    with torch.no_grad():
        matrices = scaled(check_finite(to_double(weight)).reshape(-1, *weight.shape[-2:]))
        squared = squared_frobenius(matrices)
        vectors = min(weight.shape[-2:]) == 1  # of stable rank 1, to the bit
        top = squared if vectors else top_gram_eigenvalue(matrices)
        rank = torch.where(squared > 0, squared / top.clamp_min(0.5), torch.zeros_like(squared))
    return rank.reshape(weight.shape[:-2])


def to_double(weight: Tensor) -> Tensor:
    """The same numbers in float64, detached (moved to the CPU from a device without float64)."""
    weight = weight.detach()
    if weight.device.type == "mps":
        weight = weight.cpu()
    return weight.to(torch.float64)


def check_finite(weight: Tensor, name: str = "") -> Tensor:
    """The weight itself.

    Raises:
        ValueError: an entry is infinite or not a number.
    """
    if not torch.isfinite(weight).all():
        what = f"{name}: " if name else ""
        raise ValueError(f"{what}the weight has entries that are infinite or not a number")
    return weight


def tall(weight: Tensor) -> Tensor:
    """The matrix or its transpose (a view), whichever has no more columns than rows."""
    return weight.mT if weight.shape[-1] > weight.shape[-2] else weight


def scaled(weight: Tensor) -> Tensor:
    """Each matrix times a power of two (no rounding), so that its largest |entry| is in [1, 2).

    Keeps squares from overflowing or vanishing; a zero matrix stays zero. Shape (b, m, n).
    """
    largest = weight.abs().amax(dim=(-2, -1), keepdim=True)
    exponent = torch.where(largest > 0, torch.frexp(largest).exponent - 1, 0)
    half = torch.div(exponent, 2, rounding_mode="floor")  # 2^-exponent alone may overflow
    return torch.ldexp(torch.ldexp(weight, -half), half - exponent)


def row_pieces(weight: Tensor) -> tuple[Tensor, ...]:
    """Views of consecutive rows: pieces that fit a CPU's cache; all rows at once elsewhere."""
    if weight.device.type != "cpu":
        return (weight,)
    return weight.split(max(1, 65536 // weight.shape[-1]), dim=-2)


def squared_frobenius(weight: Tensor) -> Tensor:
    """||W||_F^2, summed row by row: relative rounding below (m + n + 4) 2^-53. Shape (b,)."""
    rows = torch.linalg.vector_norm(weight, dim=-1)
    return rows.square().sum(dim=-1)


def top_gram_eigenvalue(weight: Tensor) -> Tensor:
    """||W||_2^2 as the largest eigenvalue of the smaller Gram matrix, in float64. Shape (b,)."""
    narrow = tall(weight)
    with torch.autocast(weight.device.type, enabled=False):
        return torch.linalg.eigvalsh(narrow.mT @ narrow)[..., -1]
