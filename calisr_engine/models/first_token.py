"""The last layer for the first token alone, where the head reads nothing else of it.

    full:         every token asks, is asked and passes the feed-forward layer
    first_token:  every token is asked (keys and values); the first alone asks, and it alone passes

BERT and its kin classify by the last layer's output at the first position, so the rest of that
output has no gradient either: the same function and the same gradients, but for the order in which
sums are rounded. With dropout the last layer draws fewer numbers, so that it and all draws after it
are others. A layer keeps its modules and their names; only how it is called changes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import architecture_of
from calisr_engine.models.components import few_tokens
from calisr_engine.task_kinds import KINDS, TaskKind

KEY = "training.last_layer"

_TOLERANCE = 1e-4
"""Largest difference of outputs, relative to the largest, that is put down to rounding."""


def compute_first_token_only(model: nn.Module) -> None:
    """From now on the last layer of `model`, on the CPU, is computed so.

    Raises:
        ConfigError: the head reads more than the first token, or the architecture is not known.
    """
    check(model)
    kind, layer = architecture_of(model), _last_layer(model)
    whole = _outputs(model)
    layer.forward = MethodType(_FORMS[kind], layer)
    for before, now in zip(whole, _outputs(model), strict=True):
        if float((now - before).abs().max()) > _TOLERANCE * float(before.abs().max()):
            raise _refused(f"this {kind!r} model gives other outputs so")


def check(model: nn.Module) -> None:
    """Refuse a model that `compute_first_token_only` cannot be used with; it may have no weights.

    Raises:
        ConfigError: as there.
    """
    kind = architecture_of(model)
    if any(each.per_word and _opens(each, model) for each in KINDS.values()):
        raise ConfigError(
            f"{KEY}: this model tags each word, so its head reads every token",
            f'set {KEY} = "full"',
        )
    if kind in _FORMS:
        return
    why = f"calisr has no such form of a last layer of the architecture {kind!r}"
    if not next(model.parameters()).is_meta and not _reads_first_token_only(model):
        why = f"the head of this {kind!r} model reads more tokens than the first"
    raise _refused(why)


def _opens(kind: TaskKind, model: nn.Module) -> bool:
    return type(model).__name__.endswith(kind.architecture)


def _refused(why: str) -> ConfigError:
    return ConfigError(
        f"{KEY}: {why}",
        f'set {KEY} = "full"; "first_token" works with {", ".join(sorted(_FORMS))}',
    )


def _last_layer(model: nn.Module) -> nn.Module:
    encoder: Any = getattr(model, str(model.base_model_prefix))
    stack = encoder.transformer if architecture_of(model) == "distilbert" else encoder.encoder
    last: nn.Module = stack.layer[-1]
    return last


def _outputs(model: nn.Module) -> tuple[Tensor, Tensor]:
    """The head's outputs, and the encoder's at the first position, of these tokens."""
    with torch.no_grad():
        logits, states = _pass(model)
    return logits, states[:, 0]


def _reads_first_token_only(model: nn.Module) -> bool:
    """Whether the outputs depend on the encoder's output at the first position alone."""
    logits, states = _pass(model)
    (slope,) = torch.autograd.grad(logits.sum(), states, allow_unused=True)
    return slope is not None and not bool(slope[:, 1:].any())


def _pass(model: nn.Module) -> tuple[Tensor, Tensor]:
    seen: list[Tensor] = []
    encoder: nn.Module = getattr(model, str(model.base_model_prefix))
    handle = encoder.register_forward_hook(lambda *call: seen.append(call[2][0]))
    was_training = model.training
    try:
        logits: Tensor = model.eval()(**few_tokens(model)).logits
    finally:
        handle.remove()
        model.train(was_training)
    return logits, seen[0]


# How layers are called: as transformers' own `forward` of each, for one query a row ---------------


def _bert(
    layer: Any,
    hidden: Tensor,
    attention_mask: Tensor | None = None,
    encoder_hidden_states: Tensor | None = None,
    encoder_attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    **options: Any,
) -> Tensor:
    own = layer.attention.self
    query, key, value = _projected(hidden, own.query, own.key, own.value, own.attention_head_size)
    seen = _attended(own, query, key, value, attention_mask, options)
    output: Tensor = layer.feed_forward_chunk(layer.attention.output(seen, hidden[:, :1]))
    return output


def _distilbert(
    layer: Any, hidden: Tensor, attention_mask: Tensor | None = None, **options: Any
) -> Tensor:
    own = layer.attention
    query, key, value = _projected(hidden, own.q_lin, own.k_lin, own.v_lin, own.attention_head_size)
    seen = own.out_lin(_attended(own, query, key, value, attention_mask, options))
    seen = layer.sa_layer_norm(seen + hidden[:, :1])
    output: Tensor = layer.output_layer_norm(layer.ffn(seen) + seen)
    return output


def _mpnet(
    layer: Any,
    hidden: Tensor,
    attention_mask: Tensor | None = None,
    position_bias: Tensor | None = None,
    output_attentions: bool = False,
    **options: Any,
) -> tuple[Tensor]:
    own = layer.attention.attn
    query, key, value = _projected(hidden, own.q, own.k, own.v, own.attention_head_size)
    scores = query @ key.transpose(-1, -2) / math.sqrt(own.attention_head_size)
    for added in (position_bias, attention_mask):
        if added is not None:
            scores = scores + added[:, :, :1]
    seen = own.dropout(scores.softmax(dim=-1)) @ value
    seen = own.o(seen.transpose(1, 2).reshape(hidden.shape[0], 1, -1))
    seen = layer.attention.LayerNorm(layer.attention.dropout(seen) + hidden[:, :1])
    return (layer.output(layer.intermediate(seen), seen),)


def _projected(
    hidden: Tensor, query: nn.Module, key: nn.Module, value: nn.Module, size: int
) -> list[Tensor]:
    """(rows, heads, tokens, size) each; the query of the first token only."""
    return [
        linear(states).view(hidden.shape[0], states.shape[1], -1, size).transpose(1, 2)
        for linear, states in ((query, hidden[:, :1]), (key, hidden), (value, hidden))
    ]


def _attended(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    options: dict[str, Any],
) -> Tensor:
    """What the model's own attention makes of one query a row, shape (rows, 1, hidden)."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    eager = sys.modules[type(module).__module__].eager_attention_forward
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(module.config._attn_implementation, eager)
    if mask is not None and mask.dim() == 4:
        mask = mask[:, :, :1]
    dropout = module.dropout.p if module.training else 0.0
    output, _ = attend(
        module, query, key, value, mask, dropout=dropout, scaling=module.scaling, **options
    )
    seen: Tensor = output.reshape(query.shape[0], 1, -1)
    return seen


_FORMS: dict[str, Callable[..., Any]] = {
    "bert": _bert,
    "camembert": _bert,
    "distilbert": _distilbert,
    "electra": _bert,
    "mpnet": _mpnet,
    "roberta": _bert,
    "xlm-roberta": _bert,
}
