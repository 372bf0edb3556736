"""Prefixes made by an MLP from one vector a position (Li and Liang, 2021; P-tuning v2).

    prefixes = W_2 tanh(W_1 e + b_1) + b_2,   e (length, width), W_1 (hidden, width),
                                              W_2 (2 * layers * width, hidden)

Its output is the keys and values of all layers side by side. Once trained it could be left out: the
model is that with the prefixes themselves as parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

CHILD = "calisr_prefix"
"""Name of the projection below the model."""


class Projection(nn.Module):
    """The MLP, and where its outputs belong.

    Args:
        places: (name of the self-attention module, name of the prefix on it) in order.
    """

    def __init__(
        self,
        length: int,
        width: int,
        hidden: int,
        places: Sequence[tuple[str, str]],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.places = tuple(places)
        self.vectors = nn.Parameter(torch.randn(length, width, generator=generator))
        # Without torch's own start, which draws from the global random state.
        self.inner = nn.utils.skip_init(nn.Linear, width, hidden)
        self.outer = nn.utils.skip_init(nn.Linear, hidden, len(self.places) * width)
        for layer in (self.inner, self.outer):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self) -> tuple[Tensor, ...]:
        """The prefix of each place, (length, width)."""
        together = self.outer(torch.tanh(self.inner(self.vectors)))
        return together.chunk(len(self.places), dim=-1)


def fill(model: nn.Module, args: Any, options: Any) -> None:
    """Hook before a forward pass; a plain function of the model, so that copies use their own."""
    projection = model.get_submodule(CHILD)
    assert isinstance(projection, Projection)
    for (attention, name), prefix in zip(projection.places, projection(), strict=True):
        setattr(model.get_submodule(attention), name, prefix)
