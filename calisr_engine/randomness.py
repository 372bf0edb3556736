"""Who draws from the random numbers of the process: one at a time, each from a state of its own.

Layers of torch draw dropout and fresh weights from generators that the whole process shares. A run
that trains in a thread must draw the same numbers whatever goes on beside it: the app checks other
settings, opens a model to try it, counts what a run would train. So a run draws from a `Stream`,
and whoever needs numbers in passing takes them `aside`; both leave the generators as they were.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")
HOST = ("cpu", "meta")
"""Devices without a generator of their own."""


class _Turn:
    """A lock that a thread may take again, and that goes to whoever has waited.

    A run gives its turn back after each step and asks for the next at once; with a lock that is not
    fair, others would hardly ever get one.
    """

    def __init__(self) -> None:
        self._queue, self._lock = threading.Lock(), threading.Lock()
        self._thread: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        if self._thread != threading.get_ident():
            with self._queue:
                self._lock.acquire()
            self._thread = threading.get_ident()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._thread = None
            self._lock.release()


_turn = _Turn()


class Stream:
    """The random numbers of one run, which torch's generators give while it has its turn.

    Python's and NumPy's numbers are left out: no step draws them, and to set them aside takes
    longer than all the rest.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._own: dict[str, Tensor] | None = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """In the block torch draws from the stream; others wait, so it should be a step, not a run.

        Not to be taken again inside.
        """
        with _turn:
            outer = torch_states(self._device)
            try:
                if self._own is not None:
                    set_torch_states(self._own, self._device)
                yield
            finally:
                self._own = torch_states(self._device)
                set_torch_states(outer, self._device)


@contextlib.contextmanager
def aside(seed: int | None = None, device: torch.device = CPU) -> Iterator[None]:
    """In the block nobody else draws, and after it the generators are as if nobody had.

    Args:
        seed: of all generators, those of Python, NumPy, the CPU and `device`; None leaves them.
        device: where something is drawn, besides the CPU.
    """
    with _turn:
        before = _all_states(device)
        try:
            if seed is not None:
                seed_all(seed, device)
            yield
        finally:
            _set_all_states(before, device)


def seed_all(seed: int, device: torch.device = CPU) -> None:
    """Seed Python, NumPy, the CPU's generator and that of `device`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    seed_torch(seed, device)


def seed_torch(seed: int, device: torch.device = CPU) -> None:
    """Seed the generators of the CPU and of `device`; those of other devices stay as they are."""
    torch.default_generator.manual_seed(seed)
    if device.type == "mps":
        torch.mps.manual_seed(seed)
    elif device.type not in HOST:
        module = torch.get_device_module(device)
        with module.device(device):
            module.manual_seed(seed)


def torch_states(device: torch.device) -> dict[str, Tensor]:
    """States of the generators of the CPU and of `device`, as uint8 tensors for a file."""
    states = {"torch": torch.get_rng_state()}
    if device.type == "mps":
        states["device"] = torch.mps.get_rng_state()
    elif device.type not in HOST:
        states["device"] = torch.get_device_module(device).get_rng_state(device)
    return states


def set_torch_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Take back what `torch_states` gave."""
    torch.set_rng_state(states["torch"].cpu())
    if "device" in states:
        if device.type == "mps":
            torch.mps.set_rng_state(states["device"].cpu())
        elif device.type not in HOST:
            torch.get_device_module(device).set_rng_state(states["device"].cpu(), device)


def _all_states(device: torch.device) -> tuple[Any, ...]:
    return torch_states(device), random.getstate(), np.random.get_state()


def _set_all_states(states: tuple[Any, ...], device: torch.device) -> None:
    of_torch, of_python, of_numpy = states
    set_torch_states(of_torch, device)
    random.setstate(of_python)
    np.random.set_state(of_numpy)
