"""MPO decomposition: exactness, canonical form, truncation, gradients and shapes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from calisr_engine.methods.mpop.shapes import bond_dimensions
from calisr_engine.methods.mpop.tensors import (
    bond_spectra,
    contract,
    decompose,
)

SHAPES = [
    ([2, 3, 4, 3, 2], [3, 2, 4, 2, 3]),
    ([4, 4, 8, 6, 4], [3, 4, 4, 4, 4]),
    ([1, 1, 7, 1, 1], [1, 1, 5, 1, 1]),
    ([2, 3, 4], [5, 1, 2]),
    ([6, 5], [4, 7]),
    ([3, 2, 2, 5], [2, 4, 3, 2]),
    ([9], [4]),
]
SMALL = SHAPES[0]


def random_weight(rows: list[int], columns: list[int], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(
        math.prod(rows), math.prod(columns), dtype=torch.float64, generator=generator
    )


def naive_dense(tensors: list[Tensor]) -> Tensor:
    """The same matrix by one einsum over all sites, then one permutation."""
    n = len(tensors)
    operands: list[object] = []
    for k, tensor in enumerate(tensors):
        operands += [tensor, [3 * n + k, k, n + k, 3 * n + k + 1]]
    dense = torch.einsum(*operands, list(range(2 * n)))
    rows = math.prod(tensor.shape[1] for tensor in tensors)
    return dense.reshape(rows, -1)


def unfolding(weight: Tensor, rows: list[int], columns: list[int], k: int) -> np.ndarray:
    """W as a matrix from sites 1..k to sites k+1..n, by index arithmetic on the entries."""
    i, j = np.indices(weight.shape)
    site = np.zeros(weight.shape, dtype=np.int64)
    row_digits = np.unravel_index(i, rows)
    column_digits = np.unravel_index(j, columns)
    for d, (a, b) in enumerate(zip(rows, columns, strict=True)):
        site = site * (a * b) + row_digits[d] * b + column_digits[d]
    flat = np.empty(weight.numel())
    flat[site.ravel()] = weight.double().numpy().ravel()
    left = math.prod(a * b for a, b in zip(rows[:k], columns[:k], strict=True))
    return flat.reshape(left, -1)


def relative_error(rebuilt: Tensor, weight: Tensor) -> float:
    scale = weight.double().abs().max()
    difference = rebuilt.double() / scale - weight.double() / scale
    return (difference.norm() / (weight.double() / scale).norm()).item()


def truncation_error(
    weight: Tensor, rows: list[int], columns: list[int], bond: int | None
) -> float:
    """||W - W_bond||_F / ||W||_F of the MPO capped at `bond`; 0 for a zero matrix."""
    exact = weight.double()
    if not exact.any():
        return 0.0
    exact = exact / exact.abs().max()  # squares of the largest and the smallest numbers are none
    return relative_error(contract(decompose(exact, rows, columns, bond)), exact)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_full_bond_is_exact(rows: list[int], columns: list[int]) -> None:
    weight = random_weight(rows, columns)
    tensors = decompose(weight, rows, columns)
    assert all(tensor.dtype == torch.float64 and tensor.is_contiguous() for tensor in tensors)
    assert relative_error(contract(tensors), weight) < 1e-13
    assert relative_error(naive_dense(tensors), weight) < 1e-13


def test_entry_is_the_product_of_site_matrices() -> None:
    rows, columns = SMALL
    weight = random_weight(rows, columns)
    tensors = decompose(weight, rows, columns)
    for i, j in [(0, 0), (17, 91), (143, 143), (100, 5)]:
        product = torch.eye(1, dtype=torch.float64)
        digits = zip(np.unravel_index(i, rows), np.unravel_index(j, columns), strict=True)
        for tensor, (a, b) in zip(tensors, digits, strict=True):
            product = product @ tensor[:, int(a), int(b)]
        assert product.item() == pytest.approx(weight[i, j].item(), rel=1e-10)


@pytest.mark.parametrize("bond", [None, 1, 5, 20, 10_000])
@pytest.mark.parametrize("kind", ["random", "rank one", "zero"])
def test_shapes_depend_on_factors_and_cap_alone(kind: str, bond: int | None) -> None:
    rows, columns = SMALL
    weight = random_weight(rows, columns)
    if kind == "rank one":
        weight = torch.outer(weight[:, 0], weight[0])
    elif kind == "zero":
        weight = torch.zeros_like(weight)
    tensors = decompose(weight, rows, columns, bond)
    r = bond_dimensions(rows, columns, bond)
    assert [tuple(tensor.shape) for tensor in tensors] == [
        (r[k], rows[k], columns[k], r[k + 1]) for k in range(5)
    ]


def awkward_weights() -> dict[str, Tensor]:
    rows, columns = SMALL
    weight = random_weight(rows, columns)
    size = weight.shape[0]
    u, _, v = torch.linalg.svd(weight)
    spectrum = torch.logspace(0, -16, size, dtype=torch.float64)
    single = torch.zeros_like(weight)
    single[3, 7] = -2.0
    unused = weight.clone()
    unused[10:90] = 0
    return {
        "rank one": torch.outer(weight[:, 0], weight[0]),
        "rank three": weight[:, :3] @ weight[:3],
        "steep spectrum": u @ (spectrum[:, None] * v),
        "single entry": single,
        "identity": torch.eye(size, dtype=torch.float64),
        "constant": torch.ones_like(weight),
        "zero rows": unused,
        "rows of very different scale": weight
        * torch.logspace(-150, 150, size, dtype=torch.float64)[:, None],
        "tiny": weight * 1e-300,
        "huge": weight * 1e300,
        "denormal float32": (weight * 1e-41).float(),
        "largest float32": (weight / weight.abs().max()).float() * torch.finfo(torch.float32).max,
        "bfloat16": weight.bfloat16(),
    }


@pytest.mark.parametrize("kind", list(awkward_weights()))
def test_awkward_weights_stay_finite_and_exact(kind: str) -> None:
    weight = awkward_weights()[kind]
    tensors = decompose(weight, *SMALL)
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
    assert relative_error(contract(tensors), weight) < 1e-12
    # Interior tensors of the canonical form are bounded by 1, however small the lambdas.
    assert all(tensor.abs().max() < 1 + 1e-6 for tensor in tensors[1:-1])


def test_steep_spectrum_survives_float32_tensors() -> None:
    """No tensor may need fp64 to cancel: rounding each to fp32 costs only fp32 accuracy."""
    weight = awkward_weights()["steep spectrum"]
    tensors = [tensor.float() for tensor in decompose(weight, *SMALL)]
    rebuilt = contract(tensors)
    assert rebuilt.dtype == torch.float32
    assert relative_error(rebuilt, weight) < 1e-5


def test_zero_matrix_gives_zero_tensors_that_get_no_gradient() -> None:
    tensors = decompose(torch.zeros(144, 144), *SMALL)
    assert all((tensor == 0).all() for tensor in tensors)
    leaves = [tensor.requires_grad_() for tensor in tensors]
    contract(leaves).sum().backward()
    assert all((leaf.grad == 0).all() for leaf in leaves if leaf.grad is not None)
    assert truncation_error(torch.zeros(144, 144), *SMALL, bond=2) == 0.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_weight_is_refused(bad: float) -> None:
    weight = torch.ones(144, 144)
    weight[1, 2] = bad
    with pytest.raises(ValueError, match="finite"):
        decompose(weight, *SMALL)


def test_wrong_factors_and_caps_are_refused() -> None:
    weight = torch.ones(6, 6)
    with pytest.raises(ValueError, match="shape"):
        decompose(weight, [2, 3], [2, 2])
    with pytest.raises(ValueError, match="as many"):
        decompose(weight, [2, 3], [6])
    with pytest.raises(ValueError, match="at least 1"):
        decompose(weight, [2, 3], [2, 3], bond=0)
    with pytest.raises(ValueError, match="do not fit"):
        contract([torch.ones(1, 2, 2, 3), torch.ones(2, 2, 2, 1)])


def test_decompose_leaves_the_weight_and_autograd_alone() -> None:
    weight = random_weight(*SMALL).requires_grad_()
    before = weight.detach().clone()
    tensors = decompose(weight, *SMALL)
    assert torch.equal(weight, before)
    assert not any(tensor.requires_grad for tensor in tensors)


@pytest.mark.parametrize(("rows", "columns"), SHAPES[:1] + SHAPES[3:6])
def test_spectra_are_those_of_the_unfoldings(rows: list[int], columns: list[int]) -> None:
    weight = random_weight(rows, columns) * 1e-3
    spectra = bond_spectra(weight, rows, columns)
    assert [len(s) for s in spectra] == bond_dimensions(rows, columns)[1:-1]
    for k, spectrum in enumerate(spectra, start=1):
        expected = np.linalg.svd(unfolding(weight, rows, columns, k), compute_uv=False)
        np.testing.assert_allclose(spectrum.numpy(), expected, rtol=1e-10)


def test_both_sides_of_each_bond_carry_the_root_of_lambda() -> None:
    """L_k^T L_k = R_k R_k^T = diag(lambda_k), L_k and R_k the chains left and right of bond k."""
    rows, columns = SMALL
    weight = random_weight(rows, columns)
    tensors = decompose(weight, rows, columns)
    spectra = bond_spectra(weight, rows, columns)
    for k in range(1, 5):
        left = torch.ones(1, 1, dtype=torch.float64)
        for tensor in tensors[:k]:
            left = torch.einsum("xa,aijb->xijb", left, tensor).reshape(-1, tensor.shape[3])
        right = torch.ones(1, 1, dtype=torch.float64)
        for tensor in reversed(tensors[k:]):
            right = torch.einsum("aijb,bx->aijx", tensor, right).reshape(tensor.shape[0], -1)
        expected = torch.diag(spectra[k - 1])
        largest = spectra[k - 1][0].item()
        torch.testing.assert_close(left.T @ left, expected, rtol=0, atol=1e-12 * largest)
        torch.testing.assert_close(right @ right.T, expected, rtol=0, atol=1e-12 * largest)


def test_each_tensor_is_the_gauged_projection_of_the_weight() -> None:
    """T_k = lambda_{k-1}^{-1/2} U_{k-1}^T W V_k lambda_k^{-1/2}, with U, V of the unfoldings.

    Signs of singular vectors are free, so magnitudes are compared.
    """
    rows, columns = SMALL
    weight = random_weight(rows, columns)
    tensors = decompose(weight, rows, columns)
    decompositions = [
        np.linalg.svd(unfolding(weight, rows, columns, k), full_matrices=False) for k in range(1, 5)
    ]
    one = np.ones((1, 1))
    lefts = [one] + [u / np.sqrt(s) for u, s, _ in decompositions]
    rights = [(v / np.sqrt(s)[:, None]).T for _, s, v in decompositions] + [one]
    for k, tensor in enumerate(tensors):
        cube = unfolding(weight, rows, columns, k).reshape(
            lefts[k].shape[0], rows[k] * columns[k], rights[k].shape[0]
        )
        expected = np.einsum("xa,xdy,yb->adb", lefts[k], cube, rights[k], optimize=True)
        actual = tensor.reshape(tensor.shape[0], -1, tensor.shape[3]).numpy()
        np.testing.assert_allclose(np.abs(actual), np.abs(expected), atol=1e-9)


def test_two_site_cap_is_the_truncated_svd() -> None:
    rows, columns = [6, 5], [4, 7]
    weight = random_weight(rows, columns)
    lambdas = np.linalg.svd(unfolding(weight, rows, columns, 1), compute_uv=False)
    for bond in (1, 3, 10, 23, 24, 50):
        expected = math.sqrt((lambdas[bond:] ** 2).sum() / (lambdas**2).sum())
        assert truncation_error(weight, rows, columns, bond) == pytest.approx(expected, abs=1e-13)


def test_cap_is_a_chain_of_projections_at_the_bonds() -> None:
    """Slicing the canonical form projects on the leading left vectors of each bond, in turn."""
    rows, columns = SMALL
    weight = random_weight(rows, columns)
    for bond in (2, 7, 30):
        flat = unfolding(weight, rows, columns, 1).ravel()
        for k in range(4, 0, -1):
            u, _, _ = np.linalg.svd(unfolding(weight, rows, columns, k), full_matrices=False)
            u = u[:, :bond]
            flat = (u @ (u.T @ flat.reshape(u.shape[0], -1))).ravel()
        original = unfolding(weight, rows, columns, 1).ravel()
        expected = np.linalg.norm(original - flat) / np.linalg.norm(original)
        assert truncation_error(weight, rows, columns, bond) == pytest.approx(expected, rel=1e-10)


def test_cap_errors_fall_and_stay_between_their_bounds() -> None:
    rows, columns = SMALL
    weight = random_weight(rows, columns)
    norm = weight.norm().item()
    spectra = bond_spectra(weight, rows, columns)
    errors = []
    for bond in (1, 2, 4, 8, 16, 24, 36):
        tails = [spectrum[bond:].square().sum().item() for spectrum in spectra]
        error = truncation_error(weight, rows, columns, bond)
        assert math.sqrt(max(tails)) <= error * norm * (1 + 1e-9) + 1e-12
        assert error * norm <= math.sqrt(sum(tails)) * (1 + 1e-9) + 1e-12
        errors.append(error)
    assert all(a > b for a, b in pairwise(errors))
    assert truncation_error(weight, rows, columns, None) < 1e-13
    assert truncation_error(weight * 1e-300, rows, columns, 8) == pytest.approx(errors[3])


@pytest.mark.parametrize(("rows", "columns"), SHAPES[:1] + SHAPES[2:])
@pytest.mark.parametrize("bond", [None, 3])
def test_gradients_match_a_naive_einsum(
    rows: list[int], columns: list[int], bond: int | None
) -> None:
    weight = random_weight(rows, columns)
    probe = random_weight(rows, columns, seed=1)
    tensors = decompose(weight, rows, columns, bond)
    fast = [tensor.clone().requires_grad_() for tensor in tensors]
    slow = [tensor.clone().requires_grad_() for tensor in tensors]
    (contract(fast) * probe).sum().backward()
    (naive_dense(slow) * probe).sum().backward()
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)


def test_lopsided_chain_contracts_in_either_order() -> None:
    """A chain whose right part is much larger than its left one takes the other order."""
    for bonds in ([1, 2, 3, 40, 5, 1], [1, 5, 40, 3, 2, 1]):
        generator = torch.Generator().manual_seed(3)
        tensors = [
            torch.randn(bonds[k], 2, 3, bonds[k + 1], dtype=torch.float64, generator=generator)
            for k in range(5)
        ]
        torch.testing.assert_close(contract(tensors), naive_dense(tensors), rtol=1e-9, atol=1e-9)


def test_contract_ignores_autocast() -> None:
    tensors = [tensor.float() for tensor in decompose(random_weight(*SMALL), *SMALL)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = contract(tensors)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, contract(tensors))


def test_transpose_swaps_rows_and_columns() -> None:
    rows, columns = SHAPES[3]
    weight = random_weight(rows, columns)
    tensors = decompose(weight, rows, columns)
    swapped = decompose(weight.T, columns, rows)
    assert relative_error(contract(swapped), weight.T) < 1e-13
    for bond in (1, 4):
        assert truncation_error(weight, rows, columns, bond) == pytest.approx(
            truncation_error(weight.T, columns, rows, bond), rel=1e-10
        )
    for a, b in zip(tensors, swapped, strict=True):
        torch.testing.assert_close(a.abs(), b.transpose(1, 2).abs(), rtol=0, atol=1e-9)


def test_denormal_float64_weight() -> None:
    """Below 2^-1023 the scale itself is no longer one power of two in fp64."""
    weight = random_weight(*SMALL) * 1e-320
    tensors = decompose(weight, *SMALL)
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
    # Each of the (at most 54) products of the last sum rounds to a multiple of 2^-1074.
    assert (contract(tensors) - weight).abs().max() <= 54 * 5e-324
    assert truncation_error(weight, *SMALL, bond=None) < 1e-13
