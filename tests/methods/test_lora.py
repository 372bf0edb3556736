"""LoRA against peft's own model in a plain torch loop."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from calisr_engine.methods.lora.method import ADAPTER
from tests.methods.tiny import ARCHITECTURES, Run, evaluate, make_batch, make_model

SIZES: dict[str, Any] = {"rank": 3, "alpha": 6.0, "components": ("query", "value")}


WITHOUT_A_TWIN = ("ModernBert", "EuroBert")
"""peft has one pair for all of Wqkv, and knows one module of a head."""


def peft_twin(architecture: str, run: Run) -> nn.Module:
    """peft's model of the same weights, on the same matrices, with the same starting factors."""
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        config = LoraConfig(
            task_type="SEQ_CLS",
            r=SIZES["rank"],
            lora_alpha=SIZES["alpha"],
            lora_dropout=0.0,
            target_modules=list(run.attachment.forms),
            modules_to_save=["classifier", "pre_classifier"],
        )
        twin = get_peft_model(make_model(architecture), config)
    own = dict(run.model.named_parameters())
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if ".lora_" in name:
                plain = name.removeprefix("base_model.model.").replace(".default.", f".{ADAPTER}.")
                assert parameter.shape == own[plain].shape
                parameter.copy_(own[plain])
    return twin


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a not in WITHOUT_A_TWIN])
def test_same_losses_for_twenty_steps_as_peft(architecture: str) -> None:
    run = Run("lora", architecture, variant="D", reference=True, **SIZES)
    run.switch_all()
    twin = peft_twin(architecture, run)
    named = [(n, p) for n, p in twin.named_parameters() if p.requires_grad]
    assert sum(p.numel() for _, p in named) == run.phases.trainable()
    assert any(not torch.equal(p, torch.zeros_like(p)) for n, p in named if ".lora_A." in n)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if not n.endswith("bias")], "weight_decay": 0.1},
            {"params": [p for n, p in named if n.endswith("bias")], "weight_decay": 0.0},
        ],
        lr=1e-2,
    )
    twin.train()
    losses = []
    for step in range(20):
        batch = make_batch(step % 3)
        ours = run.step(step % 3)
        theirs = twin(**batch).loss
        optimizer.zero_grad()
        theirs.backward()
        optimizer.step()
        losses.append((ours, float(theirs.detach())))
    for ours, other in losses:
        assert ours == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert losses[-1][0] < losses[0][0] - 0.05
    torch.testing.assert_close(run.logits(), evaluate(twin), rtol=1e-2, atol=1e-3)
