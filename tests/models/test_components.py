"""Where a regression head starts."""

from __future__ import annotations

import pytest
import torch
import transformers

from calisr_engine.models.components import start_regression_at
from tests.methods.tiny import ARCHITECTURES, evaluate, make_model


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_a_regression_head_starts_higher_by_the_given_value(architecture: str) -> None:
    config = make_model(architecture).config
    config.num_labels, config.problem_type = 1, "regression"
    with torch.random.fork_rng(devices=[]):
        model = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
    before, logits = {n: p.clone() for n, p in model.named_parameters()}, evaluate(model)
    start_regression_at(model, 2.75)
    changed = [n for n, p in model.named_parameters() if not torch.equal(p, before[n])]
    assert len(changed) == 1
    torch.testing.assert_close(evaluate(model), logits + 2.75)


def test_a_classification_head_is_left_alone() -> None:
    model = make_model("Bert")
    before = evaluate(model)
    start_regression_at(model, 2.75)
    assert torch.equal(evaluate(model), before)
