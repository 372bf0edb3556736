"""Device load and memory, from psutil and NVML. What cannot be read is None, never zero."""

from __future__ import annotations

import contextlib
from typing import Any

import psutil
import torch

from calisr_engine.events.types import Resources


class ResourceProbe:
    """Reads the load of this process's machine and of one CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._process = psutil.Process()
        psutil.cpu_percent(interval=None)
        self._handle: Any = None
        if device.type == "cuda":
            with contextlib.suppress(Exception):  # no NVML: the figures stay absent
                import pynvml

                pynvml.nvmlInit()
                uuid = str(torch.cuda.get_device_properties(device).uuid)
                self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
                self._nvml = pynvml

    def read(self) -> Resources:
        gpu: dict[str, Any] = {}
        if self._handle is not None:
            with contextlib.suppress(Exception):
                memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
                gpu = {
                    "gpu_percent": float(
                        self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
                    ),
                    "gpu_memory_bytes": int(memory.used),
                    "gpu_memory_total_bytes": int(memory.total),
                }
        return Resources(
            cpu_percent=psutil.cpu_percent(interval=None),
            memory_bytes=self._process.memory_info().rss,
            **gpu,
        )
