"""The bounds must hold for every subspace and anchor, good or bad."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from calisr_engine.calibration.anchor import Anchor, drift, make_anchor
from calisr_engine.calibration.bounds import TopBounds, top_bounds
from calisr_engine.calibration.subspace import Subspace
from tests.calibration.weights import clustered, gaussian, generator, spiked


def bounds_of(weight: Tensor, vectors: Tensor, anchor: Anchor) -> TopBounds:
    subspace = Subspace(weight[None])
    subspace.add(vectors[None])
    small, _, _ = subspace.small_problem(anchor.directions[None])
    return top_bounds(
        small,
        (weight.shape[0], weight.shape[1]),
        weight.square().sum()[None],
        anchor.strengths[None, :-1],
        anchor.strengths[None, -1],
        drift(weight[None], anchor.copy[None]),
    )


@pytest.mark.parametrize("seed", range(6))
def test_largest_eigenvalue_is_between_the_bounds(seed: int) -> None:
    g = generator(seed)
    for weight in (gaussian(120, 80, seed).double(), spiked(120, 80, seed).double()):
        right = torch.linalg.svd(weight).Vh
        truth = float(torch.linalg.svdvals(weight)[0] ** 2)
        for scale in (0.0, 1e-5, 1e-3, 1e-2):
            moved = torch.randn(weight.shape, generator=g, dtype=torch.float64)
            anchor = make_anchor(weight + scale * moved, 8)
            for count in (1, 3, 10, 25):
                for noise in (1e-9, 1e-4, 1e-2, 1.0):
                    start = torch.randn(count, 80, generator=g, dtype=torch.float64)
                    vectors = right[:count] + noise * start
                    bounds = bounds_of(weight, vectors, anchor)
                    assert float(bounds.low) <= truth <= float(bounds.high)
                    assert float(bounds.rest) >= float(bounds.deflated) * (1 - 1e-12)


def test_bounds_are_sharp_where_they_should_be() -> None:
    weight = spiked(120, 80).double()
    bounds = bounds_of(weight, torch.linalg.svd(weight).Vh[:1], make_anchor(weight, 8))
    assert float(bounds.high / bounds.low - 1) < 1e-11
    assert float(bounds.gap) > 0.1


def test_convergence_to_the_wrong_vector_is_not_certified() -> None:
    for weight in (spiked(120, 80).double(), clustered(120, 80, 1e-3)):
        second = torch.linalg.svd(weight).Vh[1:2]
        truth = float(torch.linalg.svdvals(weight)[0] ** 2)
        bounds = bounds_of(weight, second, make_anchor(weight, 8))
        assert float(bounds.low) < truth <= float(bounds.high)
        assert float(bounds.gap) < 0


@pytest.mark.parametrize("shape", [(100, 100), (180, 70), (70, 180)])
def test_anchor_certificate_holds(shape: tuple[int, int]) -> None:
    for make in (gaussian, spiked, lambda m, n: clustered(m, n, 1e-6)):
        anchor = make_anchor(make(*shape).double(), 12)
        a = anchor.copy.double()
        a = a if a.shape[0] >= a.shape[1] else a.T
        *strengths, mu = anchor.strengths
        known = (anchor.directions.T * torch.stack(strengths)) @ anchor.directions
        highest = float(torch.linalg.eigvalsh(a.T @ a - known)[-1])
        assert highest <= float(mu)
        assert float(mu) <= 1.03 * highest
        assert min(strengths) >= 0


def test_drift_is_never_understated() -> None:
    weight = spiked(300, 90).double()
    copy = gaussian(300, 90)
    apart = float((weight - copy.double()).norm())
    assert apart <= float(drift(weight[None], copy[None])) <= apart * (1 + 1e-8)


@pytest.mark.parametrize("shape", [(2000, 100), (100, 2000), (70000, 3), (3, 70000)])
def test_drift_of_several_large_matrices(shape: tuple[int, int]) -> None:
    """They are walked through in pieces of rows."""
    g = generator(4)
    weight = torch.randn(3, *shape, generator=g, dtype=torch.float64)
    copy = weight.float() + torch.tensor([0.0, 1e-3, 2.0])[:, None, None]
    apart = (weight - copy.double()).flatten(1).norm(dim=1)
    assert bool((apart <= drift(weight, copy)).all())
    torch.testing.assert_close(drift(weight, copy), apart, rtol=1e-8, atol=0)
