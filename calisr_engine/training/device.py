"""Which device and precision a run uses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from calisr_engine.config.schema import RunConfig
from calisr_engine.doctor import cpu_has_bf16
from calisr_engine.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: the named device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    there = {
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }[device.type]
    if not there:
        raise ConfigError(
            f"training.device: {name} is not on this machine",
            "use training.device=auto or cpu; `calisr doctor` lists what is here",
        )
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device


def works_beside(device: torch.device) -> bool:
    """Whether the device works on while the host does something else: a GPU.

    Whoever reads a number from it waits until all work before that is done. Apple's is left out: it
    lacks the fused kernels by which a bad step can be held back without a look at it.
    """
    return device.type not in ("cpu", "mps")


def moved(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """A batch of the host on `device`.

    Pinned memory lets nobody wait for the copy to a GPU. Where nothing is padded there is no mask,
    which lets the GPU take its fastest kernel; but for a choice between alternatives, where some
    models need one.
    """
    if works_beside(device):
        batch = {
            key: value.pin_memory()
            for key, value in batch.items()
            if not (key == "attention_mask" and value.dim() == 2 and bool(value.all()))
        }
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}


def choose_precision(device: torch.device, wanted: str) -> str:
    """`auto` is bf16 on GPUs that have it, else fp32."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if wanted == "auto":
        return "bf16" if has_bf16 else "fp32"
    if wanted == "bf16" and device.type == "cuda" and not has_bf16:
        raise ConfigError("training.precision: this GPU has no bf16", "use training.precision=fp32")
    return wanted


def precision_of(device: torch.device, config: RunConfig) -> str:
    """ "fp32" or "bf16": of the forward passes of a run.

    Raises:
        ConfigError: it is not to be had here, or does not go with weights kept in 16 bits.
    """
    training, regularizer = config.training, config.regularizer.chosen
    fine = regularizer is not None and regularizer.needs_fp32
    precision = "fp32" if fine else choose_precision(device, training.precision)
    if training.frozen_weights == "bf16" and precision != "bf16":
        other = "" if fine else "training.precision=bf16, or "
        raise ConfigError(
            "training.frozen_weights: bf16 goes with a forward pass in bf16, and this run has one "
            f"in {precision} on {device.type}",
            f"set {other}training.frozen_weights=fp32",
        )
    return precision


def precision_notes(device: torch.device, precision: str) -> list[str]:
    """What the user should know of a precision that this device takes, but not well."""
    if precision == "bf16" and device.type == "cpu" and not cpu_has_bf16():
        return [
            "training.precision=bf16: this processor has no bf16 instructions, so a step takes "
            "many times as long as with fp32"
        ]
    return []


def autocast_for(device: torch.device, precision: str) -> Callable[[], AbstractContextManager[Any]]:
    """A maker of autocast contexts for the forward pass (nothing for fp32)."""
    if precision == "bf16":
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext
