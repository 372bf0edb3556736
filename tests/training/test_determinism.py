"""Random states: what seeds them, and that they come back whole."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from torch import Tensor

from calisr_engine.training.determinism import (
    restore_rng,
    rng_json,
    rng_tensors,
    seed_everything,
    seed_rank,
)

CPU = torch.device("cpu")


def draws() -> tuple[list[float], list[float], list[float]]:
    return (
        [random.gauss() for _ in range(3)],
        np.random.randn(3).tolist(),
        torch.rand(3).tolist(),
    )


def test_a_seed_decides_every_generator() -> None:
    seed_everything(2**32 + 5)
    random.seed(2**32 + 5)
    first = draws()
    assert first[1] == np.random.RandomState(5).randn(3).tolist()
    assert first[2] == torch.rand(3, generator=torch.Generator().manual_seed(2**32 + 5)).tolist()
    seed_everything(2**32 + 5)
    assert draws() == first
    seed_everything(6)
    assert all(one != two for one, two in zip(draws(), first, strict=True))


def test_states_come_back_in_the_middle_of_a_pair() -> None:
    """Normal draws come in pairs; the second of one waits in the state."""
    seed_everything(1)
    draws()
    tensors, plain = rng_tensors(CPU), json.loads(json.dumps(rng_json()))
    expected = draws()
    draws()
    restore_rng({k: v.clone() for k, v in tensors.items()}, plain, CPU)
    assert draws() == expected


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_devices_state_is_kept_beside(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    state = torch.arange(4, dtype=torch.uint8)
    module = getattr(torch, kind)
    monkeypatch.setattr(module, "get_rng_state", lambda *_: state)
    monkeypatch.setattr(module, "set_rng_state", lambda value, *_: seen.append(value))
    device = torch.device(kind)
    assert rng_tensors(device)["device"] is state
    assert "device" not in rng_tensors(CPU)
    restore_rng(rng_tensors(device), rng_json(), device)
    assert seen == [state]
    restore_rng(rng_tensors(device), rng_json(), CPU)  # gone on without the device
    assert len(seen) == 1


def test_ranks_but_the_first_draw_from_streams_of_their_own() -> None:
    found = {}
    for rank, step in ((0, 0), (0, 7), (1, 0), (1, 7), (2, 0)):
        torch.manual_seed(3)
        seed_rank(CPU, 3, rank, step)
        found[rank, step] = torch.rand(2).tolist()
    assert found[0, 0] == found[0, 7]
    assert len({tuple(each) for each in found.values()}) == 4
