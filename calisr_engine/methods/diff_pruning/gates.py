"""The stretched hard concrete gate of Louizos et al. (2018), as Guo et al. (2021) use it.

u ~ U(0, 1);  s = sigmoid(log u - log(1 - u) + log_alpha);  z = clamp(s * (r - l) + l, 0, 1)
with l = -1.5 and r = 1.5 (section 3.1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from calisr_engine.methods.base import seeded_generator

LOW, HIGH = -1.5, 1.5
SHIFT = math.log(-LOW / HIGH)
"""P(z > 0) = sigmoid(log_alpha - SHIFT); 0 for the symmetric interval."""


def noise(shape: torch.Size, device: torch.device, *parts: object) -> Tensor:
    """log u - log(1 - u), drawn from a generator seeded by `parts` alone, on `device`."""
    u = torch.rand(shape, generator=seeded_generator(*parts, device=device), device=device)
    return torch.logit_(u, eps=1e-6)


def gate(log_alpha: Tensor, drawn: Tensor | None = None) -> Tensor:
    """z in [0, 1], of the shape of `log_alpha`; the gate at rest where no noise is given."""
    s = torch.sigmoid(log_alpha if drawn is None else log_alpha + drawn)
    return s.mul_(HIGH - LOW).add_(LOW).clamp_(0.0, 1.0)


def gate_slope(z: Tensor) -> Tensor:
    """dz / dlog_alpha, from z itself; 0 where z is clamped."""
    s = (z - LOW) / (HIGH - LOW)
    slope = s * (1.0 - s) * (HIGH - LOW)
    return torch.where((z > 0.0) & (z < 1.0), slope, 0.0)


def open_probability(log_alpha: Tensor) -> Tensor:
    """P(z > 0): the expected L0 norm of each gate (differentiable)."""
    return torch.sigmoid(log_alpha - SHIFT)
