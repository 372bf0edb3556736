"""Random state: seeded once, kept in checkpoints, never touched by measuring."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calisr_engine.methods.base import seeded_generator
from calisr_engine.training.device import works_beside


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_rank(device: torch.device, seed: int, rank: int, step: int) -> None:
    """Give ranks above 0 a dropout stream of their own; rank 0 keeps that of a single process."""
    if rank:
        own = seeded_generator(seed, "rank", rank, step).initial_seed()
        torch.default_generator.manual_seed(own)
        if works_beside(device):
            of_device = torch.get_device_module(device)
            with of_device.device(device):
                of_device.manual_seed(own)


def rng_tensors(device: torch.device) -> dict[str, Tensor]:
    """Torch's random states as uint8 tensors, for a safetensors file."""
    states = {"torch": torch.get_rng_state()}
    if works_beside(device):
        states["device"] = torch.get_device_module(device).get_rng_state(device)
    elif device.type == "mps":
        states["device"] = torch.mps.get_rng_state()
    return states


@contextlib.contextmanager
def random_stream(tensors: Mapping[str, Tensor], device: torch.device) -> Iterator[None]:
    """In the block torch draws from this state on; after it, as if nothing had been drawn."""
    before = rng_tensors(device)
    _set_streams(tensors, device)
    try:
        yield
    finally:
        _set_streams(before, device)


def _set_streams(tensors: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(tensors["torch"].cpu())
    if "device" in tensors:
        if works_beside(device):
            torch.get_device_module(device).set_rng_state(tensors["device"].cpu(), device)
        elif device.type == "mps":
            torch.mps.set_rng_state(tensors["device"].cpu())


def rng_json() -> dict[str, Any]:
    """Python's and NumPy's random states as plain JSON."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
    }


def restore_rng(tensors: dict[str, Tensor], state: dict[str, Any], device: torch.device) -> None:
    """Take back what `rng_tensors` and `rng_json` gave."""
    _set_streams(tensors, device)
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
