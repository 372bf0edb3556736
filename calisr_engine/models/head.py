"""The classification head that training starts with: fresh from the seed, or matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.checks import HEAD


def refresh_head(model: Any, seed: int) -> None:
    """Draw the head anew from `seed` alone, as the architecture draws one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in model.named_modules():
            if f"{name}.".startswith(HEAD) and not list(module.children()):
                for parameter in module.parameters():
                    parameter.__dict__.pop("_is_hf_initialized", None)
                module.__dict__.pop("_is_hf_initialized", None)
                model._init_weights(module)


def match_classes(
    model: nn.Module, there: Mapping[Any, str], wanted: Sequence[str], name: str
) -> None:
    """Put the head's outputs into the order of `wanted`.

    Args:
        there: the checkpoint's id2label.
        wanted: the task's class names by number.

    Raises:
        ConfigError: the checkpoint was trained on other classes.
    """
    names = [str(there[key]) for key in sorted(there, key=int)]
    if sorted(names) != sorted(wanted):
        raise ConfigError(
            f"model.head: the classes of {name} are {', '.join(names)}; the task has "
            f"{', '.join(wanted)}",
            'set model.head = "fresh" for a new head',
        )
    order = [names.index(each) for each in wanted]
    last = [m for n, m in model.named_modules() if f"{n}.".startswith(HEAD) and hasattr(m, "bias")]
    output: Any = last[-1]
    with torch.no_grad():
        output.weight.copy_(output.weight[order].clone())
        output.bias.copy_(output.bias[order].clone())
