"""How many numbers a tuner trains, asked of peft itself before there is a model."""

from __future__ import annotations

from typing import Any

import torch

from calisr_engine.methods.peft import layers
from calisr_engine.methods.peft.probe import Shapes, Skeleton, refusal
from calisr_engine.randomness import aside


def trained(
    tuner: str, options: tuple[tuple[str, Any], ...], shapes: Shapes, layer_count: int
) -> int:
    """Numbers that the tuner trains in `layer_count` layers with matrices of these shapes.

    On the meta device, which allocates nothing. A tuner that must see numbers (some look at the
    base weight's factors) gets one layer, and two, with weights: what is more in the second is in
    each further one, what is not is shared.

    Raises:
        ValueError: the tuner cannot be used so; the message says why.
    """
    why = refusal(tuner, dict(options))
    if why:
        raise ValueError(why)
    try:
        with torch.device("meta"):
            return _trained(tuner, options, shapes, layer_count)
    except Exception:  # some look at numbers, which meta has none of; what else fails, fails below
        pass
    try:
        first = _trained(tuner, options, shapes, min(layer_count, 1))
        second = _trained(tuner, options, shapes, 2) if layer_count > 1 else first
    except Exception as error:
        raise ValueError(f"peft refuses it: {layers.in_short(error)}") from error
    return first + (layer_count - 1) * (second - first)


def _trained(
    tuner: str, options: tuple[tuple[str, Any], ...], shapes: Shapes, layer_count: int
) -> int:
    named = tuple(
        (f"{layer}.{name}", side) for layer in range(layer_count) for name, side in shapes
    )
    with aside(0):
        skeleton = Skeleton(named)
    names = [name for name, _ in named]
    layers.inject(skeleton, names, tuner, dict(options), seed=0)
    found = {
        p for n in names for p in layers.adapter_parameters(skeleton.get_submodule(n)).values()
    }
    return sum(p.numel() for p in found if p.requires_grad)
