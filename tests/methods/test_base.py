"""What methods stand on: draws, trial steps, and names of what they added."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
import torch
from torch import nn

from calisr_engine.methods.base import (
    Attachment,
    Method,
    ParameterRule,
    TargetForm,
    dense_matrices,
    seeded_generator,
    shadow_step,
)
from calisr_engine.training.switch import Phases
from tests.methods.tiny import Run, context


def test_draws_are_a_function_of_seed_and_name() -> None:
    """The seed is the first 63 bits of a hash, so that a run draws alike everywhere, for ever."""
    digest = hashlib.sha256(b"42/lora/encoder.query").digest()
    expected = int.from_bytes(digest[:8], "little") // 2
    assert seeded_generator(42, "lora/encoder.query").initial_seed() == expected
    own = dataclasses.replace(context(), seed=42).generator("lora/encoder.query")
    assert own.initial_seed() == expected
    assert seeded_generator(42, "lora", 3).initial_seed() != expected


@pytest.mark.parametrize("rate", [None, 0.5])
@pytest.mark.parametrize("decay", [None, 0.0, 0.3])
def test_a_trial_step_is_the_first_of_a_fresh_optimizer(
    rate: float | None, decay: float | None
) -> None:
    """AdamW's first step moves each entry by the rate against its gradient's sign."""
    given = dataclasses.replace(context(lr=0.01), rate_factor=lambda step: step / 10)
    value, gradient = torch.tensor([[2.0, -3.0]]), torch.tensor([[0.1, -5.0]])
    before = value.clone(), gradient.clone()
    (moved,) = shadow_step(given, 4, [value], [gradient], [ParameterRule(rate, decay)])
    peak = (0.01 if rate is None else rate) * 0.4
    share = 0.1 if decay is None else decay
    expected = value * (1 - peak * share) - peak * gradient.sign()
    torch.testing.assert_close(moved, expected, rtol=1e-6, atol=1e-6)
    assert not moved.requires_grad
    assert value.equal(before[0])
    assert gradient.equal(before[1])
    assert value.grad is None


def test_what_a_method_added_is_left_out_by_its_name() -> None:
    model = nn.Module()
    model.plain = nn.Linear(3, 2)
    model.plain.register_parameter("calisr_core", nn.Parameter(torch.ones(2)))
    model.calisr_added = nn.Linear(3, 3)
    model.not_calisr_ = nn.Linear(2, 2, bias=False)
    kept = {"plain.weight", "plain.bias", "not_calisr_.weight"}
    merged = Attachment(model, {}).merged_state_dict()
    assert merged is not None
    assert merged.keys() == kept
    assert dense_matrices(model.state_dict()).keys() == {"plain", "not_calisr_"}


@pytest.mark.parametrize("left_out", ["core", "extra", "remember", "pair", "effective", "switch"])
def test_a_form_without_one_of_its_parts_cannot_be_made(left_out: str) -> None:
    parts = dict.fromkeys(("core", "extra", "remember", "pair", "effective", "switch"), len)
    type("Whole", (TargetForm,), parts)(target=None)
    del parts[left_out]
    with pytest.raises(TypeError, match=left_out):
        type("Part", (TargetForm,), parts)(target=None)
    with pytest.raises(TypeError, match="attach"):
        type("Part", (Method,), {})()


def test_what_never_trains_is_neither_stepped_nor_counted() -> None:
    run = Run("lora")
    still = run.model.classifier.bias
    complete = run.phases.trainable_when_complete()
    run.attachment.never_trained = [still]
    phases = Phases(run.model, run.attachment, run.targets, run.phases.groups, run.settings)
    phases.begin()
    assert not still.requires_grad
    assert still not in set(phases.stepped().values())
    assert phases.counted == run.phases.counted - still.numel()
    assert phases.trainable_when_complete() == complete - still.numel()
