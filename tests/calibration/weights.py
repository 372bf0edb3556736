"""Weights to measure in tests, and the scores that a training step would see."""

from __future__ import annotations

import torch
from torch import Tensor


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(m: int, n: int, seed: int = 0) -> Tensor:
    """Flat at the edge: the largest singular values lie within a few percent of each other."""
    return torch.randn(m, n, generator=generator(seed)) * 0.02


def spiked(m: int, n: int, seed: int = 0, rank: int = 20) -> Tensor:
    """Noise and `rank` decaying singular values above it, as trained encoders have them."""
    g = generator(seed)
    noise = torch.randn(m, n, generator=g) * 0.04
    edge = 0.04 * (m**0.5 + n**0.5)
    values = edge * (1 + 3 * torch.arange(1, rank + 1) ** -0.8)
    left = torch.linalg.qr(torch.randn(m, rank, generator=g)).Q
    right = torch.linalg.qr(torch.randn(n, rank, generator=g)).Q
    return noise + (left * values) @ right.T


def clustered(m: int, n: int, gap: float, seed: int = 0) -> Tensor:
    """Eight largest singular values within a relative `gap` of each other (float64)."""
    g = generator(seed)
    k = min(m, n)
    values = torch.linspace(0.6, 0.1, k, dtype=torch.float64)
    values[:8] = 1 - gap * torch.arange(8)
    left = torch.linalg.qr(torch.randn(m, k, generator=g, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(n, k, generator=g, dtype=torch.float64)).Q
    return (left * values) @ right.T


def signs(weight: Tensor, seed: int) -> Tensor:
    """A random matrix of +1 and -1: the direction of a first Adam step."""
    return torch.randn(weight.shape, generator=generator(seed)).sign().to(weight.dtype)


def near_tie(weight: Tensor, relative: float, seed: int) -> tuple[Tensor, Tensor]:
    """A float64 pair with (SR_LFT - SR_FFT) / SR_FFT about `relative`."""
    fft = weight.double()
    direction = torch.randn(weight.shape, generator=generator(seed), dtype=torch.float64)
    step = 1e-5 * direction * fft.norm() / direction.norm()
    u, s, vh = torch.linalg.svd(fft, full_matrices=False)
    # d log SR = 2 <W, dW>/||W||_F^2 - 2 u_1^T dW v_1 / sigma_1
    rate = 2 * (fft * step).sum() / fft.square().sum() - 2 * (u[:, 0] @ step @ vh[0]) / s[0]
    return fft + step * (relative / float(rate)), fft
