"""What a run ran on, for its environment.json."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import torch

from calisr_engine.training.build import PreparedRun
from calisr_engine.version import __version__

PACKAGES = ("torch", "transformers", "peft", "datasets")


def environment(run: PreparedRun) -> dict[str, Any]:
    """Versions, device and fingerprints, as plain JSON values."""
    context = run.context
    on_gpu = context.device.type == "cuda"
    return {
        "calisr": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: version(name) for name in PACKAGES},
        "device": str(context.device),
        "device_name": torch.cuda.get_device_name(context.device)
        if on_gpu
        else platform.processor() or platform.machine(),
        "processes": context.ranks.size,
        "threads": torch.get_num_threads(),
        "precision": context.precision,
        "classes": list(run.data.label_names or ()),
        "data_fingerprint": run.data.fingerprint,
        "model_fingerprint": run.loaded.fingerprint,
    }
