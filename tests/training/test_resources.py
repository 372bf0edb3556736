"""The load of a machine, with a GPU whose driver answers, fails, or is not there."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from calisr_engine.training.resources import ResourceProbe

GPU = torch.device("cuda", 0)


def driver(monkeypatch: pytest.MonkeyPatch, fails_at: str = "") -> None:
    def answer(name: str, value: object):
        def call(*given: object) -> object:
            if name == fails_at:
                raise OSError(name)
            assert name != "nvmlDeviceGetHandleByUUID" or given == ("GPU-12-ab",)
            return value

        return call

    answers = {
        "nvmlInit": None,
        "nvmlDeviceGetHandleByUUID": "handle",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=7, total=9),
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=55, memory=11),
    }
    fake = SimpleNamespace(**{name: answer(name, value) for name, value in answers.items()})
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="12-ab")
    )


def gpu_figures(device: torch.device) -> tuple[object, ...]:
    found = ResourceProbe(device).read()
    assert found.memory_bytes > 2**20
    assert found.cpu_percent >= 0
    return found.gpu_percent, found.gpu_memory_bytes, found.gpu_memory_total_bytes


def test_a_gpu_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch)
    assert gpu_figures(GPU) == (55, 7, 9)
    assert gpu_figures(torch.device("cpu")) == (None, None, None)


@pytest.mark.parametrize("fails_at", ["nvmlInit", "nvmlDeviceGetMemoryInfo"])
def test_what_cannot_be_read_is_absent(monkeypatch: pytest.MonkeyPatch, fails_at: str) -> None:
    driver(monkeypatch, fails_at)
    assert gpu_figures(GPU) == (None, None, None)
