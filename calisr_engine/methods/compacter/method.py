"""Compacter: adapters of Kronecker products with shared factors (Karimi Mahabadi et al., 2021).

    h + U(gelu(D(h))),   D(x) = x W_D + b_D,   W = sum_{i=1..n} A_i (x) (s_i t_i^T)

with (x) the Kronecker product, A_i (n x n) shared by all matrices of all layers, s_i (inputs / n x
rank) and t_i (rank x outputs / n) a matrix's own ("Compacter: Efficient Low-Rank Hypercomplex
Adapter Layers", equations 5 to 8). Places as in `adapter`.

What it trains: the A_i, the s_i and t_i, their biases; biases, LayerNorm and head beside it. Some
forty times fewer numbers than an adapter of 64, and what the bottlenecks compute costs the same.
Start and activation are those of the authors' code: A from N(0, 1e-4^2), s and t by Glorot with a
gain of sqrt(2), biases 0, GELU by tanh. So the start is the pretrained model but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import AttachContext, Attachment, Method
from calisr_engine.methods.bottleneck import CHILD, Residual, attach_bottlenecks
from calisr_engine.methods.compacter.settings import Compacter
from calisr_engine.models.components import Target

SHARED = "calisr_compacter"
"""Name of the shared factors below the model."""

INIT_STD = 1e-4


class KroneckerLinear(nn.Module):
    """x W + b with W = sum_i A_i (x) (s_i t_i^T), which `fill` sets before each forward pass.

    Attributes:
        left: s, shape (n, inputs / n, rank); right: t, shape (n, rank, outputs / n).
        matrix: W of the present pass, shape (inputs, outputs).
    """

    def __init__(
        self, inputs: int, outputs: int, division: int, rank: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.empty(division, inputs // division, rank))
        self.right = nn.Parameter(torch.empty(division, rank, outputs // division))
        for each in [*self.left.data, *self.right.data]:
            nn.init.xavier_uniform_(each, gain=math.sqrt(2), generator=generator)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.matrix: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which make their own matrix."""
        return self.__dict__ | {"matrix": None}

    def forward(self, values: Tensor) -> Tensor:
        assert self.matrix is not None
        return nn.functional.linear(values, self.matrix.T, self.bias)


class SharedFactors(nn.Module):
    """The A_i, shape (n, n, n), and the names of the bottlenecks that use them."""

    def __init__(self, division: int, places: Sequence[str], generator: torch.Generator) -> None:
        super().__init__()
        self.places = tuple(places)
        start = torch.randn(division, division, division, generator=generator)
        self.factors = nn.Parameter(INIT_STD * start)


def kronecker_sum(factors: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """sum_i A_i (x) (s_i t_i^T), shape (inputs, outputs)."""
    own = left @ right
    rows, columns = own.shape[1:]
    n = factors.shape[0]
    return torch.einsum("iab,icd->acbd", factors, own).reshape(n * rows, n * columns)


def fill(model: nn.Module, args: Any, options: Any) -> None:
    """Hook before a forward pass; a plain function of the model, so that copies use their own."""
    shared = model.get_submodule(SHARED)
    assert isinstance(shared, SharedFactors)
    for place in shared.places:
        layer = model.get_submodule(place)
        for linear in (layer.down, layer.up):
            assert isinstance(linear, KroneckerLinear)
            linear.matrix = kronecker_sum(shared.factors, linear.left, linear.right)


class CompacterMethod(Method):
    def check_targets(
        self, targets: Sequence[Target], settings: Compacter, calibrated: bool
    ) -> None:
        for target in targets:
            width = target.weight.shape[0]
            if target.component in settings.places and width % settings.division:
                raise ConfigError(
                    f"method.division: {settings.division} does not divide the hidden size {width}",
                    "set it to a number that divides it, and method.bottleneck to a multiple of it",
                )

    def attach(
        self, model: nn.Module, targets: list[Target], settings: Compacter, context: AttachContext
    ) -> Attachment:
        self.check_targets(targets, settings, context.calibrated)
        n, rank, inner = settings.division, settings.rank, settings.bottleneck
        places = [t for t in targets if t.component in settings.places]
        shared = SharedFactors(
            n, [f"{target.name}.{CHILD}" for target in places], context.generator("compacter")
        ).to(places[0].weight.device)
        model.add_module(SHARED, shared)
        model.register_forward_pre_hook(fill, with_kwargs=True)

        def make(width: int, generator: torch.Generator) -> nn.Module:
            return Residual(
                KroneckerLinear(width, inner, n, rank, generator),
                KroneckerLinear(inner, width, n, rank, generator),
                approximate="tanh",
            )

        return attach_bottlenecks(model, targets, settings, context, make, shared)
