"""The figures of the bounds, against the formulas of their derivation, written anew.

The other tests find that no bound is crossed on matrices; rounding is too small there to be seen.
Here the small problem is made up so that each term outweighs the others in turn.
"""

from __future__ import annotations

import math
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
import torch

from calisr_engine.calibration.bounds import SmallProblem, TopBounds, top_bounds

U = 2.0**-53
M, N = 300, 80


def bounds(
    ritz: list[float],
    gram: Any = None,
    residual: float = 0.0,
    captured: Any = None,
    strengths: tuple[float, ...] = (0.0,),
    mu: float = 0.0,
    drift: float = 0.0,
    norm: float = 1.0,
    g: float = 1.0,
    defect: float = 0.0,
) -> TopBounds:
    j, k = len(ritz), len(strengths)

    def tensor(value: Any) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float64)[None]

    small = SmallProblem(
        ritz=tensor(ritz),
        residual=tensor(residual),
        residual_gram=tensor(np.zeros((j, j)) if gram is None else gram),
        captured=tensor(np.zeros((j, k)) if captured is None else captured),
        coefficients=tensor(g),
        defect=tensor(defect),
    )
    return top_bounds(small, (M, N), tensor(norm**2), tensor(strengths), tensor(mu), tensor(drift))


def room(theta: float, j: int, norm: float, g: float) -> float:
    """Relative error of theta: 2 e / sqrt(theta), and 64 sqrt(n) u of the exact methods."""
    return 2 * (N + 2 * j) * U * g * norm / math.sqrt(theta) + 64 * math.sqrt(N) * U


@pytest.mark.parametrize(("norm", "g"), [(1.0, 1.0), (1e3, 1e4), (1e5, 7.0), (2.0, 1e6)])
@pytest.mark.parametrize("j", [1, 5])
@pytest.mark.parametrize("theta", [1.0, 9.0])
def test_rounding_of_the_top_value(norm: float, g: float, j: int, theta: float) -> None:
    found = bounds([theta] + [0.0] * (j - 1), norm=norm, g=g)
    least = room(theta, j, norm, g)
    assert least <= 1 - float(found.low) / theta <= 1.12 * least + 64 * U


@pytest.mark.parametrize(("norm", "g"), [(1e-2, 1e8), (3e-2, 1e7)])
@pytest.mark.parametrize("j", [1, 4])
def test_rounding_of_the_residual(norm: float, g: float, j: int) -> None:
    """high - theta is about r^2 / (theta - c2), r the residual's own error."""
    theta = 1e-12
    found = bounds([theta] + [0.0] * (j - 1), norm=norm, g=g, residual=0.0)
    error = 2 * (M + N + 2 * j) * U * g * norm**2
    upper, rest = theta * (1 + room(theta, j, norm, g)), float(found.rest)
    least = two_by_two(upper, rest, error)
    most = two_by_two(theta * (1 + 1.11 * room(theta, j, norm, g)), rest, 1.11 * error)
    assert error > 0.1 * theta
    assert least <= float(found.high) <= most


def two_by_two(theta: float, rest: float, residual: float) -> float:
    """The largest eigenvalue of [[theta, r], [r, rest]], with 60 digits."""
    getcontext().prec = 60
    a, b, r = Decimal(theta), Decimal(rest), Decimal(residual)
    return float((a + b + ((a - b) ** 2 + 4 * r**2).sqrt()) / 2)


@pytest.mark.parametrize("residual", [0.0, 1e-9, 1e-3, 0.3, 5.0])
@pytest.mark.parametrize("mu", [1e-12, 0.5, 1.0, 4.0])
def test_kato_temple(residual: float, mu: float) -> None:
    found = bounds([1.0], residual=residual, mu=mu)
    assert float(found.rest) == pytest.approx(mu, rel=1e-9, abs=1e-11)
    true = two_by_two(1.0, float(found.rest), residual)
    assert true <= float(found.high) <= true * (1 + 2e-12)


@pytest.mark.parametrize("defect", [0.0, 3e-12])
@pytest.mark.parametrize("j", [1, 3])
def test_slack_is_all_there_is_where_nothing_else_is(defect: float, j: int) -> None:
    """64 j (delta + (m + n) u) ||W||_F^2, once for c and once more for c2."""
    found = bounds([1.0] + [0.0] * (j - 1), defect=defect, norm=3.0)
    slack = 64 * j * (defect + (M + N) * U) * 9
    assert float(found.rest) == pytest.approx(slack, rel=1e-9)
    assert float(found.deflated) == 0
    assert float(bounds([1.0], defect=defect, mu=4.0, drift=0.5).deflated) == 2.5**2


def test_rows_that_are_not_orthonormal_bound_nothing() -> None:
    assert math.isfinite(bounds([1.0], defect=1e-11).high)
    assert bounds([1.0], defect=1.1e-11).high == math.inf


def complement(captured: Any, strengths: Any, mu: float, drift: float) -> float:
    """c = (sqrt(mu + tau) + d)^2, tau = lambda_max(S^1/2 (I - C^T C) S^1/2)."""
    root = np.diag(np.sqrt(strengths))
    uncaught = np.eye(len(strengths)) - captured.T @ captured
    tau = max(0.0, np.linalg.eigvalsh(root @ uncaught @ root)[-1])
    return float((math.sqrt(mu + tau) + drift) ** 2)


def second(ritz: Any, gram: Any, c: float) -> float:
    """Largest eigenvalue of [[Theta_2, F], [F^T, c I]] with F F^T = R_2 R_2^T."""
    if len(ritz) == 1:
        return c
    size = len(ritz) - 1
    root = np.linalg.cholesky(gram[1:, 1:])
    whole = np.block([[np.diag(ritz[1:]), root], [root.T, c * np.eye(size)]])
    return float(np.linalg.eigvalsh(whole)[-1])


@pytest.mark.parametrize("seed", range(12))
def test_the_rest_of_the_spectrum(seed: int) -> None:
    """c2 is the best of the bounds from the first p Ritz vectors, p = 1, all, and some between."""
    chance = np.random.default_rng(seed)
    j, k = int(chance.integers(1, 12)), int(chance.integers(1, 7))
    ritz = np.sort(chance.uniform(0.1, 2.0, j))[::-1]
    residuals = chance.normal(size=(j, 40)) * 10.0 ** chance.uniform(-3, -0.5, (j, 1))
    gram = residuals @ residuals.T
    rotation = np.linalg.qr(chance.normal(size=(j + k, j + k)))[0]
    captured = rotation[:j, :k]
    strengths = chance.uniform(0, 3, k)
    mu, drift = chance.uniform(0.1, 0.8), chance.choice([0.0, 0.2])
    found = bounds(
        list(ritz), gram, 0.01, captured, tuple(strengths), mu=float(mu), drift=float(drift)
    )
    each = [
        second(ritz[:p], gram[:p, :p], complement(captured[:p], strengths, mu, drift))
        for p in range(1, j + 1)
    ]
    assert min(each) * (1 - 1e-9) <= float(found.rest) <= min(each[0], each[-1]) * (1 + 1e-9)
    if j > k:
        between = [each[p - 1] for p in (4, k // 2, k) if 1 < p < j]
        assert float(found.rest) <= min([each[0], *between]) * (1 + 1e-9)
