from __future__ import annotations

import pytest
import torch

from calisr_engine.calibration.stable_rank import stable_rank


def by_svd(weight: torch.Tensor) -> float:
    values = torch.linalg.svdvals(weight.double())
    return float((values / values[0]).square().sum())


def test_known_matrices() -> None:
    assert stable_rank(torch.eye(7)).item() == pytest.approx(7, rel=1e-14)
    assert stable_rank(torch.diag(torch.tensor([2.0, 1.0, 1.0]))).item() == pytest.approx(1.5)
    assert stable_rank(torch.outer(torch.arange(1.0, 5), torch.ones(9))).item() == pytest.approx(1)
    assert stable_rank(torch.full((1, 9), 3.0)).item() == pytest.approx(1)
    assert stable_rank(torch.full((1, 1), -3.0)).item() == 1.0


def test_zero_matrix_has_stable_rank_zero() -> None:
    assert stable_rank(torch.zeros(4, 6)).item() == 0.0
    batch = torch.stack([torch.zeros(3, 3), torch.eye(3)])
    assert stable_rank(batch).tolist() == pytest.approx([0.0, 3.0])


def test_shapes_and_dtype() -> None:
    batch = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))
    ranks = stable_rank(batch)
    assert ranks.shape == (4,)
    assert ranks.dtype == torch.float64
    assert stable_rank(batch[0]).shape == ()
    assert ranks.tolist() == pytest.approx([by_svd(w) for w in batch], rel=1e-13)
    assert stable_rank(batch[0].half()).dtype == torch.float64


@pytest.mark.parametrize("shape", [(40, 40), (90, 20), (20, 90), (1, 30), (30, 1)])
def test_transpose_and_scale_do_not_matter(shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = by_svd(weight)
    for same in (weight, weight.T, -3 * weight, weight * 1e-180, weight * 1e180, weight * 2e-310):
        tolerance = 1e-13 if same.abs().max() > 1e-300 else 1e-3  # denormals carry few digits
        assert stable_rank(same).item() == pytest.approx(expected, rel=tolerance)
    assert 1 <= expected <= min(shape)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_not_finite_is_refused(bad: float) -> None:
    weight = torch.ones(3, 4)
    weight[1, 2] = bad
    with pytest.raises(ValueError, match="infinite or not a number"):
        stable_rank(weight)


def test_wrong_shapes_are_refused() -> None:
    for shape in ((3,), (0, 4), (2, 2, 2, 2)):
        with pytest.raises(ValueError, match="expected a matrix"):
            stable_rank(torch.ones(shape))


def test_autocast_changes_nothing_and_the_input_stays() -> None:
    weight = torch.randn(64, 48, generator=torch.Generator().manual_seed(2), requires_grad=True)
    before = weight.detach().clone()
    plain = stable_rank(weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(stable_rank(weight), plain)
    assert not plain.requires_grad
    assert torch.equal(weight.detach(), before)
