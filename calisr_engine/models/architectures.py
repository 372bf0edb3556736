"""Where the components are in each architecture that is known by name. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from calisr_engine.models.component_names import COMPONENTS, SIX, Component

_WRITTEN = re.compile(r"(?P<name>[\w*]+(?:\.[\w*]+)*)(?:\[(?P<block>\d+)/(?P<blocks>\d+)\])?")


def architecture_of(model: Any) -> str:
    """transformers' `model_type` of a model."""
    return str(getattr(model.config, "model_type", "unknown"))


@dataclass(frozen=True)
class Place:
    """Where one component is, written as `layers.*.attn.Wqkv[2/3]`.

    Attributes:
        name: of the linear layer, with `*` for numbers, the first of which is that of the encoder
            layer; the model's own first part ("bert.") may be left out.
        block, blocks: which of how many equal blocks of the matrix's rows, from 1.
    """

    name: str
    block: int = 1
    blocks: int = 1

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that is written so.

        Raises:
            ValueError: it is none; the message says why.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text.strip()[:80]!r} is no name of a module")
        block, blocks = int(found["block"] or 1), int(found["blocks"] or 1)
        if "*" not in found["name"].split("."):
            raise ValueError(f"{text.strip()[:80]!r} has no * in the place of the layer's number")
        if not 1 <= block <= blocks:
            raise ValueError(f"{text.strip()[:80]!r} asks for block {block} of {blocks}")
        return cls(found["name"], block, blocks)

    def __str__(self) -> str:
        return self.name if self.blocks == 1 else f"{self.name}[{self.block}/{self.blocks}]"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        numbered = re.escape(self.name).replace(r"\*", r"(\d+)")
        return re.compile(rf"(?:[^.]+\.)?{numbered}")

    def layer_of(self, module: str) -> int | None:
        """Number of the encoder layer in the name of this linear layer; None for another one."""
        found = self._pattern.fullmatch(module)
        return int(found[1]) if found else None


Places = Mapping[Component, Place]
"""Component -> where it is, for one architecture."""


@dataclass(frozen=True)
class Located:
    """One target among the names of a model's linear layers.

    Attributes:
        name: of the linear layer.
        place: where it was looked for; its block is that of a linear layer that is still whole.
        whole: whether the linear layer is the target, rather than the place's block of it.
    """

    layer: int
    component: Component
    name: str
    place: Place
    whole: bool


def located(names: Iterable[str], places: Places) -> list[Located]:
    """All targets, layer by layer in the order of COMPONENTS.

    A linear layer that has been taken apart (`blocks.py`) has blocks with the components' names.
    """
    found = []
    for name in names:
        parent, _, last = name.rpartition(".")
        for component, place in places.items():
            layer, whole = place.layer_of(name), place.blocks == 1
            if layer is None and not whole and last == component:
                layer, whole = place.layer_of(parent), True
            if layer is not None:
                found.append(Located(layer, component, name, place, whole))
    found.sort(key=lambda each: (each.layer, COMPONENTS.index(each.component)))
    return found


def is_complete(found: Iterable[Located], places: Places) -> bool:
    """Whether each layer has each component once, and there is a layer."""
    have = [(each.layer, each.component) for each in found]
    layers = {layer for layer, _ in have}
    return bool(have) and sorted(have) == sorted((n, c) for n in layers for c in places)


def parse_places(text: str) -> dict[Component, Place]:
    """Places written as `query: layers.*.attn.q, key: ...`, in any order.

    Raises:
        ValueError: it is not written so, or one of the six is missing; the message says why.
    """
    found: dict[Component, Place] = {}
    for part in filter(str.strip, text.split(",")):
        name, colon, written = part.partition(":")
        component = next((each for each in COMPONENTS if each == name.strip()), None)
        if not colon or component is None:
            raise ValueError(
                f"{part.strip()[:80]!r} names none of the components {', '.join(COMPONENTS)}"
            )
        if component in found:
            raise ValueError(f"{component} is there twice")
        found[component] = Place.parse(written)
    missing = [each for each in SIX if each not in found]
    if missing:
        raise ValueError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    taken = [str(place) for place in found.values()]
    twice = next((each for each in taken if taken.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} stands for two components")
    return {component: found[component] for component in COMPONENTS if component in found}


def write_places(places: Places) -> str:
    """What `parse_places` reads."""
    return ", ".join(f"{component}: {place}" for component, place in places.items())


def _layer(prefix: str, **names: str) -> Places:
    return {name: Place.parse(f"{prefix}.{names[name]}") for name in COMPONENTS if name in names}


_BERT = _layer(
    "encoder.layer.*",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    intermediate="intermediate.dense",
    output="output.dense",
)
_DISTILBERT = _layer(
    "transformer.layer.*",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    intermediate="ffn.lin1",
    output="ffn.lin2",
)
_DEBERTA_V2 = {
    **_BERT,
    **_layer(
        "encoder.layer.*.attention.self", query="query_proj", key="key_proj", value="value_proj"
    ),
}
_MPNET = {
    **_BERT,
    **_layer("encoder.layer.*.attention.attn", query="q", key="k", value="v", attention_output="o"),
}
_ALBERT = _layer(
    "encoder.albert_layer_groups.*.albert_layers.*",
    query="attention.query",
    key="attention.key",
    value="attention.value",
    attention_output="attention.dense",
    intermediate="ffn",
    output="ffn_output",
)
_MODERNBERT = _layer(
    "layers.*",
    query="attn.Wqkv[1/3]",
    key="attn.Wqkv[2/3]",
    value="attn.Wqkv[3/3]",
    attention_output="attn.Wo",
    intermediate="mlp.Wi[1/2]",
    gate="mlp.Wi[2/2]",
    output="mlp.Wo",
)
_EUROBERT = _layer(
    "layers.*",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.o_proj",
    intermediate="mlp.up_proj",
    gate="mlp.gate_proj",
    output="mlp.down_proj",
)

ARCHITECTURES: dict[str, Places] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "big_bird": _BERT,
    "longformer": _BERT,
    "distilbert": _DISTILBERT,
    "deberta-v2": _DEBERTA_V2,
    "mpnet": _MPNET,
    "albert": _ALBERT,
    "modernbert": _MODERNBERT,
    "eurobert": _EUROBERT,
    "nomic_bert": _EUROBERT,
    "gte": _EUROBERT,
    "llama": _EUROBERT,
    "mistral": _EUROBERT,
    "qwen2": _EUROBERT,
    "qwen3": _EUROBERT,
    "gemma": _EUROBERT,
    "gemma2": _EUROBERT,
    "gemma3_text": _EUROBERT,
    "smollm3": _EUROBERT,
}
"""transformers' `model_type` -> component -> its place. Others go by rule (`mapping.py`)."""

GATED = frozenset(kind for kind, places in ARCHITECTURES.items() if "gate" in places)

DECODERS = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3"}
)
"""Architectures in which a token sees only those before it: the last one of a text is read."""

SHARED_LAYERS = frozenset({"albert"})
"""Architectures whose layers share one set of weights: their targets stand for all layers."""
