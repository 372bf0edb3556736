"""The Fisher pass before training: what it reads, and what it leaves as it was."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from calisr_engine.methods.child_tuning_d.method import ChildTuningDMethod, fisher_information
from calisr_engine.methods.child_tuning_d.settings import ChildTuningD
from calisr_engine.models.components import find_targets
from tests.methods.tiny import context, make_batch, make_model


@pytest.mark.parametrize("limit", [0.0, 0.02])
def test_mean_of_squared_gradients_each_clipped_alone(limit: float) -> None:
    model, given = make_model("Bert"), dataclasses.replace(context(), max_grad_norm=limit)
    targets = find_targets(model)
    found = fisher_information(model, targets, None, given)
    expected = {target.name: torch.zeros_like(target.weight) for target in targets}
    for batch in (make_batch(100), make_batch(101)):
        model.zero_grad()
        model(**batch).loss.backward()
        for target in targets:
            gradient = target.weight.grad
            scale = min(1.0, limit / (float(gradient.norm()) + 1e-6)) if limit else 1.0
            expected[target.name] += (gradient * scale).square() / 2
    model.zero_grad()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_changed(training: bool) -> None:
    """Mode, weights, gradients and the random state; dropout is on during the pass all the same."""
    model = make_model("Bert", dropout=0.3).train(training)
    targets = find_targets(model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    first = fisher_information(model, targets, None, context(seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training is training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert all(map(torch.equal, before, model.parameters()))
    torch.manual_seed(99)  # the draws are the pass's own
    again = fisher_information(model, targets, None, context(seed=1))
    other = fisher_information(model, targets, None, context(seed=2))
    assert all(first[name].equal(again[name]) for name in first)
    assert not all(first[name].equal(other[name]) for name in first)


@pytest.mark.parametrize("examples", [None, 3])
def test_it_reads_as_many_examples_as_the_settings_say(examples: int | None) -> None:
    asked: list[int | None] = []

    def batches(limit: int | None) -> list[dict[str, torch.Tensor]]:
        asked.append(limit)
        return [make_batch(1)]

    def attach(model: nn.Module, resuming: bool) -> list[str]:
        given = dataclasses.replace(context(resuming=resuming), gradient_batches=batches)
        settings = ChildTuningD(fisher_examples=examples)
        return ChildTuningDMethod().attach(model, find_targets(model), settings, given).facts

    (said,) = attach(make_model("Bert"), resuming=False)
    assert asked == [examples]
    assert said == "ChildTuning-D keeps 30.00% of the covered weights"
    assert attach(make_model("Bert"), resuming=True) == []
    assert asked == [examples]


def test_entries_without_gradient_are_told() -> None:
    """Where most entries have none, the threshold is zero and all are kept."""
    model = make_model("Bert")
    query = find_targets(model)[0]

    def flat(model: nn.Module, batch: object) -> torch.Tensor:
        return sum((t.weight.sum() * 0 for t in find_targets(model)), query.weight[0].sum())

    given = dataclasses.replace(context(), forward_loss=flat)
    attached = ChildTuningDMethod().attach(model, find_targets(model), ChildTuningD(), given)
    assert attached.facts == ["ChildTuning-D keeps 100.00% of the covered weights"]
    assert "100.00% are kept instead of method.p = 30.00%" in attached.notes[0]
