from __future__ import annotations

import pytest
import torch
from torch import nn

from calisr_engine.config.training_section import TrainingSettings
from calisr_engine.methods.base import ParameterRule, StateMove
from calisr_engine.training.optim import StepOptimizer


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))


def optimizer(m: nn.Module, rules=None, **settings) -> StepOptimizer:
    return StepOptimizer(
        dict(m.named_parameters()), TrainingSettings(**settings), rules or {}, fused=True
    )


def backward(m: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    m(torch.randn(4, 5, generator=generator)).square().sum().backward()


def test_biases_have_no_decay_and_rules_win() -> None:
    m = model()
    o = optimizer(m, {m[0].weight: ParameterRule(learning_rate=0.5, weight_decay=0.0)})
    kinds = {p: (g["peak"], g["weight_decay"]) for g in o.torch.param_groups for p in g["params"]}
    assert kinds[m[0].weight] == (0.5, 0.0)
    assert kinds[m[1].weight] == (2e-5, 0.01)
    assert kinds[m[1].bias] == (2e-5, 0.0)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_stepping_in_two_stages_equals_one_step_to_the_bit(name: str) -> None:
    one, two = model(), model()
    joint = optimizer(one, optimizer=name, learning_rate=0.1)
    staged = optimizer(two, optimizer=name, learning_rate=0.1)
    for seed in range(5):
        backward(one, seed)
        joint.step()
        joint.zero_grad()
        backward(two, seed)
        late = {two[0].weight: two[0].weight.grad, two[1].bias: two[1].bias.grad}
        for parameter in late:
            parameter.grad = None
        staged.step()
        staged.zero_grad()
        for parameter, gradient in late.items():
            parameter.grad = gradient
        staged.step()
        staged.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_dropped_parameter_does_not_move_and_its_state_is_freed() -> None:
    m = model()
    o = optimizer(m, learning_rate=0.1)
    backward(m, 0)
    o.step()
    frozen = m[0].weight
    before = frozen.detach().clone()
    freed = o.drop([frozen])
    assert freed >= 3 * 35 * 4  # gradient and two moments
    assert frozen not in o.torch.state
    for seed in range(5):
        backward(m, seed)
        o.step()
        o.zero_grad()
    assert torch.equal(frozen, before)


def test_zeroing_gradients_alone_would_move_the_weight() -> None:
    """Why `drop` is needed: stale momentum and decay move a weight whose gradient is zero."""
    m = model()
    o = optimizer(m, learning_rate=0.1)
    backward(m, 0)
    o.step()
    before = m[0].weight.detach().clone()
    m[0].weight.grad.zero_()
    o.step()
    assert not torch.equal(m[0].weight, before)


def test_state_moves_to_a_replacing_parameter() -> None:
    m = model()
    o = optimizer(m, learning_rate=0.1)
    backward(m, 0)
    o.step()
    source = m[0].weight
    mask = torch.arange(35).reshape(7, 5) % 3 == 0
    compact = nn.Parameter(source.detach()[mask].clone())
    moments = o.torch.state[source]["exp_avg"][mask].clone()
    o.move(StateMove(source, compact, lambda t: t[mask]), "0.core")
    o.drop([source])
    assert torch.equal(o.torch.state[compact]["exp_avg"], moments)
    assert "0.core::exp_avg" in o.tensors()
    assert any(p is compact for p in o.parameters())
    assert not any(p is source for p in o.parameters())


def test_state_round_trip_goes_on_to_the_same_bits() -> None:
    one, two = model(), model()
    a = optimizer(one, learning_rate=0.1)
    for seed in range(3):
        backward(one, seed)
        a.step()
        a.zero_grad()
    two.load_state_dict(one.state_dict())
    b = optimizer(two, learning_rate=0.1)
    b.load_tensors({k: v.clone() for k, v in a.tensors().items()})
    for m, o in ((one, a), (two, b)):
        backward(m, 9)
        o.set_factor(0.5)
        o.step()
    assert all(torch.equal(x, y) for x, y in zip(one.parameters(), two.parameters(), strict=True))


def test_state_of_an_unknown_parameter_is_refused() -> None:
    o = optimizer(model())
    with pytest.raises(ValueError, match="unknown parameter: nowhere"):
        o.load_tensors({"nowhere::exp_avg": torch.zeros(1)})


def test_bytes_freed_are_those_of_the_gradient_and_the_state() -> None:
    m = model()
    o = optimizer(m)
    assert o.drop([m[1].bias]) == 0
    backward(m, 0)
    o.step()
    assert o.drop([m[0].weight]) == 4 * 35 * 3 + 4  # gradient, two moments, the step count
    o.zero_grad()
    assert o.drop([m[0].bias]) == 4 * 7 * 2 + 4
