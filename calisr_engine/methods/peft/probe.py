"""What a tuner of peft can do with a linear layer, found by trying it on one of each shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft.config import PromptLearningConfig
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn
from torch.nn.functional import linear

from calisr_engine.methods.peft import layers
from calisr_engine.randomness import aside

Shapes = tuple[tuple[str, tuple[int, int]], ...]
"""Name and (out, in) of each linear layer of a skeleton."""

MOVED = 0.05
"""How far weights are moved, relative to their size, before merged and unmerged are compared."""

STEP = 1e-6
"""Of the base weight, for its derivative by central differences."""

TOLERANCE = 1e-10
"""Largest difference of the two, relative to the output; in float64 it is about 1e-15."""


@dataclass(frozen=True)
class Found:
    """What came out.

    Attributes:
        refused: why the tuner cannot be a light method; "" where it can.
        not_calibrated: why it has no full phase; "" where it has.
        moves_start: largest change of a weight by attaching, relative to the weight's norm.
        through_data: whether the base gets its gradient only past `weight.data`.
        partial: whether peft holds a factor that depends on the base constant in the gradient (the
            norm of DoRA, by definition).
    """

    refused: str = ""
    not_calibrated: str = ""
    moves_start: float = 0.0
    through_data: bool = False
    partial: bool = False


class Skeleton(nn.Module):
    """Linear layers beside each other, for a tuner to go around."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        for name, (rows, columns) in shapes:
            parent: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            parent.add_module(last, nn.Linear(columns, rows))


_KNOWN: dict[tuple[object, ...], Found] = {}


def try_out(tuner: str, options: tuple[tuple[str, Any], ...], shapes: Shapes) -> Found:
    """Try a tuner on linear layers of these shapes; a second or so for those of a large model.

    Args:
        options: of the tuner's config, in pairs (lists as tuples).
    """
    asked = tuner, options, shapes
    if asked not in _KNOWN:
        with aside(0):  # some tuners seed the generators, others draw as they compute
            _KNOWN[asked] = _try_out(*asked)
    return _KNOWN[asked]


def _try_out(tuner: str, options: tuple[tuple[str, Any], ...], shapes: Shapes) -> Found:
    why = refusal(tuner, dict(options))
    if why:
        return Found(refused=why)
    skeleton = Skeleton(shapes)
    linears: list[Any] = [skeleton.get_submodule(name) for name, _ in shapes]
    before = [linear.weight.detach().double() for linear in linears]
    try:
        layers.inject(skeleton, [name for name, _ in shapes], tuner, dict(options), seed=0)
    except Exception as error:
        return Found(refused=f"peft refuses it: {layers.in_short(error)}")
    found = [skeleton.get_submodule(name) for name, _ in shapes]
    if not all(hasattr(layer, "merge") and hasattr(layer, "base_layer") for layer in found):
        return Found(refused="peft has no merge for its layers")
    added = [p for layer in found for p in layers.adapter_parameters(layer).values()]
    if not any(parameter.requires_grad for parameter in added):
        return Found(refused="it trains nothing in a linear layer")
    moved, tried = 0.0, []
    for start, layer in zip(before, found, strict=True):
        try:
            moved = max(moved, _distance(layers.merged(layer)[0], start))
            tried.append(_Tried(layer))
        except NotImplementedError as error:
            return Found(refused=f"peft cannot merge it: {layers.in_short(error)}")
        except Exception as error:
            return Found(refused=f"peft's layer fails: {layers.in_short(error)}")
    off = max(each.off for each in tried)
    if not off < TOLERANCE:
        return Found(refused=f"what peft merges is not what it computes (off by {off:.0e})")
    if not any(each.changed > 0 for each in tried):
        return Found(refused="it changes no weight, biases alone")
    return Found(
        not_calibrated=""
        if all(each.passes for each in tried)
        else "the base weight has no part in what its layer computes, so there is no full "
        "fine-tuning of it",
        moves_start=moved,
        through_data=any(each.through_data for each in tried),
        partial=any(each.partial for each in tried),
    )


def refusal(tuner: str, options: dict[str, Any]) -> str:
    """What peft's own classes say against a tuner; "" if nothing."""
    own = layers.classes_of(tuner)
    if issubclass(own.config, PromptLearningConfig):
        return "it adds trained positions to the input and changes no weight"
    if own.tuner is None or not issubclass(own.tuner, BaseTuner):
        return "peft builds it around a whole model, not into its layers"
    if hasattr(own.tuner, "update_and_allocate") and options.get(
        "use_asa", not hasattr(own.config, "use_asa")
    ):
        return "it deals its ranks anew between steps (update_and_allocate), which is not done here"
    try:
        layers.make_config(tuner, options)
    except Exception as error:
        return f"peft refuses it: {layers.in_short(error)}"
    return ""


class _Tried:
    """One layer with all weights moved: does it compute what it merges to?

    Attributes:
        off: difference of the outputs, relative.
        changed: difference of merged and base weight, relative.
        passes: whether the base weight gets a gradient; through_data: only past `weight.data`.
        partial: whether that is less than the merged weight's derivative by the base.
    """

    def __init__(self, layer: nn.Module) -> None:
        twin = layers.twin_of(layer)
        generator = torch.Generator().manual_seed(0)
        base: nn.Parameter = twin.get_base_layer().weight
        with torch.no_grad():
            for parameter in twin.parameters():
                if parameter.requires_grad or parameter is base:
                    noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                    size = parameter.abs().mean().clamp(min=1e-2)
                    parameter.add_(MOVED * size * noise.to(parameter.device))
        base.requires_grad_(True)
        inputs = torch.randn((4, base.shape[1]), generator=generator, dtype=torch.float64)
        inputs = inputs.to(base.device)
        before = base.detach().clone()
        along = torch.randn(base.shape, generator=generator, dtype=torch.float64).to(base.device)
        output = self._gradient(twin, base, inputs)
        self.through_data = base.grad is None or not base.grad.any()
        if self.through_data:
            with layers.ThroughData(base):
                output = self._gradient(twin, base, inputs)
        gradient, base.grad = base.grad, None
        self.passes = gradient is not None and bool(gradient.any())
        self.through_data = self.through_data and self.passes
        weight, bias = layers.merged(twin)
        self.off = _distance(linear(inputs, weight, bias), output)
        self.changed = _distance(weight, before)
        self.partial = False
        if gradient is not None and self.passes:
            # The derivative along a direction: of what is merged, and as the gradient says.
            ahead, behind = (layers.merged(twin, before + s * STEP * along)[0] for s in (1, -1))
            slope = (2 * output.T @ inputs * (ahead - behind)).sum() / (2 * STEP)
            self.partial = bool(((gradient * along).sum() - slope).abs() > 1e-4 * slope.abs())

    def _gradient(self, twin: Any, base: nn.Parameter, inputs: Tensor) -> Tensor:
        base.grad = None
        with layers.InDouble():
            output: Tensor = twin(inputs)
        output.square().sum().backward()
        return output.detach()


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())
