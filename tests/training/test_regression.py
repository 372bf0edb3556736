"""Runs whose labels are numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.process.execute import execute
from tests.training.tiny_run import events, make_run, save_model

LABELS = [37.0, 38.0, 40.0, 41.0, 43.0, 44.0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def regression(model: Path, folder: Path, name: str, *sets: str) -> Path:
    file = folder / "numbers.tsv"
    lines = [f"{'ab ' * (i + 1)}\t{label}\n" for i, label in enumerate(LABELS)]
    file.write_text("text\tlabel\n" + "".join(lines))
    own = (
        "task.name=numbers",
        "task.kind=regression",
        "task.text_column=text",
        "task.label_column=label",
        f"task.train_file={file}",
        f"task.validation_file={file}",
        "training.epochs=1",
    )
    return make_run(model, folder, name, *own, *sets)


def test_predictions_start_around_the_mean_label(model: Path, tmp_path: Path) -> None:
    """Rates too small to learn: the two starts differ by the mean label and by nothing else."""
    logits = {}
    for start in ("mean", "zero"):
        sets = (
            f"training.regression_start={start}",
            "training.learning_rate=1e-9",
            "training.warmup_ratio=0",
        )
        run = regression(model, tmp_path, start, *sets)
        assert execute(run, raise_errors=True) == 0
        (file,) = (run / "best").glob("step-*/logits.safetensors")
        logits[start] = load_file(file)["validation"].reshape(-1)
    expected = torch.full((len(LABELS),), sum(LABELS) / len(LABELS))
    torch.testing.assert_close(logits["mean"] - logits["zero"], expected, rtol=1e-5, atol=1e-4)
    assert logits["zero"].abs().max() < 5


def test_a_light_method_learns_labels_far_from_zero(model: Path, tmp_path: Path) -> None:
    """Forty away from zero at a rate of 1e-2: out of reach of the weights, not of the start."""
    sets = ("method.name=bitfit", "training.epochs=20")
    losses = {}
    for start in ("mean", "zero"):
        run = regression(model, tmp_path, start, *sets, f"training.regression_start={start}")
        assert execute(run, raise_errors=True) == 0
        losses[start] = events(run, "evaluated")[-1]["loss"]
    variance = sum((x - sum(LABELS) / len(LABELS)) ** 2 for x in LABELS) / len(LABELS)
    assert losses["mean"] < 1.2 * variance < losses["zero"]
