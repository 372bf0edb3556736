"""Random states: what seeds them, and that they come back whole."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from torch import Tensor

from calisr_engine.randomness import seed_all, torch_states
from calisr_engine.training.determinism import restore_rng, rng_json, seed_rank

CPU = torch.device("cpu")


def draws() -> tuple[list[float], list[float], list[float]]:
    return (
        [random.gauss() for _ in range(3)],
        np.random.randn(3).tolist(),
        torch.rand(3).tolist(),
    )


def test_a_seed_decides_every_generator() -> None:
    seed_all(2**32 + 5)
    random.seed(2**32 + 5)
    first = draws()
    assert first[1] == np.random.RandomState(5).randn(3).tolist()
    assert first[2] == torch.rand(3, generator=torch.Generator().manual_seed(2**32 + 5)).tolist()
    seed_all(2**32 + 5)
    assert draws() == first
    seed_all(6)
    assert all(one != two for one, two in zip(draws(), first, strict=True))


def test_states_come_back_in_the_middle_of_a_pair() -> None:
    """Normal draws come in pairs; the second of one waits in the state."""
    seed_all(1)
    draws()
    tensors, plain = torch_states(CPU), json.loads(json.dumps(rng_json()))
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
    assert torch_states(device)["device"] is state
    assert "device" not in torch_states(CPU)
    restore_rng(torch_states(device), rng_json(), device)
    assert seen == [state]
    restore_rng(torch_states(device), rng_json(), CPU)  # gone on without the device
    assert len(seen) == 1


def test_ranks_but_the_first_draw_from_streams_of_their_own() -> None:
    found = {}
    for rank, step in ((0, 0), (0, 7), (1, 0), (1, 7), (2, 0)):
        torch.manual_seed(3)
        seed_rank(CPU, 3, rank, step)
        found[rank, step] = torch.rand(2).tolist()
    assert found[0, 0] == found[0, 7]
    assert len({tuple(each) for each in found.values()}) == 4
