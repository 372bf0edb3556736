"""The Fisher threshold: an exact percentile over many tensors."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from calisr_engine.methods.child_tuning_d.fisher import fisher_threshold


def random_values(size: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator).square() * 1e-6


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 11, 1001, 50_000])
def test_agrees_with_quantile(size: int, p: float) -> None:
    values = random_values(size)
    expected = np.quantile(values.double().numpy(), 1 - p)
    assert fisher_threshold(values, p) == pytest.approx(expected, rel=2e-7)
    assert fisher_threshold(values.double(), p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("size", [10, 11, 101, 4096, 99_991])
def test_kept_share_is_p_on_distinct_values(size: int, p: float) -> None:
    values = torch.randperm(size, generator=torch.Generator().manual_seed(1)).float() + 1
    kept = int((values >= fisher_threshold(values, p)).sum())
    position = (1 - Fraction(str(p))) * (size - 1)
    assert kept == size - math.ceil(position)
    assert abs(kept - p * size) <= 1


def test_all_tensors_count_together() -> None:
    values = random_values(6000)
    parts = [values[:10].reshape(2, 5), values[10:4010].reshape(40, 100), values[4010:]]
    whole = fisher_threshold(values, 0.3)
    assert fisher_threshold(parts, 0.3) == whole
    assert fisher_threshold(iter(parts), 0.3) == whole
    assert fisher_threshold({str(k): part for k, part in enumerate(parts)}, 0.3) == whole
    assert fisher_threshold([part.double() for part in parts], 0.3) == pytest.approx(whole)
    # A percentile of each tensor alone would be another rule.
    scaled = [parts[0] * 1e3, parts[1], parts[2] * 1e-3]
    threshold = fisher_threshold(scaled, 0.3)
    assert (scaled[0] >= threshold).float().mean() > 0.9
    assert not (scaled[2] >= threshold).any()


def test_input_is_left_alone() -> None:
    values = random_values(100)
    before = values.clone()
    fisher_threshold(values, 0.3)
    assert torch.equal(values, before)


def test_threshold_between_neighbouring_floats_keeps_the_upper_one() -> None:
    """Comparing in float32 must not let the lower of two adjacent floats slip in."""
    low = np.float32(1.0)
    high = np.nextafter(low, np.float32(2))
    values = torch.tensor([low, high])
    threshold = fisher_threshold(values, 0.7)  # 0.3 of the way from low to high
    assert (values >= threshold).tolist() == [False, True]


def test_position_is_read_as_a_decimal() -> None:
    """(1 - 0.9) x 10 is 0.9999999999999998 in floats; the exact position is entry 1."""
    values = torch.arange(11, dtype=torch.float64)
    assert fisher_threshold(values, 0.9) == 1.0


def test_more_values_than_torch_quantile_takes() -> None:
    size = 2**24 + 3
    values = torch.arange(size, dtype=torch.int32).float().mul_(2**-4)
    shuffled = [values[size // 2 :], values[: size // 2]]
    with pytest.raises(RuntimeError):
        torch.quantile(values, 0.7)
    threshold = fisher_threshold(shuffled, 0.3)
    kept = sum(int((part >= threshold).sum()) for part in shuffled)
    assert abs(kept - 0.3 * size) <= 1


def test_ties_are_kept_together() -> None:
    values = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0])
    threshold = fisher_threshold(values, 0.4)
    assert threshold == 1.0 + 0.4 * 0.0
    assert int((values >= threshold).sum()) == 7


def test_mostly_zero_values_keep_everything() -> None:
    values = torch.zeros(100)
    values[:20] = torch.arange(1, 21)
    assert fisher_threshold(values, 0.3) == 0.0
    assert (values >= 0.0).all()


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_p_outside_the_interval_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p must"):
        fisher_threshold(torch.ones(3), p)


def test_empty_and_non_finite_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no Fisher values"):
        fisher_threshold([], 0.3)
    with pytest.raises(ValueError, match="no Fisher values"):
        fisher_threshold(torch.ones(0), 0.3)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            fisher_threshold([torch.ones(3), torch.tensor([bad])], 0.3)
