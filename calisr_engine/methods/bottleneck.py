"""Small residual layers behind the two outputs of an encoder layer, for methods that add such.

h + up(act(down(h))) on the output of the attention's output matrix and on that of the feed-forward
output matrix, each before the residual sum and LayerNorm. What `down` and `up` are is the method's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from calisr_engine.methods.base import (
    ArchitectureAttachment,
    AttachContext,
    Attachment,
)
from calisr_engine.methods.bottleneck_settings import BottleneckBase
from calisr_engine.models.components import Target

CHILD = "calisr_adapter"
"""Name of the bottleneck below the linear layer whose output it changes."""


class Residual(nn.Module):
    """h + up(gelu(down(h))) on the last dimension."""

    def __init__(
        self, down: nn.Module, up: nn.Module, approximate: Literal["none", "tanh"] = "none"
    ) -> None:
        super().__init__()
        self.down, self.up, self.approximate = down, up, approximate

    def forward(self, hidden: Tensor) -> Tensor:
        inner = functional.gelu(self.down(hidden), approximate=self.approximate)
        result: Tensor = hidden + self.up(inner)
        return result


def apply_bottleneck(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    """Forward hook; a plain function of the module, so that copies of a model use their own."""
    return module.get_submodule(CHILD)(output)


def attach_bottlenecks(
    model: nn.Module,
    targets: list[Target],
    settings: BottleneckBase,
    context: AttachContext,
    make: Callable[[int, torch.Generator], nn.Module],
    shared: nn.Module | None = None,
) -> Attachment:
    """Put what `make` gives behind each target of `settings.places`; others are left alone.

    Args:
        make: width and a generator -> the layer, on the CPU.
        shared: what the layers have together, which is on the model already.
    """
    added = set() if shared is None else set(shared.parameters())
    for target in (each for each in targets if each.component in settings.places):
        layer = make(
            target.module.out_features, context.generator(f"{settings.name}/{target.name}")
        ).to(target.weight.device)
        target.module.add_module(CHILD, layer)
        target.module.register_forward_hook(apply_bottleneck)
        added |= set(layer.parameters())
    attachment = ArchitectureAttachment.adding(model, added, context)
    if settings.reference:
        attachment.keep_at_last(added | layer_norm_parameters(model))
    return attachment


def layer_norm_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Scales and shifts of every LayerNorm."""
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    return {parameter for norm in norms for parameter in norm.parameters()}
