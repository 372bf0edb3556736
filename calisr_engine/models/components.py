"""The components of a model that is there."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import (
    ARCHITECTURES,
    Located,
    Places,
    architecture_of,
    is_complete,
    located,
    parse_places,
)
from calisr_engine.models.blocks import Blocks
from calisr_engine.models.component_names import SIX, Component
from calisr_engine.models.grouping import Grouping
from calisr_engine.models.mapping import Source, by_rule
from calisr_engine.task_kinds import kind_of_model

OWN_PLACES = "calisr_components"
"""Key of a model's config.json that holds `model.components`, so that exports keep it."""

HOW_TO_NAME = (
    "`calisr models NAME` shows what there is; write [model.components] with a line for each "
    'component, such as query = "encoder.layer.*.attention.self.query"'
)


@dataclass(frozen=True, eq=False)
class Target:
    """One target matrix: the weight of a linear layer of one of the components.

    Attributes:
        name: dotted module path in the model, as found before any method attached itself.
        component: which of the kinds.
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


def linear_shapes(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Name -> (out, in) of each linear layer."""
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }


def places_of(model: nn.Module) -> tuple[Places, Source]:
    """Where the components of `model` are, and who says so.

    Raises:
        ConfigError: nobody does; the message says what there is and how to name it.
    """
    kind = architecture_of(model)
    written = getattr(model.config, OWN_PLACES, None)
    if written is not None:
        try:
            return parse_places(str(written)), "settings"
        except ValueError as error:
            raise ConfigError(f"model.components: {error}", HOW_TO_NAME) from error
    if kind in ARCHITECTURES:
        return ARCHITECTURES[kind], "table"
    return by_rule(linear_shapes(model), kind), "rule"


def _located(model: nn.Module) -> list[Located]:
    """All targets, whether their matrices have been taken apart or not.

    Raises:
        ConfigError: as `find_targets`.
    """
    places, source = places_of(model)
    found = located(linear_shapes(model), places)
    if not is_complete(found, places):
        kind = architecture_of(model)
        layers = len({each.layer for each in found})
        each = "six" if tuple(places) == SIX else f"{len(places)}"
        raise ConfigError(
            f"model.{'components' if source == 'settings' else 'name'}: this {kind} model is not "
            f"built as expected: {len(found)} target matrices in {layers} layers, instead of "
            f"{each} in each{_lacking(found, places)}",
            HOW_TO_NAME
            if source == "settings"
            else "use a standard checkpoint of this architecture",
        )
    return found


def _lacking(found: list[Located], places: Places) -> str:
    """What the first layer that lacks something lacks, for a message."""
    for layer in sorted({each.layer for each in found}):
        have = {each.component for each in found if each.layer == layer}
        lacking = [f"{name} ({place})" for name, place in places.items() if name not in have]
        if lacking:
            return f"; layer {layer} has no {' and no '.join(lacking)}"
    return ""


def take_apart(model: nn.Module) -> None:
    """Give each component that is a block of rows a linear layer of its own (see `blocks.py`).

    Raises:
        ConfigError: as `find_targets`; or the rows do not divide, or the model does not use its
            matrix as a linear layer does.
    """
    places, source = places_of(model)
    modules = dict(model.named_modules())
    wanted: dict[str, dict[int, Component]] = {}
    for each in _located(model):
        if not each.whole:
            wanted.setdefault(each.name, {})[each.place.block] = each.component
    for name, blocks in wanted.items():
        linear = modules[name]
        assert isinstance(linear, nn.Linear)
        count = places[next(iter(blocks.values()))].blocks
        if sorted(blocks) != list(range(1, count + 1)) or linear.out_features % count:
            raise ConfigError(
                f"model.components: the {linear.out_features} rows of {name} are not all of equal "
                f"blocks with a component each ({', '.join(blocks.values())} of {count})",
                HOW_TO_NAME,
            )
        parent, _, last = name.rpartition(".")
        names = [blocks[number] for number in sorted(blocks)]
        setattr(model.get_submodule(parent), last, Blocks(linear, names))
    if wanted and source != "table":
        _try_out(model, next(iter(wanted)))


