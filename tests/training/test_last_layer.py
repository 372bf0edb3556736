"""Runs whose last layer is computed for the first token alone."""

from __future__ import annotations

from pathlib import Path

import torch

from calisr_engine.config.load import load
from calisr_engine.forecast.before_start import check
from calisr_engine.process.execute import execute
from tests.models.folders import save
from tests.training.alike import CALIBRATED, assert_alike, assert_same_bits, story
from tests.training.interrupt import kill_at
from tests.training.tiny_run import make_run, save_model

FIRST = "training.last_layer=first_token"
SETS = ("method.name=lora", *CALIBRATED, "output.checkpoint_every_steps=4")


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
    assert story(full)[1]
    assert_alike(full, first, losses=1e-4, weights=(1e-3, 1e-4))
    assert_same_bits(first, killed)


def test_another_head_is_told_before_there_is_a_run(tmp_path: Path) -> None:
    folder = save("modernbert", tmp_path / "model")
    config = load("demo", [f"model.name={folder}", FIRST], {"output.dir": tmp_path / "runs"}).config
    (problem,) = check(config)
    assert problem.keys == ("training.last_layer",)
    assert "no such form of a last layer" in problem.message
