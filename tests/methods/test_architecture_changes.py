"""What holds for the methods that are not calibrated, on every architecture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from calisr_engine.models.components import embedding_parameters, head_parameters
from tests.methods.tiny import (
    ARCHITECTURES,
    UNCALIBRATED,
    UNSUITED,
    Run,
    evaluate,
    make_batch,
    make_model,
)
from tests.slow import quick_where

CASES = [(m, name) for m in UNCALIBRATED for name in ARCHITECTURES if (m, name) not in UNSUITED]


def is_quick(case: tuple[str, str]) -> bool:
    """Every method on Bert, and one that is added and one that differs on all architectures."""
    return case[1] == "Bert" or case[0] in ("adapter", "diff_pruning")


every_case = pytest.mark.parametrize(("method", "architecture"), quick_where(CASES, is_quick))
on_bert = pytest.mark.parametrize("method", UNCALIBRATED)


def light(method: str, architecture: str = "Bert", **settings: Any) -> Run:
    """A run that is light from step 0."""
    run = Run(method, architecture, variant="D", **settings)
    run.switch_all()
    return run


@pytest.mark.parametrize(
    ("method", "architecture"),
    quick_where([c for c in CASES if c[0] not in ("prefix", "unipelt")], is_quick),
)
def test_the_forward_pass_starts_where_the_model_was(method: str, architecture: str) -> None:
    before = evaluate(make_model(architecture))
    after = Run(method, architecture).logits()
    if method == "diff_pruning":
        assert torch.equal(after, before)
    elif method == "compacter":  # nearer to the identity than float32 may tell
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)
    else:  # two bottlenecks a layer, near the identity but not the identity
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)
        assert not torch.equal(after, before)


@every_case
def test_training_lowers_the_loss(method: str, architecture: str) -> None:
    run = light(method, architecture)
    first = run.step(0)
    for _ in range(19):
        last = run.step(0)
    assert last < first - 0.05


@every_case
def test_what_the_method_added_gets_gradients(method: str, architecture: str) -> None:
    run = light(method, architecture)
    # A gate has no gradient while its difference is zero, nor have it A and its gate while B is.
    if method in ("diff_pruning", "unipelt"):
        run.step(0)
    run.gradients(make_batch(1))
    added = {n: p for n, p in run.model.named_parameters() if "calisr_" in n}
    assert added
    for name, parameter in added.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_case
@pytest.mark.parametrize("reference", [False, True])
def test_frozen_means_frozen_to_the_bit(method: str, architecture: str, reference: bool) -> None:
    run = light(method, architecture, reference=reference)
    assert run.optimizer is not None
    stepped = set(run.optimizer.parameters())
    working = {form.weight for form in run.attachment.forms.values()}
    frozen = {n: p for n, p in run.model.named_parameters() if p not in stepped | working}
    for parameter in [*embedding_parameters(run.model), *(t.weight for t in run.targets)]:
        assert parameter not in stepped
    assert set(head_parameters(run.model)) <= stepped
    biases = [p for n, p in run.model.named_parameters() if n.endswith("attention.self.query.bias")]
    assert all((p in stepped) is not reference for p in biases)
    before = {name: p.detach().clone() for name, p in frozen.items()}
    for seed in range(3):
        run.step(seed)
    for name, parameter in frozen.items():
        assert torch.equal(parameter, before[name]), name
        assert not parameter.requires_grad, name


@on_bert
def test_same_seed_same_weights_whatever_the_global_random_state(method: str) -> None:
    def weights() -> dict[str, torch.Tensor]:
        run = light(method)
        for seed in range(3):
            run.step(seed)
        return run.model.state_dict()

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = weights()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = weights()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@on_bert
def test_state_goes_over_to_a_fresh_model(method: str) -> None:
    run = light(method)
    for seed in range(2):
        run.step(seed)
    other = Run(method, variant="D", resuming=True)
    assert not torch.equal(other.logits(), run.logits())
    other.model.load_state_dict(run.model.state_dict())
    assert torch.equal(other.logits(), run.logits())
