"""The layers over the real tokens of a batch alone, one text behind the other, without padding.

    embeddings and head    (rows, width, hidden)             padded
    layers                 (1, real tokens, hidden)          packed: linear, LayerNorm, dropout
    attention inside       (rows, heads, width, head size)   padded, so that no text sees another

Outputs at real tokens and all gradients are those of padded rows but for rounding, since nothing
but attention looks from one token at another; at padding the head finds zeros. With dropout other
numbers are drawn. A batch says where its real tokens are (`real_tokens`); one that does not, as in
an evaluation, is computed padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import architecture_of
from calisr_engine.models.attention import use_attention
from calisr_engine.models.components import few_tokens

KEY = "training.packing"

PLACES = "real_tokens"
"""Name in a batch of the flat places of its real tokens in (rows * width), int64."""

IMPLEMENTATION = "calisr_packed"
"""Name under which transformers knows this attention."""

_TOLERANCE = 1e-4
"""Largest difference of outputs, relative to the largest, that is put down to rounding."""


def real_tokens(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What to add to a batch on the CPU for its layers to be packed; nothing where none pads."""
    mask = batch.get("attention_mask")
    if mask is None or bool(mask.all()):
        return {}
    return {PLACES: mask.flatten().nonzero().flatten()}


def pack_layers(model: nn.Module, padding_side: str = "right") -> None:
    """From now on `model`, on the CPU, takes batches with `real_tokens`.

    Args:
        padding_side: of its tokenizer.

    Raises:
        ConfigError: its attention does not support it, or its outputs would be others.
    """
    layers = _layers(model)
    tokens = few_tokens(model, padding_side)
    before = _outputs(model, tokens)
    use_attention(model, IMPLEMENTATION, attention)
    packing = _Packing(len(layers))
    model.register_forward_pre_hook(packing.begin, with_kwargs=True)
    for layer in layers:
        layer.register_forward_pre_hook(packing.enter, with_kwargs=True)
        layer.register_forward_hook(packing.leave)
    now, mask = _outputs(model, tokens | real_tokens(tokens)), tokens["attention_mask"]
    if now.shape[:2] == mask.shape and before.dim() == 3:  # a tag of each token
        before, now = before[mask == 1], now[mask == 1]
    if packing.calls != len(layers):
        raise _not_once(architecture_of(model))
    if float((now - before).abs().max()) > _TOLERANCE * float(before.abs().max()):
        raise _refused(f"this {architecture_of(model)!r} model gives other outputs so")


def check(model: nn.Module) -> None:
    """Refuse a model that `pack_layers` cannot be used with; it may have no weights.

    Raises:
        ConfigError: as there.
    """
    _layers(model)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packing: _Packing | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention of texts that stand one behind the other.

    `query`, `key` and `value` are (1, heads, real tokens, size), the output is (1, real tokens,
    heads, size); without `packing` all are as transformers has them.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if packing is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    query, key, value = (
        packing.padded(each.transpose(1, 2)).transpose(1, 2) for each in (query, key, value)
    )
    seen, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return packing.packed(seen), None


class _Packing:
    """What the layers of one model share during a forward pass.

    Args:
        layers: how many there are.

    Attributes:
        calls: of layers so far.
    """

    def __init__(self, layers: int) -> None:
        self._count = layers
        self.calls = 0
        self._places: Tensor | None = None
        self._rows = self._width = 0
        self._rotations: dict[int, tuple[Any, tuple[Tensor, ...]]] = {}
        """Those that the model hands to its layers in this pass, by identity, and packed."""

    def begin(
        self, model: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before the model: take `real_tokens` from what it is given."""
        self._places = named.get(PLACES)
        self.calls = 0
        self._rotations.clear()
        return args, {name: value for name, value in named.items() if name != PLACES}

    def enter(
        self, layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Before each layer: pack what comes from the embeddings, and rotations of positions."""
        if self._places is None:
            return None
        self.calls += 1
        hidden = args[0] if args else named["hidden_states"]
        if self.calls == 1:
            self._rows, self._width = hidden.shape[:2]
            hidden = self.packed(hidden)
        rotations = named.get("position_embeddings")
        if rotations is not None:
            if id(rotations) not in self._rotations:
                each = (one.expand(self._rows, -1, -1) for one in rotations)
                self._rotations[id(rotations)] = rotations, tuple(map(self.packed, each))
            named = named | {"position_embeddings": self._rotations[id(rotations)][1]}
        if "hidden_states" in named:
            named = named | {"hidden_states": hidden}
        return (hidden, *args[1:]) if args else args, named | {"packing": self}

    def leave(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """After the last layer: pad again."""
        if self._places is None or self.calls < self._count:
            return None
        if isinstance(output, tuple):
            return (self.padded(output[0]), *output[1:])
        return self.padded(output)

    def packed(self, padded: Tensor) -> Tensor:
        """(rows, width, ...) -> (1, real tokens, ...)."""
        assert self._places is not None
        return padded.flatten(0, 1).index_select(0, self._places).unsqueeze(0)

    def padded(self, packed: Tensor) -> Tensor:
        """(1, real tokens, ...) -> (rows, width, ...), zero elsewhere."""
        assert self._places is not None
        empty = packed.new_zeros(self._rows * self._width, *packed.shape[2:])
        filled = empty.index_copy(0, self._places, packed[0])
        return filled.view(self._rows, self._width, *packed.shape[2:])


def _layers(model: nn.Module) -> list[nn.Module]:
    """The layers of the encoder, in the order in which each is called once.

    Raises:
        ConfigError: they cannot be packed.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    kind, known = architecture_of(model), cast(Any, model)
    if not known._can_set_attn_implementation():
        raise _refused(f"{kind!r} models of transformers have an attention of their own")
    config = known.config
    if config._attn_implementation not in ("sdpa", IMPLEMENTATION):
        raise _refused(f"{kind!r} models cannot use torch's own attention")
    kind_of_layer = GradientCheckpointingLayer
    found: list[nn.Module] = [each for each in model.modules() if isinstance(each, kind_of_layer)]
    if len(found) != config.num_hidden_layers:
        raise _not_once(kind)
    return found


def _not_once(kind: str) -> ConfigError:
    return _refused(f"the layers of {kind!r} models are not called once each")


def _refused(why: str) -> ConfigError:
    return ConfigError(f"{KEY}: {why}", f"set {KEY} = false")


def _outputs(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    was_training = model.training
    with torch.no_grad():
        logits: Tensor = model.eval()(**batch).logits
    model.train(was_training)
    return logits
