"""Decomposition of a matrix into a matrix product operator (MPO), and contraction back.

A weight W (I x J) with I = prod i_k and J = prod j_k becomes n tensors T_k of shape
(r_{k-1}, i_k, j_k, r_k), r_0 = r_n = 1, in the canonical form in which both sides of bond k carry
sqrt(lambda_k), lambda_k being the singular values of the unfolding there (Gao et al., 2020;
Liu et al., 2021, "Enabling Lightweight Fine-tuning for Pre-trained Language Model Compression
based on Matrix Product Operators").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from calisr_engine.methods.mpop.shapes import Cap, bond_dimensions, central_index


def decompose(
    weight: Tensor, rows: Sequence[int], columns: Sequence[int], bond: Cap = None
) -> list[Tensor]:
    """Canonical MPO of `weight`, computed in fp64 on the CPU.

    With A_k the left-orthonormal tensors of successive SVDs from left to right,
    T_k = lambda_{k-1}^{-1/2} A_k lambda_k^{1/2}; this equals
    (lambda^{-1/2} U^T)_{k-1} M_k (V lambda^{-1/2})_k with one division instead of two, so that
    small lambdas cost no accuracy. A lambda that is zero to working precision gives zeros on both
    sides of its bond: shapes never depend on the data, and no gradient reaches such a direction
    (a zero matrix therefore stays zero when its operator is trained).

    Args:
        weight: (I, J), any floating dtype; autograd does not follow.
        rows: i_1 .. i_n with product I.
        columns: j_1 .. j_n with product J.
        bond: keep only this many of the largest lambdas of each bond (one number, or one for each
            inner bond); None keeps all (exact).

    Returns:
        n contiguous float64 tensors (r_{k-1}, i_k, j_k, r_k) on the device of `weight`, r as in
        `bond_dimensions`.

    Raises:
        ValueError: if the factors do not multiply to the shape, the cap is below 1, or an entry is
            not finite.
    """
    modes, scaled, exponent = _interleaved(weight, rows, columns)
    full = bond_dimensions(rows, columns)
    kept = bond_dimensions(rows, columns, bond)
    n = len(modes)

    tensors = []
    rest = scaled  # lambda_{k-1} V_{k-1}^T, the part right of bond k-1
    inverse_root = torch.ones(1, dtype=torch.float64)
    for k in range(n):
        if k < n - 1:
            left, lambdas, right = _svd(rest.reshape(full[k] * modes[k], -1))
            alive = lambdas > _zero_below(lambdas)
            root = torch.where(alive, lambdas, 0.0).sqrt()
            rest = torch.where(alive, lambdas, 0.0)[:, None] * right
            site = left * root
        else:
            alive, root, site = torch.ones(1, dtype=torch.bool), torch.ones(1), rest
        site = site.reshape(full[k], modes[k], full[k + 1]) * inverse_root[:, None, None]
        inverse_root = torch.where(alive, 1 / torch.where(alive, root, 1.0), 0.0)
        site = site[: kept[k], :, : kept[k + 1]]
        tensors.append(site.reshape(kept[k], rows[k], columns[k], kept[k + 1]).contiguous())

    # Scaling W scales every lambda: half of the (even) power of two goes to each end of the chain.
    half = math.ldexp(1.0, exponent // 2)
    tensors[0] = tensors[0] * half
    tensors[-1] = tensors[-1] * half
    return [tensor.to(weight.device) for tensor in tensors]


def contract(tensors: Sequence[Tensor]) -> Tensor:
    """The dense matrix (I, J) of an MPO, differentiable, in the dtype of the tensors.

    The chains left and right of the central tensor are folded first (they are small), then the
    central tensor is joined to both: n - 1 matrix products in all, the last two being the cost.
    An autocast region around the call does not lower the precision.

    Raises:
        ValueError: if neighbouring bonds differ or an outer bond is not 1.
    """
    _check_chain(tensors)
    with torch.autocast(tensors[0].device.type, enabled=False):
        return _contracted(tensors)


def bond_spectra(weight: Tensor, rows: Sequence[int], columns: Sequence[int]) -> list[Tensor]:
    """Singular values lambda_k of the unfolding at each inner bond k = 1 .. n-1.

    Returns:
        n - 1 float64 vectors on the CPU, in descending order, of the lengths r_k at full bond.

    Raises:
        ValueError: as `decompose`.
    """
    modes, scaled, exponent = _interleaved(weight, rows, columns)
    spectra = []
    for k in range(1, len(modes)):
        unfolding = scaled.reshape(math.prod(modes[:k]), -1)
        tall = unfolding if unfolding.shape[0] >= unfolding.shape[1] else unfolding.mT
        spectra.append(_scaled(torch.linalg.svdvals(tall), exponent))
    return spectra


def _contracted(tensors: Sequence[Tensor]) -> Tensor:
    middle = central_index(len(tensors))
    left = _fold_left(tensors[:middle], tensors[0])
    right = _fold_right(tensors[middle + 1 :], tensors[0])
    centre = tensors[middle]

    left_rows, left_columns, r0 = left.shape
    r1, right_rows, right_columns = right.shape
    _, i, j, _ = centre.shape
    outer_left, outer_right, mode = left_rows * left_columns, right_rows * right_columns, i * j
    flat_left, flat_right = left.reshape(outer_left, r0), right.reshape(r1, outer_right)
    left_first = outer_left * r1 * mode * (r0 + outer_right)
    right_first = outer_right * r0 * mode * (r1 + outer_left)
    if left_first <= right_first:
        joined = (flat_left @ centre.reshape(r0, mode * r1)).reshape(outer_left * mode, r1)
        dense = joined @ flat_right
    else:
        joined = (centre.reshape(r0 * mode, r1) @ flat_right).reshape(r0, mode * outer_right)
        dense = flat_left @ joined
    return (
        dense.reshape(left_rows, left_columns, i, j, right_rows, right_columns)
        .permute(0, 2, 4, 1, 3, 5)
        .reshape(left_rows * i * right_rows, left_columns * j * right_columns)
    )


def _interleaved(
    weight: Tensor, rows: Sequence[int], columns: Sequence[int]
) -> tuple[list[int], Tensor, int]:
    """Modes i_k j_k, the entries of W / 2^e in the order (i_1, j_1, .., i_n, j_n), and e."""
    modes = [i * j for i, j in zip(rows, columns, strict=False)]
    bond_dimensions(rows, columns)  # checks the factors
    if tuple(weight.shape) != (math.prod(rows), math.prod(columns)):
        raise ValueError(
            f"factors {list(rows)} x {list(columns)} do not give the shape {tuple(weight.shape)}"
        )
    exponent = _even_exponent(weight)
    scaled = _scaled(weight.detach().to("cpu", torch.float64), -exponent)
    n = len(modes)
    order = [axis for k in range(n) for axis in (k, n + k)]
    return modes, scaled.reshape(*rows, *columns).permute(order).reshape(-1), exponent


def _even_exponent(weight: Tensor) -> int:
    """An even e with max|W| / 2^e in [1/4, 1); 0 for a zero matrix. Keeps every norm in range."""
    largest = weight.detach().abs().max().item()
    if not math.isfinite(largest):
        raise ValueError("the weight has entries that are not finite")
    exponent = math.frexp(largest)[1]
    return exponent + exponent % 2


def _scaled(values: Tensor, exponent: int) -> Tensor:
    """values x 2^exponent for an even exponent, in two steps as 2^1074 is not a number in fp64."""
    half = math.ldexp(1.0, exponent // 2)
    return values * half * half


def _svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Thin SVD (U, s, V^T). LAPACK is up to five times faster on tall matrices than on wide."""
    if matrix.shape[0] >= matrix.shape[1]:
        return tuple(torch.linalg.svd(matrix, full_matrices=False))
    right, values, left = torch.linalg.svd(matrix.mT, full_matrices=False)
    return left.mT, values, right.mT


