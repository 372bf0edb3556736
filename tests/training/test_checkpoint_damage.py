"""Runs go on from damaged checkpoints to the same weights, or are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from tests.training.checkpoint_campaign import campaign, reseal
from tests.training.golden import newest_checkpoint
from tests.training.interrupt import kill_at
from tests.training.tiny_run import make_run, save_model

CLASSIFIER = "classifier.weight"


@pytest.mark.slow
def test_no_damage_gives_other_weights_or_a_traceback() -> None:
    """`python -m tests.training.checkpoint_campaign 2000` does the same for longer."""
    assert campaign(30, seed=1) == []


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("model", lambda tensors: tensors.pop(CLASSIFIER), f"it lacks {CLASSIFIER}"),
        (
            "model",
            lambda tensors: tensors.update({"stranger": torch.zeros(1)}),
            "it holds stranger, which this model lacks",
        ),
        (
            "model",
            lambda tensors: tensors.update({CLASSIFIER: torch.zeros(1)}),
            f"it holds {CLASSIFIER}, of another shape",
        ),
        (
            "optimizer",
            lambda tensors: tensors.update({"stranger::exp_avg": torch.zeros(1)}),
            "optimizer state of an unknown parameter",
        ),
        ("rng", lambda tensors: tensors.update({"torch": torch.zeros(3)}), "RNG state"),
    ],
    ids=["lacks", "stranger", "shape", "optimizer", "rng"],
)
def test_a_checkpoint_of_another_model_is_refused_by_name(
    file: str, change: Any, said: str, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    model = save_model(tmp_path / "model")
    run = make_run(model, tmp_path, "run", "method.name=fft", "output.checkpoint_every_steps=2")
    kill_at(run, 3)
    place = newest_checkpoint(run)
    tensors = load_file(place / f"{file}.safetensors")
    change(tensors)
    save_file(tensors, place / f"{file}.safetensors")
    reseal(place)
    assert execute(run) == 1
    failure = load_view(run).failure
    assert failure is not None
    assert failure.message.startswith("the checkpoint of step 2 does not fit this run: ")
    assert said in failure.message
