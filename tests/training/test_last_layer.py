"""Runs whose last layer is computed for the first token alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.config.load import load
from calisr_engine.forecast.before_start import check
from calisr_engine.process.execute import execute
from tests.models.folders import save
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run, save_model

FIRST = "training.last_layer=first_token"
SETS = (
    "method.name=lora",
    "calibration.variant=S",
    "calibration.delta=0.3",
    "calibration.samples_per_epoch=3",
    "output.checkpoint_every_steps=4",
)


def story(run: Path) -> list[Any]:
    samples = [
        (each["step"], name, group["hit"])
        for each in events(run, "stable_rank_sampled")
        for name, group in each["groups"].items()
    ]
    return [samples, [(each["step"], each["group"]) for each in events(run, "group_switched")]]


def test_decisions_are_the_same_and_weights_but_for_rounding(tmp_path: Path) -> None:
    """Without dropout; 18 steps at a rate a hundred times the usual let rounding grow."""
    torch.set_num_threads(1)
    model = save_model(tmp_path / "model")
    sets = (*SETS, "training.dropout=0")
    full = make_run(model, tmp_path, "full", *sets)
    first, killed = (make_run(model, tmp_path, name, *sets, FIRST) for name in ("first", "killed"))
    for run in (full, first):
        assert execute(run, raise_errors=True) == 0
    kill_at(killed, 10)
    assert execute(killed, raise_errors=True) == 0
    assert story(first) == story(full)
    assert story(full)[1]
    for kind in ("progress", "evaluated"):
        mine, theirs = ([each["loss"] for each in events(run, kind)] for run in (full, first))
        assert theirs == pytest.approx(mine, rel=1e-4)
    paths = [newest_checkpoint(run) / "model.safetensors" for run in (full, first, killed)]
    assert digest(paths[1]) == digest(paths[2])
    mine, theirs = load_file(paths[0]), load_file(paths[1])
    for name, value in mine.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_another_head_is_told_before_there_is_a_run(tmp_path: Path) -> None:
    folder = save("modernbert", tmp_path / "model")
    config = load("demo", [f"model.name={folder}", FIRST], {"output.dir": tmp_path / "runs"}).config
    (problem,) = check(config)
    assert problem.keys == ("training.last_layer",)
    assert "no such form of a last layer" in problem.message