def _zero_below(lambdas: Tensor) -> float:
    """The rounding level of an fp64 SVD: lambdas below it carry no information."""
    return float(torch.finfo(torch.float64).eps * math.sqrt(len(lambdas)) * lambdas[0])


def _fold_left(chain: Sequence[Tensor], like: Tensor) -> Tensor:
    """(prod i, prod j, r) of the tensors left of the centre."""
    folded = like.new_ones(1, 1, 1)
    for position, tensor in enumerate(chain):
        _, i, j, r = tensor.shape
        if position == 0:
            folded = tensor.reshape(i, j, r)
            continue
        a, b, bond = folded.shape
        joined = folded.reshape(a * b, bond) @ tensor.reshape(bond, i * j * r)
        folded = joined.reshape(a, b, i, j, r).transpose(1, 2).reshape(a * i, b * j, r)
    return folded


def _fold_right(chain: Sequence[Tensor], like: Tensor) -> Tensor:
    """(r, prod i, prod j) of the tensors right of the centre."""
    folded = like.new_ones(1, 1, 1)
    for position, tensor in enumerate(reversed(chain)):
        r, i, j, _ = tensor.shape
        if position == 0:
            folded = tensor.reshape(r, i, j)
            continue
        bond, a, b = folded.shape
        joined = tensor.reshape(r * i * j, bond) @ folded.reshape(bond, a * b)
        folded = joined.reshape(r, i, j, a, b).transpose(2, 3).reshape(r, i * a, j * b)
    return folded


def _check_chain(tensors: Sequence[Tensor]) -> None:
    if not tensors or any(tensor.ndim != 4 for tensor in tensors):
        raise ValueError("an MPO is a chain of 4-d tensors (r_left, i, j, r_right)")
    bonds = [(tensor.shape[0], tensor.shape[3]) for tensor in tensors]
    touching = all(a[1] == b[0] for a, b in pairwise(bonds))
    if bonds[0][0] != 1 or bonds[-1][1] != 1 or not touching:
        raise ValueError(f"the bonds of the chain do not fit: {bonds}")
