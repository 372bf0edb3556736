from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from calisr_engine.methods.adapter.method import Bottleneck
from calisr_engine.methods.adapter.settings import bottleneck_count
from calisr_engine.methods.bottleneck import CHILD
from tests.methods.tiny import ARCHITECTURES, Run, make_apart, make_batch


def added(run: Run) -> dict[str, torch.Tensor]:
    return {n: p for n, p in run.model.named_parameters() if CHILD in n}


def test_published_count_and_start() -> None:
    bottleneck = Bottleneck(768, 64, torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in bottleneck.parameters()) == bottleneck_count(768, 64) == 99_136
    for layer in (bottleneck.down, bottleneck.up):
        assert layer.weight.abs().max() <= 2e-3
        # A normal law cut at two standard deviations has 0.88 of its spread.
        assert layer.weight.std().item() == pytest.approx(0.8796e-3, rel=0.02)
        assert not layer.bias.any()


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_two_a_layer_counted_by_the_formula(architecture: str) -> None:
    run = Run("adapter", architecture, bottleneck=7)
    assert sum(p.numel() for p in added(run).values()) == 2 * 2 * bottleneck_count(32, 7)
    dense = make_apart(architecture)
    gone = {dense.get_parameter(f"{target.name}.weight") for target in run.targets}
    gone |= {p for m in dense.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    kept = [p for p in dense.parameters() if p not in gone]
    assert run.phases.trainable() == 4 * bottleneck_count(32, 7) + sum(p.numel() for p in kept)


def test_it_is_the_residual_bottleneck_on_the_layers_output() -> None:
    run = Run("adapter")
    target = next(t for t in run.targets if t.component == "output")
    bottleneck = target.module.get_submodule(CHILD)
    for parameter in bottleneck.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(4))
    hidden = torch.randn(3, 48, generator=torch.Generator().manual_seed(5))
    dense = functional.linear(hidden, target.weight, target.module.bias)
    down = functional.gelu(dense @ bottleneck.down.weight.T + bottleneck.down.bias)
    expected = dense + down @ bottleneck.up.weight.T + bottleneck.up.bias
    torch.testing.assert_close(target.module(hidden), expected)


def test_a_copy_of_the_model_uses_its_own_bottlenecks() -> None:
    run = Run("adapter")
    before = run.logits()
    other = copy.deepcopy(run.model)
    for name, parameter in other.named_parameters():
        if CHILD in name:
            parameter.data.fill_(0.3)
    batch = {k: v for k, v in make_batch(55).items() if k != "labels"}
    assert not torch.allclose(other.eval()(**batch).logits, before)
    assert torch.equal(run.logits(), before)


def test_components_narrow_it() -> None:
    names = added(Run("adapter", components=("output",)))
    assert len(names) == 2 * 4
    assert all("attention" not in name for name in names)


def test_reference_trains_bottlenecks_layer_norm_and_head_only() -> None:
    run = Run("adapter", reference=True)
    for name in run.phases.stepped():
        assert CHILD in name or "LayerNorm" in name or name.startswith("classifier."), name


def test_it_is_no_plain_model() -> None:
    assert Run("adapter").attachment.merged_state_dict() is None
