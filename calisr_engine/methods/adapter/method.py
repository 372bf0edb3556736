"""Adapters: two small bottleneck layers in each encoder layer (Houlsby et al., 2019).

What it trains: h + up(gelu(down(h))) on the output of the attention's output matrix and on that of
the feed-forward output matrix, each before the residual sum and LayerNorm (section 2.1, figure 2).
Biases, LayerNorm and head train too. Choose it where one base model serves many tasks. The
bottlenecks stay in the forward pass, so inference is a little slower, and the result is no plain
transformers model: `calisr_engine.methods.reload` saves and opens it.

The original applies the adapter after the layer's dropout; here dropout follows the adapter, which
differs in training only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from calisr_engine.methods.adapter.settings import Adapter
from calisr_engine.methods.base import (
    ArchitectureAttachment,
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
)
from calisr_engine.models.components import Target, head_parameters

CHILD = "calisr_adapter"
"""Name of the bottleneck below the linear layer whose output it changes."""

INIT_STD = 1e-3
"""Standard deviation of the starting weights, truncated at two of them (section 3.6)."""


class Bottleneck(nn.Module):
    """h + up(gelu(down(h))) on the last dimension; nearly the identity at the start."""

    def __init__(self, width: int, bottleneck: int, generator: torch.Generator) -> None:
        super().__init__()
        # Without torch's own start, which draws from the global random state.
        self.down = nn.utils.skip_init(nn.Linear, width, bottleneck)
        self.up = nn.utils.skip_init(nn.Linear, bottleneck, width)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(
                layer.weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD, generator=generator
            )
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.up(functional.gelu(self.down(hidden)))


def apply_bottleneck(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    """Forward hook; a plain function of the module, so that copies of a model use their own."""
    return module.get_submodule(CHILD)(output)


class AdapterMethod(Method):
    def attach(
        self, model: nn.Module, targets: list[Target], settings: Adapter, context: AttachContext
    ) -> Attachment:
        """Add a bottleneck behind each target of `settings.places`; others are left alone."""
        places = [target for target in targets if target.component in settings.places]
        rules: dict[nn.Parameter, ParameterRule] = {}
        added: set[nn.Parameter] = set()
        for target in places:
            bottleneck = Bottleneck(
                target.module.out_features,
                settings.bottleneck,
                context.generator(f"adapter/{target.name}"),
            ).to(target.weight.device)
            target.module.add_module(CHILD, bottleneck)
            target.module.register_forward_hook(apply_bottleneck)
            added |= set(bottleneck.parameters())
            if context.lft_learning_rate is not None:
                for parameter in bottleneck.parameters():
                    rules[parameter] = ParameterRule(learning_rate=context.lft_learning_rate)
        attachment = ArchitectureAttachment(model, forms={}, rules=rules)
        if settings.reference:
            kept = added | set(head_parameters(model)) | layer_norm_parameters(model)
            attachment.frozen_at_last = [p for p in model.parameters() if p not in kept]
        return attachment


def layer_norm_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Scales and shifts of every LayerNorm."""
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    return {parameter for norm in norms for parameter in norm.parameters()}
