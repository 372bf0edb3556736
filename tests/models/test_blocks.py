"""A linear layer in blocks of rows computes, trains and is stored as the whole one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from calisr_engine.models.blocks import Blocks, apart, joined
from calisr_engine.training.switch import PhaseChange
from tests.methods.tiny import CALIBRATABLE, UNSUITED, Run, make_apart, make_batch, make_model

SUITED = [name for name in CALIBRATABLE if (name, "ModernBert") not in UNSUITED]
THREE = ("query", "key", "value")


class Small(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.fused: nn.Module = nn.Linear(8, 12, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
def test_blocks_are_the_rows_in_order_and_come_together_again(bias: bool) -> None:
    torch.manual_seed(0)
    model = Small(bias)
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fused, hidden = model.fused, torch.randn(5, 8)
    before = fused(hidden)
    assert isinstance(fused, nn.Linear)
    model.fused = Blocks(fused, THREE)
    torch.testing.assert_close(model.fused(hidden), before)
    own = model.state_dict()
    assert torch.equal(own["fused.key.weight"], whole["fused.weight"][4:8])
    together = joined(model, own)
    assert together.keys() == whole.keys()
    assert all(torch.equal(together[name], whole[name]) for name in whole)
    again = apart(model, together)
    assert again.keys() == own.keys()
    assert all(torch.equal(again[name], own[name]) for name in own)
    assert apart(model, own).keys() == own.keys()


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_stepping_blocks_is_stepping_the_whole_to_the_bit(
    optimizer: type[torch.optim.Optimizer],
) -> None:
    """With equal gradients: decay, moments and update are of each element alone."""
    torch.manual_seed(0)
    one = Small(bias=True)
    two = copy.deepcopy(one)
    assert isinstance(two.fused, nn.Linear)
    two.fused = Blocks(two.fused, THREE)
    more = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    both = [optimizer(m.parameters(), lr=0.1, weight_decay=0.1, **more) for m in (one, two)]  # type: ignore[call-arg]
    for _ in range(5):
        gradients = {name: torch.randn_like(p) for name, p in one.named_parameters()}
        for name, parameter in one.named_parameters():
            parameter.grad = gradients[name]
        for name, tensor in apart(two, gradients).items():
            two.get_parameter(name).grad = tensor.clone()
        for each in both:
            each.step()
    together = joined(two, two.state_dict())
    assert all(torch.equal(together[name], p) for name, p in one.state_dict().items())


def test_a_modernbert_in_blocks_has_the_gradients_of_the_whole_one() -> None:
    whole, blocks = make_model("ModernBert"), make_apart("ModernBert")
    for model in (whole, blocks):
        model.train()
        model(**make_batch(0)).loss.backward()
    gradients = {n: p.grad for n, p in blocks.named_parameters() if p.grad is not None}
    for name, gradient in joined(blocks, gradients).items():
        own = whole.get_parameter(name).grad
        assert own is not None
        torch.testing.assert_close(gradient, own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", SUITED)
def test_a_switched_block_stands_still_in_a_matrix_that_moves(method: str) -> None:
    """By momentum and decay, too: the key's extra, while query and value train on beside it."""
    run = Run(method, "ModernBert")
    for seed in range(3):
        run.step(seed)
    run.phases.switch(PhaseChange("key", 3, "hand", "test"), run.optimizer)
    forms = {form.target.component: form for form in list(run.attachment.forms.values())[:3]}
    key = forms["key"]
    still = {p: p.detach().clone() for p in key.extra()}
    mask = getattr(key, "mask", None) if method == "child_tuning_d" else None
    before = {name: form.effective() for name, form in forms.items()}
    for seed in range(5):
        run.step(seed)
    assert all(torch.equal(p, value) for p, value in still.items())
    if mask is not None:
        assert torch.equal(key.effective()[~mask], before["key"][~mask])
    merged = run.attachment.merged_state_dict()
    assert merged is not None
    rows = merged["model.layers.0.attn.Wqkv.weight"].chunk(3)
    for component, part in zip(THREE, rows, strict=True):
        torch.testing.assert_close(part, forms[component].effective().float())
    assert not torch.equal(forms["query"].effective(), before["query"])
    assert run.optimizer is not None
    assert not set(still) & set(run.optimizer.parameters())
    assert not set(still) & set(run.optimizer.torch.state)
