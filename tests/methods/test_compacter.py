"""Compacter: sums of Kronecker products against torch's own, and what is shared."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.methods.bottleneck import CHILD
from calisr_engine.methods.compacter.method import (
    SHARED,
    KroneckerLinear,
    SharedFactors,
    fill,
    kronecker_sum,
)
from calisr_engine.methods.compacter.settings import compacter_count
from tests.methods.tiny import Run, make_batch


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def defined(factors: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """sum_i A_i (x) (s_i t_i^T)."""
    terms = [torch.kron(a, s @ t) for a, s, t in zip(factors, left, right, strict=True)]
    return torch.stack(terms).sum(dim=0)


def spread(run: Run) -> None:
    """Numbers as of trained factors, so that what they make is seen."""
    for name, parameter in run.model.named_parameters():
        if "calisr_" in name:
            nn.init.normal_(parameter, std=0.5, generator=draws(len(name)))


@pytest.mark.parametrize(("n", "rank"), [(1, 1), (2, 3), (4, 1)])
def test_the_matrix_is_the_sum_of_kronecker_products(n: int, rank: int) -> None:
    factors = torch.randn(n, n, n, generator=draws())
    left = torch.randn(n, 3, rank, generator=draws(1))
    right = torch.randn(n, rank, 5, generator=draws(2))
    found = kronecker_sum(factors, left, right)
    assert found.shape == (3 * n, 5 * n)
    torch.testing.assert_close(found, defined(factors, left, right))


def test_a_layers_output_and_all_gradients_are_those_of_the_definition() -> None:
    """Of the shared factors the gradients of all matrices add up."""
    run = Run("compacter", rank=2)
    spread(run)
    shared = run.model.get_submodule(SHARED)
    assert isinstance(shared, SharedFactors)
    target = next(t for t in run.targets if t.component == "output")
    layer = target.module.get_submodule(CHILD)
    hidden = torch.randn(3, 48, generator=draws(5))
    fill(run.model, (), {})
    found = target.module(hidden)
    own = [p for p in layer.parameters() if p.dim() == 3]
    gradients = torch.autograd.grad(found.square().sum(), [shared.factors, *own])

    down, up = (
        defined(shared.factors, each.left, each.right)  # type: ignore[arg-type]
        for each in (layer.down, layer.up)
    )
    dense = functional.linear(hidden, target.weight, target.module.bias)
    inner = dense @ down + layer.down.bias
    gelu = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    expected = dense + gelu @ up + layer.up.bias
    torch.testing.assert_close(found, expected)
    again = torch.autograd.grad(expected.square().sum(), [shared.factors, *own])
    for one, other in zip(gradients, again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_start_is_that_of_the_authors_code() -> None:
    layer = KroneckerLinear(768, 24, 4, 1, draws())
    assert layer.left.shape == (4, 192, 1)
    assert layer.right.shape == (4, 1, 6)
    for values, sides in ((layer.left, 193), (layer.right, 7)):
        bound = math.sqrt(2) * math.sqrt(6 / sides)  # Glorot's, gain sqrt(2), of each slice
        assert 0.7 * bound < float(values.detach().abs().max()) <= bound
    assert not layer.bias.any()
    factors = SharedFactors(12, (), draws()).factors
    assert float(factors.detach().std()) == pytest.approx(1e-4, rel=0.05)
    parts = (KroneckerLinear(768, 24, 4, 1, draws()), KroneckerLinear(24, 768, 4, 1, draws()))
    total = sum(p.numel() for part in parts for p in part.parameters())
    assert total == compacter_count(768, 24, 1) == 2_376


def test_the_factors_are_one_for_all_layers() -> None:
    names = [name for name, _ in Run("compacter").model.named_parameters() if "calisr_" in name]
    assert names.count(f"{SHARED}.factors") == 1
    assert len(names) == 1 + 4 * 2 * 3


def test_a_copy_of_the_model_uses_its_own_factors() -> None:
    run = Run("compacter")
    spread(run)
    before = run.logits()
    other = copy.deepcopy(run.model)
    other.get_parameter(f"{SHARED}.factors").data.fill_(0.3)
    batch = {k: v for k, v in make_batch(55).items() if k != "labels"}
    assert not torch.allclose(other.eval()(**batch).logits, before)
    assert torch.equal(run.logits(), before)


def test_reference_trains_what_was_added_layer_norm_and_head_only() -> None:
    run = Run("compacter", reference=True)
    stepped = run.phases.stepped()
    assert f"{SHARED}.factors" in stepped
    for name in stepped:
        assert "calisr_" in name or "LayerNorm" in name or name.startswith("classifier."), name


def test_a_division_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method\.division: 3 .* hidden size 32"):
        Run("compacter", division=3)
    with pytest.raises(ConfigError) as caught:
        load(None, ["method.name=compacter", "method.bottleneck=10"])
    (problem,) = caught.value.problems
    assert "4 does not divide the bottleneck of 10" in str(problem)
