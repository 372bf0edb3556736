"""Which device and precision are taken, on machines that this one is not."""

from __future__ import annotations

import pytest
import torch

from calisr_engine.errors import ConfigError
from calisr_engine.training.device import (
    autocast_for,
    choose_device,
    choose_precision,
    precision_notes,
)

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretends to have so many CUDA devices, bf16, or Apple's."""

    def have(cuda: int = 0, mps: bool = False, bf16: bool = False) -> list[torch.device]:
        chosen: list[torch.device] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: cuda - 1)
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        return chosen

    return have


def test_auto_takes_cuda_then_mps_then_the_cpu(machine) -> None:
    machine(cuda=2, mps=True)
    assert choose_device("auto") == torch.device("cuda", 1)
    machine(mps=True)
    assert choose_device("auto") == torch.device("mps")
    machine()
    assert choose_device("auto") == CPU


def test_a_named_device_is_taken_or_refused(machine) -> None:
    chosen = machine(cuda=2)
    assert choose_device("cuda") == GPU
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert chosen == [GPU, torch.device("cuda", 1)]
    assert choose_device("cpu") == CPU
    for name in ("cuda:2", "mps"):
        with pytest.raises(ConfigError, match=f"{name} is not on this machine"):
            choose_device(name)
    machine(mps=True)
    assert choose_device("mps") == torch.device("mps")
    with pytest.raises(ConfigError, match="cuda is not"):
        choose_device("cuda")


def test_precision(machine) -> None:
    machine(cuda=1, bf16=True)
    assert choose_precision(GPU, "auto") == "bf16"
    assert choose_precision(GPU, "bf16") == "bf16"
    assert choose_precision(GPU, "fp32") == "fp32"
    assert choose_precision(CPU, "auto") == "fp32"
    assert choose_precision(CPU, "bf16") == "bf16"
    machine(cuda=1)
    assert choose_precision(GPU, "auto") == "fp32"
    assert choose_precision(GPU, "fp32") == "fp32"
    with pytest.raises(ConfigError, match="no bf16"):
        choose_precision(GPU, "bf16")


@pytest.mark.parametrize("instructions", [True, False])
def test_bf16_on_a_processor_without_it_is_told(
    monkeypatch: pytest.MonkeyPatch, instructions: bool
) -> None:
    there = {"avx2": True, "avx512_bf16": instructions, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: there)
    assert bool(precision_notes(CPU, "bf16")) is not instructions
    assert not precision_notes(CPU, "fp32")
    assert not precision_notes(GPU, "bf16")


def test_autocast_is_for_bf16_alone() -> None:
    product = {}
    for precision in ("fp32", "bf16"):
        with autocast_for(CPU, precision)():
            product[precision] = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert product == {"fp32": torch.float32, "bf16": torch.bfloat16}
