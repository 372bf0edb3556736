"""Whole runs with tuners of peft: killed, gone on, audited, exported, and their weights read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from calisr_engine.analysis.weights import checkpoint_weights
from calisr_engine.methods.peft import layers
from calisr_engine.process.execute import execute
from calisr_engine.results.audit import audit
from tests.training.interrupt import kill_at
from tests.training.test_runs import assert_predicts, same, story, weights
from tests.training.tiny_run import make_run, save_model

FEW = {
    "vblora": "vector_length=8, num_vectors=20",
    "lora": "init_lora_weights=pissa",
    "oft": "oft_block_size=8",
    "adamss": "num_subspaces=3",
}
"""A shared bank, a base changed at the start, multiplicative, with clusters of the base's rows."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    "tuner",
    [name if name == "vblora" else pytest.param(name, marks=pytest.mark.slow) for name in FEW],
)
def test_a_run_that_is_killed_ends_alike_and_all_that_reads_it_agrees(
    model: Path, tmp_path: Path, tuner: str
) -> None:
    sets = (
        *("method.name=peft", f"method.tuner={tuner}", f"method.options={FEW[tuner]}"),
        "calibration.variant=S",
        *("calibration.delta=0.3", "calibration.samples_per_epoch=3"),
        *("calibration.keep_samples=true", "output.checkpoint_every_steps=4"),
    )
    calm = make_run(model, tmp_path, "calm", *sets)
    assert execute(calm, raise_errors=True) == 0
    killed = make_run(model, tmp_path, "killed", *sets)
    for moment in (6, 13):
        kill_at(killed, moment)
    assert execute(killed, raise_errors=True) == 0
    assert same(weights(calm), weights(killed))
    assert [r for r in story(killed) if r["type"] == "group_switched"]
    assert sorted(map(str, story(calm))) == sorted(map(str, story(killed)))
    assert audit(calm).clean
    from transformers import AutoModelForSequenceClassification

    opened = AutoModelForSequenceClassification.from_pretrained(calm / "model")
    assert_predicts(calm, opened)
    newest = max((calm / "checkpoints").glob("step-*"), key=lambda p: int(p.name.split("-")[1]))
    found = checkpoint_weights(newest)
    assert len(found.matrices) == 12
    assert layers.ADAPTER not in " ".join(found.matrices)
    assert all(torch.isfinite(matrix).all() for matrix in found.matrices.values())
