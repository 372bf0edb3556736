"""The six components of a model that is there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import ARCHITECTURES
from calisr_engine.models.component_names import COMPONENTS, GROUPS, Component


@dataclass(frozen=True, eq=False)
class Target:
    """One target matrix: the weight of a linear layer of one of the six components.

    Attributes:
        name: dotted module path in the model, as found before any method attached itself.
        component: which of the six kinds.
        layer: number of the encoder layer, from 0.
        module: the linear layer (or table of word embeddings) itself; a method may wrap it, it
            stays the same object.
    """

    name: str
    component: Component
    layer: int
    module: nn.Linear

    @property
    def weight(self) -> nn.Parameter:
        """The matrix, shape (out, in)."""
        weight = self.module.weight
        assert isinstance(weight, nn.Parameter)
        return weight


def find_targets(model: nn.Module) -> list[Target]:
    """All targets of `model`, layer by layer, in the order of COMPONENTS.

    Raises:
        ConfigError: the architecture is not supported, or not built as expected.
    """
    kind = str(getattr(model.config, "model_type", "unknown"))
    if kind not in ARCHITECTURES:
        raise ConfigError(
            f"model.name: the architecture {kind!r} is not supported",
            f"supported: {', '.join(sorted(ARCHITECTURES))}",
        )
    patterns = {c: re.compile("^[^.]*" + p + "$") for c, p in ARCHITECTURES[kind].items()}
    found: list[Target] = []
    for name, module in model.named_modules():
        for component in COMPONENTS:
            match = patterns[component].match(name)
            if match and isinstance(module, nn.Linear):
                found.append(Target(name, component, int(match[1]), module))
    found.sort(key=lambda target: (target.layer, COMPONENTS.index(target.component)))
    layers = len({target.layer for target in found})
    if layers == 0 or len(found) != layers * len(COMPONENTS):
        raise ConfigError(
            f"model.name: this {kind} model is not built as expected: {len(found)} target matrices "
            f"in {layers} layers, instead of six in each",
            "use a standard checkpoint of this architecture",
        )
    return found


def groups(targets: list[Target], variant: str) -> dict[str, list[Target]]:
    """Targets by the group that shares one counter and one switch; empty groups are left out."""
    result = {
        name: [t for t in targets if t.component in components]
        for name, components in GROUPS[variant].items()
    }
    return {name: members for name, members in result.items() if members}


def word_embeddings(model: nn.Module) -> Target:
    """The table of word embeddings, shape (vocabulary, hidden), as a target of no layer."""
    table = model.get_input_embeddings()  # type: ignore[operator]
    name = next(name for name, module in model.named_modules() if module is table)
    return Target(name, "query", -1, table)


def embedding_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Weights of all embedding tables (word, position, token type, relative position)."""
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    return [p for table in tables for p in table.parameters()]


HEAD_MODULES = ("classifier", "pre_classifier")
"""Modules that make up the classification head, in every architecture."""


def head_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of the classification head, as transformers defines it for the architecture."""
    heads = [module for name, module in model.named_children() if name in HEAD_MODULES]
    return [parameter for head in heads for parameter in head.parameters()]


def start_regression_at(model: nn.Module, value: float) -> None:
    """Start the bias of the one-number output at `value`; nothing else changes.

    Labels far from zero otherwise cost the first epochs: a bias moves by about its learning rate a
    step, so the features are bent to make up the rest, and a method with few parameters does not
    find back.
    """
    outputs = [
        module
        for name, module in model.named_modules()
        if name.startswith("classifier")
        and isinstance(module, nn.Linear)
        and module.out_features == 1
    ]
    if len(outputs) == 1 and outputs[0].bias is not None:
        nn.init.constant_(outputs[0].bias, value)


def pooler_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of the pooler, where the architecture has one."""
    return [p for name, p in model.named_parameters() if "pooler." in name]


_NORM = re.compile(r"(^|[._])(layer_?norm)", re.IGNORECASE)


def is_no_decay(name: str) -> bool:
    """Whether a parameter of this name takes no weight decay: biases and LayerNorm."""
    return name.endswith("bias") or bool(_NORM.search(name))
