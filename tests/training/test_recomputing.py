"""Activations that are computed again give the bits of those that were kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import MPNetConfig, MPNetForSequenceClassification
from transformers.models.bert.modeling_bert import BertLayer

from calisr_engine.errors import ConfigError
from calisr_engine.process.execute import execute
from calisr_engine.training.model import _compute_again
from tests.training.golden import digest, newest_checkpoint
from tests.training.tiny_run import events, make_run


@pytest.mark.parametrize("method", ["lora", "prefix", "mpop"])
def test_a_run_ends_with_the_same_bits(
    method: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout is drawn again as it was, and so is each sample."""
    passes: list[int] = []
    forward = BertLayer.feed_forward_chunk

    def counted(self: BertLayer, *args: torch.Tensor) -> torch.Tensor:
        passes[-1] += torch.is_grad_enabled()
        return forward(self, *args)

    monkeypatch.setattr(BertLayer, "feed_forward_chunk", counted)
    calibrated = () if method == "prefix" else ("calibration.variant=S", "calibration.delta=0")
    found = []
    for again in ("false", "true"):
        passes.append(0)
        sets = (f"training.activation_checkpointing={again}", "training.max_steps=8", *calibrated)
        run = make_run(model, tmp_path, f"again-{again}", f"method.name={method}", *sets)
        assert execute(run, raise_errors=True) == 0
        samples = [each["groups"] for each in events(run, "stable_rank_sampled")]
        found.append((digest(newest_checkpoint(run) / "model.safetensors"), samples))
    assert found[0] == found[1]
    assert passes[1] == 2 * passes[0] > 0


def test_an_architecture_without_it_is_refused() -> None:
    small = MPNetConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(ConfigError, match=r"activation_checkpointing.*mpnet"):
        _compute_again(MPNetForSequenceClassification(small))
