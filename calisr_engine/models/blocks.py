"""Components that are blocks of rows of one matrix: such a linear layer is taken apart.

ModernBERT keeps query, key and value in one matrix. Here each becomes a linear layer of its own,
whose outputs are put side by side: y = [W_1 x; W_2 x; ...]. So a block has a parameter, optimizer
state, stable rank and switch like any other matrix, and what freezes one cannot touch the others.
The model computes what it did, but for rounding. Under transformers' own names (`joined`) the
blocks are one matrix again, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Blocks(nn.Module):
    """A linear layer in equal blocks of rows, each a linear layer under its component's name."""

    def __init__(self, whole: nn.Linear, names: Sequence[str]) -> None:
        super().__init__()
        rows = whole.out_features // len(names)
        for number, name in enumerate(names):
            block = nn.Linear(whole.in_features, rows, bias=whole.bias is not None, device="meta")
            for kind, parameter in whole.named_parameters():
                own = parameter.detach()[number * rows : (number + 1) * rows].clone()
                setattr(block, kind, nn.Parameter(own, parameter.requires_grad))
            self.add_module(name, block)

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.cat([block(hidden) for block in self.children()], dim=-1)


def _kinds(model: nn.Module) -> list[tuple[str, list[str]]]:
    """Names of parameters that blocks make together, each with those of its blocks in order."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, Blocks):
            for kind in ("weight", "bias"):
                found.append(
                    (f"{name}.{kind}", [f"{name}.{n}.{kind}" for n, _ in module.named_children()])
                )
    return found


def joined(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors`, by the names of `model`, under the names that transformers has for them."""
    result = dict(tensors)
    for whole, blocks in _kinds(model):
        if blocks[0] in result:
            result[whole] = torch.cat([result.pop(name) for name in blocks])
    return result


def apart(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `joined`; what has the names of `model` already stays."""
    result = dict(tensors)
    for whole, blocks in _kinds(model):
        if whole in result:
            parts = result.pop(whole).chunk(len(blocks))
            result |= zip(blocks, parts, strict=True)
    return result
