"""What a subspace says of a matrix, against dense linear algebra."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from calisr_engine.calibration.subspace import Subspace, orthonormal_rows, warm_start
from tests.calibration.weights import generator, spiked


def grown(weight: Tensor, steps: int, given: int = 3) -> Subspace:
    subspace = Subspace(weight[None])
    g = generator(1)
    subspace.grow(torch.randn(1, weight.shape[1], generator=g, dtype=torch.float64), steps)
    subspace.add(torch.randn(1, given, weight.shape[1], generator=g, dtype=torch.float64))
    return subspace


def test_a_krylov_space_has_as_many_vectors_as_steps() -> None:
    weight = spiked(90, 70).double()
    subspace = Subspace(weight[None])
    start = torch.randn(1, 70, generator=generator(1), dtype=torch.float64)
    subspace.grow(start, 4)
    gram = weight.T @ weight
    powers = [start[0] / start[0].norm()]
    for _ in range(3):
        image = gram @ powers[-1]
        powers.append(image / image.norm())
    own = torch.linalg.qr(torch.stack(powers).T).Q
    v = subspace.v[0]
    assert v.shape == (4, 70)
    torch.testing.assert_close(v.T @ v, own @ own.T, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("steps", "given"), [(1, 1), (4, 3), (2, 9)])
def test_the_small_problem(steps: int, given: int) -> None:
    """Ritz values and residuals of W^T W on the subspace, best first, and what Q it holds."""
    weight = spiked(90, 70).double()
    subspace = grown(weight, steps, given)
    j, v = steps + given, subspace.v[0]
    gram = weight.T @ weight
    torch.testing.assert_close(v @ v.T, torch.eye(j).double(), rtol=0, atol=1e-13)
    torch.testing.assert_close(subspace.y[0], v @ weight.T)
    torch.testing.assert_close(subspace.z[0], v @ gram)
    values, g = torch.linalg.eigh(v @ gram @ v.T)
    values, g = values.flip(0), g.flip(1).T
    vectors = g @ v
    residuals = vectors @ gram - values[:, None] * vectors
    q = torch.linalg.qr(torch.randn(70, 5, generator=generator(3), dtype=torch.float64)).Q.T

    small, top, found = subspace.small_problem(q[None])
    largest = float(values[0])
    torch.testing.assert_close(small.ritz[0], values, rtol=1e-12, atol=0)
    expected = residuals @ residuals.T  # the signs of Ritz vectors are free
    torch.testing.assert_close(small.residual_gram[0].abs(), expected.abs(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(small.captured[0].abs(), (vectors @ q.T).abs(), rtol=0, atol=1e-9)
    assert float(small.residual[0]) == pytest.approx(float(residuals[0].norm()), rel=1e-9)
    assert float(small.coefficients[0]) == pytest.approx(float(g[0].abs().sum()), rel=1e-9)
    assert float(small.defect[0]) == pytest.approx(
        float((v @ v.T - torch.eye(j).double()).abs().max()), rel=1, abs=1e-15
    )
    assert abs(float(top[0] @ vectors[0])) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(found[0].abs(), residuals.abs(), rtol=0, atol=1e-11 * largest)

    theta, vector, residual = subspace.top()
    assert float(theta[0]) == pytest.approx(largest, rel=1e-12)
    assert abs(float(vector[0] @ vectors[0])) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(residual[0].abs(), residuals[0].abs(), rtol=0, atol=1e-11 * largest)


def test_a_subspace_that_is_not_orthonormal_says_so() -> None:
    subspace = grown(spiked(90, 70).double(), 2)
    subspace.v = subspace.v + 0.0
    subspace.v[0, 1] *= 1 + 1e-6
    small, _, _ = subspace.small_problem(torch.eye(70).double()[None, :2])
    assert float(small.defect[0]) == pytest.approx(2e-6, rel=1e-3)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_rows_are_made_orthonormal_to_each_other_and_to_others(count: int) -> None:
    g = generator(5)
    against = torch.linalg.qr(torch.randn(2, 40, 4, generator=g, dtype=torch.float64)).Q.mT
    near = against[:, :1] + 1e-9 * torch.randn(2, count, 40, generator=g, dtype=torch.float64)
    rows = orthonormal_rows(near, against)
    both = torch.cat([rows, against], dim=1)
    identity = torch.eye(count + 4).double().expand(2, -1, -1)
    torch.testing.assert_close(both @ both.mT, identity, rtol=0, atol=1e-13)


def test_a_warm_start_is_near_the_top_vector() -> None:
    weight = spiked(90, 70).double()
    top = torch.linalg.svd(weight).Vh[0]
    start = torch.randn(1, 70, generator=generator(2), dtype=torch.float64)
    found = warm_start(weight[None], start)[0]
    assert found.dtype == torch.float64
    assert abs(float(found @ top)) > 1 - 1e-9
