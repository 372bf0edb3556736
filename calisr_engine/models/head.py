"""The classification head: drawn from the seed, or kept from the checkpoint by the classes' names.

A checkpoint that was fine-tuned before has a head for its own classes. That these are as many as
those of a run says nothing about what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.weights import is_head, listed
from calisr_engine.task_kinds import KINDS, TaskKind

FRESH = 'set model.head = "fresh" for a new one, drawn from the seed'


def has_head(weights: Mapping[str, Tensor]) -> bool:
    """Whether the file holds any part of a head."""
    return any(is_head(name) for name in weights)


def without_head(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights but those of the head."""
    return {name: tensor for name, tensor in weights.items() if not is_head(name)}


def unused(name: str, config: Mapping[str, Any]) -> list[str]:
    """The note that the head of the file is not used.

    Args:
        config: the content of the checkpoint's config.json.
    """
    classes = class_names(config)
    of = f" (for {listed(classes)})" if classes else ""
    return [
        f"{name} was fine-tuned before; its head is not kept{of}, a new one is drawn from the seed "
        '(model.head = "by_name" keeps one of the same classes)'
    ]


def class_order(
    name: str,
    config: Mapping[str, Any],
    label_names: Sequence[str] | None,
    task: TaskKind = KINDS["classification"],
) -> list[int]:
    """For each class of the run, its number in the checkpoint; [0] for a regression or a choice.

    Raises:
        ConfigError: the checkpoint's head is not for these classes.
    """
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    if not any(kind.endswith(task.architecture) for kind in kinds):
        whole = "words" if task.per_word else "alternatives" if task.chooses else "whole texts"
        raise ConfigError(
            f"model.head: {name} has no head for {whole} (config.json: architectures = "
            f"{listed(kinds) or 'none'})",
            FRESH,
        )
    own = class_names(config)
    if task.chooses:  # one score for any alternative
        return [0]
    if not label_names:
        if len(own) != 1:
            raise ConfigError(
                f"model.head: the head of {name} is for {len(own)} classes ({listed(own)}), the "
                "task asks for one number",
                FRESH,
            )
        return [0]
    wanted = list(label_names)
    if sorted(own) != sorted(wanted):
        raise ConfigError(
            f"model.head: the classes of {name} are {listed(own, 10)}; the task has "
            f"{listed(wanted, 10)}",
            "the names must be the same, in any order (id2label in the checkpoint's config.json); "
            f"else {FRESH}",
        )
    return [own.index(each) for each in wanted]


def keep_head(model: nn.Module, weights: Mapping[str, Tensor], order: Sequence[int]) -> list[str]:
    """Put the rows of the output layer, filled from the file, in the order of the run's classes.

    Args:
        weights: what the file holds.

    Raises:
        ConfigError: the file does not hold all of the head in its shape.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if is_head(name)}
    gaps = [n for n, tensor in own.items() if n not in weights or weights[n].shape != tensor.shape]
    if gaps:
        raise ConfigError(
            f"model.head: the file does not hold the head of its config.json: {listed(gaps)}", FRESH
        )
    output = [
        module
        for name, module in model.named_modules()
        if is_head(name) and isinstance(module, nn.Linear)
    ][-1]
    rows = list(order)
    with torch.no_grad():
        output.weight.copy_(output.weight[rows].clone())
        if output.bias is not None:
            output.bias.copy_(output.bias[rows].clone())
    return ["the head of the checkpoint goes on, its classes matched by name"]


def class_names(config: Mapping[str, Any]) -> list[str]:
    """The classes that a config.json names, by number; LABEL_0 and so on where it counts only."""
    named = config.get("id2label")
    if isinstance(named, Mapping):
        try:
            return [str(named[key]) for key in sorted(named, key=int)]
        except ValueError:
            return []
    count = config.get("num_labels", 2)
    return [f"LABEL_{i}" for i in range(count)] if isinstance(count, int) else []
