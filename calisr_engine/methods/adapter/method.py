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

import torch
from torch import nn

from calisr_engine.methods.adapter.settings import Adapter
from calisr_engine.methods.base import AttachContext, Attachment, Method
from calisr_engine.methods.bottleneck import Residual, attach_bottlenecks
from calisr_engine.models.components import Target

INIT_STD = 1e-3
"""Standard deviation of the starting weights, truncated at two of them (section 3.6)."""


class Bottleneck(Residual):
    """Two linear layers; nearly the identity at the start."""

    def __init__(self, width: int, bottleneck: int, generator: torch.Generator) -> None:
        # Without torch's own start, which draws from the global random state.
        down = nn.utils.skip_init(nn.Linear, width, bottleneck)
        up = nn.utils.skip_init(nn.Linear, bottleneck, width)
        super().__init__(down, up)
        for layer in (down, up):
            nn.init.trunc_normal_(
                layer.weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD, generator=generator
            )
            nn.init.zeros_(layer.bias)


class AdapterMethod(Method):
    def attach(
        self, model: nn.Module, targets: list[Target], settings: Adapter, context: AttachContext
    ) -> Attachment:
        def make(width: int, generator: torch.Generator) -> nn.Module:
            return Bottleneck(width, settings.bottleneck, generator)

        return attach_bottlenecks(model, targets, settings, context, make)