def _try_out(model: nn.Module, name: str) -> None:
    """One forward pass: some models read the rows of their matrices themselves."""
    was_training = model.training
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(input_ids=as_input(model, torch.tensor([[1, 2, 3]], device=device)))
    except Exception as error:
        raise ConfigError(
            f"model.components: the model uses {name} otherwise than as a linear layer, so it "
            f"cannot be taken apart ({str(error).strip()[:200]})",
            "no component can be a block of that matrix",
        ) from error
    finally:
        model.train(was_training)


def find_targets(model: nn.Module) -> list[Target]:
    """All targets of `model`, which `take_apart` has seen, layer by layer in the order of
    COMPONENTS.

    Raises:
        ConfigError: where the components are is not known, or the model is not built so.
    """
    modules = dict(model.named_modules())
    targets = []
    for one in _located(model):
        module = modules[one.name]
        assert isinstance(module, nn.Linear)
        assert one.whole, f"{one.name} has not been taken apart"
        targets.append(Target(one.name, one.component, one.layer, module))
    return targets


def groups(
    targets: list[Target], grouping: Grouping, covered: Collection[Component] | None = None
) -> dict[str, list[Target]]:
    """Targets of the `covered` components (None: all of them) by their group.

    Raises:
        ConfigError: the groups of the settings do not fit the model, as `Grouping.divide` says.
    """
    cells = [(target.layer, target.component) for target in targets]
    covered = {component for _, component in cells} if covered is None else covered
    divided = grouping.divide(cells, covered)
    return {name: [targets[n] for n in members] for name, members in divided.items()}


def word_embeddings(model: nn.Module) -> Target:
    """The table of word embeddings, shape (vocabulary, hidden), as a target of no layer."""
    table = model.get_input_embeddings()  # type: ignore[operator]
    name = next(name for name, module in model.named_modules() if module is table)
    return Target(name, "query", -1, table)


def embedding_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Weights of all embedding tables (word, position, token type, relative position)."""
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    return [p for table in tables for p in table.parameters()]


def as_input(model: nn.Module, tokens: Tensor) -> Tensor:
    """What the model takes for rows of tokens, (rows, tokens): themselves, or a choice of one
    alternative each, (rows, 1, tokens)."""
    return tokens.unsqueeze(1) if kind_of_model(model).chooses else tokens


def few_tokens(model: nn.Module, padding_side: str = "right") -> dict[str, Tensor]:
    """A batch to try a model with: two rows of a few tokens, the second padded."""
    known: Any = model
    rows = int(known.get_input_embeddings().weight.shape[0])
    pad = getattr(known.config, "pad_token_id", None) or 0
    ids = (torch.arange(14) * 7 + 5).remainder(rows).view(2, 7)
    ids[ids == pad] = (pad + 1) % rows
    mask = torch.ones_like(ids)
    padding = slice(4, None) if padding_side == "right" else slice(3)
    ids[1, padding], mask[1, padding] = pad, 0
    return {"input_ids": as_input(model, ids), "attention_mask": as_input(model, mask)}


HEAD_MODULES = ("classifier", "pre_classifier", "sequence_summary", "dense", "score")
"""Modules that make up the classification head, in every architecture."""

POOLERS = ("pooler", "head")
"""Modules between encoder and head that pretraining has filled, as a rule."""


def check_head(model: nn.Module) -> None:
    """Refuse a model whose head is made of modules that are not known as such.

    Raises:
        ConfigError: what is drawn and what is read would not be told apart.
    """
    known = {*HEAD_MODULES, *POOLERS, str(getattr(model, "base_model_prefix", ""))}
    if not hasattr(model, "classifier"):
        known.discard("sequence_summary")  # which is all of the head then, and more than a layer
    other = [
        name
        for name, module in model.named_children()
        if name not in known and any(True for _ in module.parameters())
    ]
    if other:
        kind = architecture_of(model)
        raise ConfigError(
            f"model.name: the classification head of the architecture {kind!r} has a part that is "
            f"not known: {', '.join(other)}",
            f"heads are made of {', '.join(HEAD_MODULES)}; use another encoder",
        )


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


_NORM = re.compile(r"(^|[._])layer_?norm|norm\w*\.[^.]+$", re.IGNORECASE)


def is_no_decay(name: str) -> bool:
    """Whether a parameter of this name takes no weight decay: biases and norms."""
    return name.endswith("bias") or bool(_NORM.search(name))
