"""Models of the catalogue at their full size, with random weights."""

from __future__ import annotations

import transformers
from torch import nn

from calisr_engine.models.catalog import ModelEntry


def from_entry(entry: ModelEntry, labels: int = 2) -> nn.Module:
    """The sequence classifier of that entry; on the meta device it costs nothing."""
    config = transformers.CONFIG_MAPPING[entry.model_type](
        hidden_size=entry.hidden,
        num_hidden_layers=entry.layers,
        num_attention_heads=entry.heads,
        intermediate_size=entry.intermediate,
        vocab_size=entry.vocabulary,
        max_position_embeddings=entry.positions,
        type_vocab_size=entry.types,
        num_labels=labels,
    )
    return transformers.AutoModelForSequenceClassification.from_config(config)
