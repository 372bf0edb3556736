"""The Fastfood transform: a fixed random map P from few numbers to the entries of a matrix.

    P(v) = (H G Pi H B v~)[:D] / sqrt(D * sum_i g_i^2)

v~ is v with zeros behind it, up to N, the smallest power of two that is not below D; B = diag(b)
with b_i = 1 or -1, H the Walsh-Hadamard matrix of N (entries 1 and -1, Sylvester's order), Pi a
permutation, G = diag(g) with g_i ~ N(0, 1). So P is random and fixed, needs no matrix of D rows,
and keeps lengths in the mean: ||P(v)|| is about ||v||. From Le, Sarlos and Smola (2013), in the
form of Aghajanyan, Zettlemoyer and Gupta (2021) and with the divisor of their code. Of a v that is
longer than N the first N numbers count, as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from calisr_engine.methods.said.settings import padded

RADIX_BITS = 5
"""A transform goes over the numbers once for so many bits of their index, as one product with a
small matrix: a pass for each bit takes several times as long."""


def hadamard(bits: int) -> Tensor:
    """The Walsh-Hadamard matrix of 2^bits rows, entries 1 and -1, on the CPU."""
    matrix = torch.ones(1, 1)
    for _ in range(bits):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def walsh_hadamard(values: Tensor, small: Sequence[Tensor]) -> Tensor:
    """H v for a vector of 2^k numbers; `small` are the matrices of 0 to RADIX_BITS bits.

    H is a Kronecker product of small ones. Each pass transforms the first digit of the index and
    makes it the last, so after all passes each digit is where it was.
    """
    bits = values.numel().bit_length() - 1
    passes = max(1, math.ceil(bits / RADIX_BITS))
    for at in range(passes):
        own = bits * (at + 1) // passes - bits * at // passes
        values = (values.view(1 << own, -1).T @ small[own]).view(-1)
    return values


class Fastfood:
    """P for matrices of one shape and vectors of one length; nothing in it ever changes.

    Args:
        length: of the vectors.
        entries: D, of the matrix.
        generator: of the CPU, so that every device has the same P.
        device: where P is used; "meta" draws nothing.
    """

    def __init__(
        self, length: int, entries: int, generator: torch.Generator, device: torch.device
    ) -> None:
        self.entries, self.size = entries, padded(entries)
        self.used = min(length, self.size)
        # v~ is zero from `used` on, so H B v~ is the transform of its beginning again and again.
        self.block = min(padded(self.used), self.size)
        if device.type == "meta":
            return
        signs = torch.randint(0, 2, (self.used,), generator=generator) * 2 - 1
        order = torch.randperm(self.size, generator=generator)
        scale = torch.randn(self.size, generator=generator)
        self._divisor = math.sqrt(entries * float(scale.double().square().sum()))
        back = torch.empty_like(order)
        back[order] = torch.arange(self.size)
        self._signs = signs.to(torch.float32).to(device)
        self._order = (order % self.block).to(torch.int32).to(device)
        self._back = back.to(torch.int32).to(device)
        self._scale = scale.to(device)
        self._small = [hadamard(bits).to(device) for bits in range(RADIX_BITS + 1)]

    def __deepcopy__(self, memo: dict[int, Any]) -> Fastfood:
        return self

    def project(self, vector: Tensor) -> Tensor:
        """P(v), shape (D,), in the precision of v."""
        own = vector[: self.used] * self._signs / self._divisor
        short = torch.nn.functional.pad(own, (0, self.block - self.used))
        mixed = self._transform(short).index_select(0, self._order)
        return self._transform(mixed.mul_(self._scale))[: self.entries]

    def back(self, gradient: Tensor) -> Tensor:
        """P^T g for g of shape (D,): the first `used` numbers of the result, the others are 0."""
        wide = torch.nn.functional.pad(gradient, (0, self.size - self.entries))
        mixed = self._transform(wide).mul_(self._scale).index_select(0, self._back)
        short = self._transform(mixed.view(-1, self.block).sum(0))[: self.used]
        return short * self._signs / self._divisor

    def _transform(self, values: Tensor) -> Tensor:
        return walsh_hadamard(values, [each.to(values.dtype) for each in self._small])
