"""Attention with trained key and value positions in front, as transformers calls it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from calisr_engine.models.attention import sdpa_mask

IMPLEMENTATION = "calisr_prefix"
"""Name under which transformers knows this attention."""

KEY, VALUE = "calisr_prefix_key", "calisr_prefix_value"
"""Names of the prefixes on a self-attention module, each of shape (length, heads * head size): its
parameters, or what a projection has computed for this forward pass."""


def heads_of(prefix: Tensor, rows: int, heads: int) -> Tensor:
    """(length, heads * size) -> (rows, heads, length, size)."""
    length = prefix.shape[0]
    split = prefix.view(length, heads, -1).transpose(0, 1)
    return split.unsqueeze(0).expand(rows, -1, -1, -1)


def widen_mask(mask: Tensor | None, length: int) -> Tensor | None:
    """Let every position see the `length` prefix positions in front.

    `mask` has the keys last: bool (true is seen) or additive float; None lets all see all.
    """
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        return functional.pad(mask, (length, 0), value=True)
    return functional.pad(mask, (length, 0), value=0.0)


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention with the module's prefixes before its keys and values.

    `query`, `key` and `value` are (rows, heads, positions, size). The prefix has no position
    numbers and no dropout of its own; queries are not lengthened.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    prefix_key = getattr(module, KEY).to(key.dtype)
    prefix_value = getattr(module, VALUE).to(value.dtype)
    rows, heads = key.shape[:2]
    key = torch.cat([heads_of(prefix_key, rows, heads), key], dim=2)
    value = torch.cat([heads_of(prefix_value, rows, heads), value], dim=2)
    mask = widen_mask(attention_mask, prefix_key.shape[0])
    return sdpa_attention_forward(module, query, key, value, mask, **options)


def install(model: nn.Module) -> None:
    """Make every attention of `model` the one above."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(IMPLEMENTATION, prefix_attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
    model.set_attn_implementation(IMPLEMENTATION)  # type: ignore[operator]
