"""The ONNX file says what the run itself said, for plain models and those that a method changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import RunFailedError
from calisr_engine.process.execute import execute
from calisr_engine.results import onnx_export
from calisr_engine.results.answers import evaluated
from calisr_engine.results.export_run import export_run
from calisr_engine.tasks.data import load_task
from tests.training.tiny_run import make_run, save_model

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.mark.parametrize("method", ["lora", "adapter", "compacter", "prefix", "unipelt"])
@pytest.mark.slow
def test_its_answers_are_those_of_the_evaluation(method: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    small = ("task.max_train_examples=32", "task.max_validation_examples=20", "training.epochs=1")
    rate, model = "training.learning_rate=5e-2", save_model(tmp_path / "tiny")
    run = make_run(model, tmp_path, "run", *small, rate, f"method.name={method}")
    assert execute(run, raise_errors=True) == 0
    folder = tmp_path / "out"
    export_run(run, folder)
    assert onnx_export.write_onnx(folder) < 1e-5
    from transformers import AutoTokenizer

    rows = load_task(from_resolved(run / "config.toml").task).validation["validation"]
    batch: Any = AutoTokenizer.from_pretrained(folder)(
        list(rows.text), padding=True, truncation=True, max_length=64, return_tensors="np"
    )
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    (logits,) = session.run(None, {each.name: batch[each.name] for each in session.get_inputs()})
    own = evaluated(run).answers.probabilities
    np.testing.assert_allclose(softmax(logits.astype(float), axis=1), own, rtol=0, atol=1e-5)
    if method == "lora":  # a file that says something else is refused, and none is left
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(onnx_export, "CLOSE", -1.0)
            with pytest.raises(RunFailedError, match="does not say what the model says"):
                onnx_export.write_onnx(folder)
        assert sorted(each.name for each in (folder / "onnx").iterdir()) == ["model.onnx"]
