"""Equation (3), alignment and clusters against small independent computations (NumPy, by hand)."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from calisr_engine.analysis.spectrum import (
    alignment,
    clusters,
    compare,
    decompose,
    ratio,
    stable_rank_of,
    subspace_alignment,
)
from calisr_engine.calibration.stable_rank import stable_rank


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_equation_3_by_hand() -> None:
    """s = (4, 2, 1): 4 / sqrt(5); with a = (1, 1, 1): 5 / sqrt(9 + 4)."""
    values = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    assert ratio(values) == pytest.approx(4 / math.sqrt(5), rel=1e-15)
    change = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    assert ratio(values, change) == pytest.approx(5 / math.sqrt(13), rel=1e-15)
    signed = torch.tensor([0.0, -1.0, 1.0], dtype=torch.float64)
    assert ratio(values, signed) == pytest.approx(4 / math.sqrt(1 + 4), rel=1e-15)


def test_equation_3_at_the_edges() -> None:
    assert ratio(torch.tensor([3.0, 0.0])) == math.inf
    assert ratio(torch.tensor([3.0])) == math.inf
    assert ratio(torch.zeros(3)) == 0.0
    assert stable_rank_of(torch.zeros(3)) == 0.0
    said = compare("0.query", torch.eye(3)[:, :1], torch.eye(3)[:, :1]).to_dict()
    assert said["ratio"] == {"a": None, "b": None}  # JSON knows no infinity
    json.dumps(said, allow_nan=False)


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
def test_a_comparison_agrees_with_numpy(shape: tuple[int, int]) -> None:
    before = draw(1, *shape).float()
    after = before + 0.1 * draw(2, *shape).float()
    found = compare("0.query", before, after)
    one, s_one, _ = np.linalg.svd(before.double().numpy(), full_matrices=False)
    two, s_two, _ = np.linalg.svd(after.double().numpy(), full_matrices=False)
    np.testing.assert_allclose(found.before, s_one, rtol=1e-12)
    np.testing.assert_allclose(found.after, s_two, rtol=1e-12)
    np.testing.assert_allclose(found.change, s_two - s_one, atol=1e-12)
    np.testing.assert_allclose(found.alignment, np.abs(np.diag(one.T @ two)), atol=1e-9)
    assert found.ratio_after == pytest.approx(s_two[0] / np.linalg.norm(s_two[1:]), rel=1e-12)
    assert found.stable_rank_before == pytest.approx(float(stable_rank(before)), rel=1e-12)
    assert found.stable_rank_after == pytest.approx(float(stable_rank(after)), rel=1e-12)
    assert (found.shape, len(found.change)) == (shape, min(shape))


def test_the_ratio_grows_exactly_where_the_stable_rank_falls() -> None:
    for seed in range(200):
        before = draw(seed, 7, 5)
        found = compare("0.query", before, before + 1e-3 * draw(1000 + seed, 7, 5))
        grows = found.ratio_after > found.ratio_before
        assert grows == (found.stable_rank_after < found.stable_rank_before)
        assert found.ratio_after**-2 == pytest.approx(found.stable_rank_after - 1, rel=1e-9)


def test_a_known_rotation_gives_its_cosine() -> None:
    """The first two left vectors turned by 30 degrees, the third kept."""
    angle = math.radians(30)
    turn = torch.eye(4, dtype=torch.float64)
    turn[0, 0] = turn[1, 1] = math.cos(angle)
    turn[0, 1], turn[1, 0] = -math.sin(angle), math.sin(angle)
    before = torch.zeros(4, 3, dtype=torch.float64)
    before[0, 0], before[1, 1], before[2, 2] = 5.0, 3.0, 1.0
    found = compare("0.query", before, turn @ before)
    assert found.alignment == pytest.approx((math.cos(angle), math.cos(angle), 1.0), abs=1e-12)
    assert found.degenerate == (False, False, False)
    assert found.subspace == pytest.approx(found.alignment)
    assert max(map(abs, found.change)) < 1e-12
    assert found.mean_alignment == pytest.approx((2 * math.cos(angle) + 1) / 3)


def test_sign_flips_and_the_same_matrix_align_fully() -> None:
    before = draw(3, 8, 5)
    for after in (before, -before, 2 * before):
        assert compare("0.query", before, after).alignment == pytest.approx((1.0,) * 5, abs=1e-9)


def test_a_degenerate_cluster_is_flagged_and_its_space_still_aligns() -> None:
    """Turning two vectors of one singular value changes nothing but their |cos|."""
    left, _ = torch.linalg.qr(draw(4, 6, 3))
    angle = math.radians(60)
    turned = left.clone()
    turned[:, 0] = math.cos(angle) * left[:, 0] + math.sin(angle) * left[:, 1]
    turned[:, 1] = -math.sin(angle) * left[:, 0] + math.cos(angle) * left[:, 1]
    groups = clusters(torch.tensor([2.0, 2.0, 1.0]))
    assert groups.tolist() == [0, 0, 1]
    assert alignment(left, turned).tolist() == pytest.approx([0.5, 0.5, 1.0])
    assert subspace_alignment(left, turned, groups).tolist() == pytest.approx([1.0, 1.0, 1.0])
    found = compare("0.query", torch.eye(3), torch.eye(3))
    assert found.degenerate == (True, True, True)
    assert found.mean_alignment is None
    assert found.subspace == pytest.approx((1.0, 1.0, 1.0))


def test_a_cluster_whose_space_half_left() -> None:
    """One of two vectors goes where neither was: ||U'^T U||_F = 1, over sqrt(2)."""
    left = torch.eye(4, dtype=torch.float64)[:, :2]
    other = torch.eye(4, dtype=torch.float64)[:, [0, 2]]
    groups = clusters(torch.tensor([2.0, 2.0]))
    assert subspace_alignment(left, other, groups).tolist() == pytest.approx([0.5**0.5] * 2)


def test_a_cluster_of_either_side_is_flagged() -> None:
    apart, close = torch.diag(torch.tensor([3.0, 2.0, 1.0])), torch.diag(torch.tensor([3.0, 1, 1]))
    assert compare("0.query", apart, close).degenerate == (False, True, True)
    assert compare("0.query", close, apart).degenerate == (False, True, True)


def test_clusters_chain_and_depend_on_the_tolerance() -> None:
    values = torch.tensor([1.0, 0.9, 0.8, 0.2])
    assert clusters(values, 0.15).tolist() == [0, 0, 0, 1]
    assert clusters(values, 0.05).tolist() == [0, 1, 2, 3]


def test_matrices_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        compare("0.query", torch.ones(2, 3), torch.ones(3, 2))
    with pytest.raises(ValueError, match="not a number"):
        compare("0.query", torch.ones(2, 2), torch.full((2, 2), math.nan))


def test_everything_is_float64() -> None:
    values, left = decompose(draw(5, 4, 4).to(torch.bfloat16))
    assert values.dtype == left.dtype == torch.float64
