"""How many numbers a tuner trains, asked of peft itself before there is a model."""

from __future__ import annotations

import re
from typing import Any

import torch

from calisr_engine.methods.counts import BESIDE_A_RUN
from calisr_engine.methods.peft import apart, layers
from calisr_engine.methods.peft.probe import Shapes, Skeleton, refusal


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
    if BESIDE_A_RUN.get():
        return int(apart.ask("count", tuner, options, shapes, layer_count))
    why = refusal(tuner, dict(options))
    if why:
        raise ValueError(why)
    try:
        with torch.device("meta"):
            return _trained(tuner, options, shapes, layer_count)
    except Exception as error:
        if not _wants_numbers(error):
            raise _refused(error) from error
    try:
        first = _trained(tuner, options, shapes, min(layer_count, 1))
        second = _trained(tuner, options, shapes, 2) if layer_count > 1 else first
    except Exception as error:
        raise _refused(error) from error
    return first + (layer_count - 1) * (second - first)


def _wants_numbers(error: Exception) -> bool:
    """Whether torch says that a meta tensor has none, or an operator nothing for the device."""
    return isinstance(error, NotImplementedError) or bool(re.search(r"\bmeta\b", str(error), re.I))


def _refused(error: Exception) -> ValueError:
    return ValueError(f"peft refuses it: {layers.in_short(error)}")


def _trained(
    tuner: str, options: tuple[tuple[str, Any], ...], shapes: Shapes, layer_count: int
) -> int:
    named = tuple(
        (f"{layer}.{name}", side) for layer in range(layer_count) for name, side in shapes
    )
    with layers.seeded(0):
        skeleton = Skeleton(named)
    names = [name for name, _ in named]
    layers.inject(skeleton, names, tuner, dict(options), seed=0)
    found = {
        p for n in names for p in layers.adapter_parameters(skeleton.get_submodule(n)).values()
    }
    return sum(p.numel() for p in found if p.requires_grad)
