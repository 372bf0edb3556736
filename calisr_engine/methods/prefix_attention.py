"""Attention with trained key and value positions in front, as transformers calls it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from calisr_engine.errors import ConfigError
from calisr_engine.methods.prefix_projection import CHILD, Projection, fill
from calisr_engine.models.architectures import architecture_of
from calisr_engine.models.attention import use_attention
from calisr_engine.models.components import Target

IMPLEMENTATION = "calisr_prefix"
"""Name under which transformers knows this attention."""

KEY, VALUE = "calisr_prefix_key", "calisr_prefix_value"
"""Names of the prefixes on a self-attention module, each of shape (length, heads * head size): its
parameters, or what a projection has computed for this forward pass."""


SCALE = "calisr_prefix_scale"
"""Name, on the same module, of what a gate has computed for this pass: (rows, 1, 1, 1). Without it
prefixes count in full."""

SUPPORTED = ("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
"""transformers' `model_type` of the architectures whose attention can be lengthened."""


def check_attention(model: nn.Module, title: str) -> None:
    """Refuse a model whose attention cannot be lengthened.

    Args:
        title: of the method, for the message.

    Raises:
        ConfigError: it is not one of SUPPORTED.
    """
    kind = architecture_of(model)
    if kind not in SUPPORTED:
        raise ConfigError(
            f"method.name: {title} cannot be used with the architecture {kind!r}, whose "
            "attention takes no further keys and values",
            f"architectures it works with: {', '.join(SUPPORTED)}; or choose another method",
        )


def add_prefixes(
    model: nn.Module,
    targets: Sequence[Target],
    length: int,
    projection: int | None,
    draws: Callable[[str], torch.Generator],
) -> set[nn.Parameter]:
    """Lengthen every attention by `length` positions; the parameters that were added.

    Args:
        targets: the key and value matrices.
        projection: hidden size of the MLP that makes the prefixes; None: parameters from N(0, 1).
        draws: name -> its generator.
    """
    use_attention(model, IMPLEMENTATION, prefix_attention)
    places = [
        (target.name.rpartition(".")[0], KEY if target.component == "key" else VALUE)
        for target in targets
    ]
    device, width = targets[0].weight.device, targets[0].module.out_features
    if projection is not None:
        made = Projection(length, width, projection, places, draws("projection")).to(device)
        model.add_module(CHILD, made)
        model.register_forward_pre_hook(fill, with_kwargs=True)
        return set(made.parameters())
    added = set()
    for target, (attention, name) in zip(targets, places, strict=True):
        drawn = torch.randn(length, width, generator=draws(target.name))
        parameter = nn.Parameter(drawn.to(device))
        model.get_submodule(attention).register_parameter(name, parameter)
        added.add(parameter)
    return added


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
    prefixes = [heads_of(each, rows, heads) for each in (prefix_key, prefix_value)]
    scale = getattr(module, SCALE, None)
    if scale is not None:
        prefixes = [each * scale.to(each.dtype) for each in prefixes]
    key = torch.cat([prefixes[0], key], dim=2)
    value = torch.cat([prefixes[1], value], dim=2)
    mask = widen_mask(attention_mask, prefix_key.shape[0])
    return sdpa_attention_forward(module, query, key, value, mask, **options)
