"""Random state of a run: seeded once, kept in checkpoints, never touched by measuring."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calisr_engine.methods.base import seeded_generator
from calisr_engine.randomness import seed_torch, set_torch_states, torch_states


def seed_rank(device: torch.device, seed: int, rank: int, step: int) -> None:
    """Give ranks above 0 a dropout stream of their own; rank 0 keeps that of a single process."""
    if rank:
        seed_torch(seeded_generator(seed, "rank", rank, step).initial_seed(), device)


@contextlib.contextmanager
def random_stream(tensors: Mapping[str, Tensor], device: torch.device) -> Iterator[None]:
    """In the block torch draws from this state on; after it, as if nothing had been drawn."""
    before = torch_states(device)
    set_torch_states(tensors, device)
    try:
        yield
    finally:
        set_torch_states(before, device)


def rng_json() -> dict[str, Any]:
    """Python's and NumPy's random states as plain JSON."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
    }


def restore_rng(tensors: dict[str, Tensor], state: dict[str, Any], device: torch.device) -> None:
    """Take back what `torch_states` and `rng_json` gave."""
    set_torch_states(tensors, device)
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
