"""Two runs that did the same but for rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.golden import digest, newest_checkpoint
from tests.training.tiny_run import events

CALIBRATED = (
    "calibration.variant=S",
    "calibration.delta=0.3",
    "calibration.samples_per_epoch=3",
)


def story(run: Path) -> list[Any]:
    """Each sample's hits, and each switch."""
    samples = [
        (each["step"], name, group["hit"])
        for each in events(run, "stable_rank_sampled")
        for name, group in each["groups"].items()
    ]
    return [samples, [(each["step"], each["group"]) for each in events(run, "group_switched")]]


def last_weights(run: Path) -> Path:
    return newest_checkpoint(run) / "model.safetensors"


def assert_same_bits(one: Path, other: Path) -> None:
    assert digest(last_weights(one)) == digest(last_weights(other))


def assert_alike(one: Path, other: Path, *, losses: float, weights: tuple[float, float]) -> None:
    """The same decisions; losses to a relative, weights to a relative and absolute difference."""
    assert story(other) == story(one)
    for kind in ("progress", "evaluated"):
        mine, theirs = ([each["loss"] for each in events(run, kind)] for run in (one, other))
        assert theirs == pytest.approx(mine, rel=losses)
    mine, theirs = load_file(last_weights(one)), load_file(last_weights(other))
    for name, value in mine.items():
        rtol, atol = weights
        torch.testing.assert_close(theirs[name], value, rtol=rtol, atol=atol, msg=name)
