from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.methods.bitfit.settings import BitFit
from calisr_engine.methods.reload import METHOD, WEIGHTS, load_with_method
from calisr_engine.results.with_method import save_with_method
from tests.methods.tiny import ARCHITECTURES, UNSUITED, WITH_OWN_LOADER, Run, evaluate
from tests.slow import quick_where

CASES = [(m, a) for m in WITH_OWN_LOADER for a in ARCHITECTURES if (m, a) not in UNSUITED]


def trained(method: str, architecture: str = "Bert") -> Run:
    run = Run(method, architecture)
    for seed in range(2):
        run.step(seed)
    return run


@pytest.mark.parametrize(
    ("method", "architecture"),
    quick_where(CASES, lambda case: case[1] == "Bert" or case[0] == "adapter"),
)
def test_an_exported_model_opens_with_equal_logits(
    method: str, architecture: str, tmp_path: Path
) -> None:
    run = trained(method, architecture)
    save_with_method(run.model, None, tmp_path / "out", run.settings)
    state = torch.get_rng_state()
    opened = load_with_method(tmp_path / "out")
    assert torch.equal(torch.get_rng_state(), state)
    assert not opened.training
    assert torch.equal(evaluate(opened), run.logits())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_given_weights_are_written_instead_of_the_models_own(tmp_path: Path) -> None:
    run = trained("adapter")
    best = {name: value.clone() for name, value in run.model.state_dict().items()}
    logits = run.logits()
    run.step(7)
    save_with_method(run.model, None, tmp_path / "out", run.settings, weights=best)
    assert torch.equal(evaluate(load_with_method(tmp_path / "out")), logits)


@pytest.mark.parametrize("method", WITH_OWN_LOADER)
def test_transformers_does_not_open_it_as_if_it_were_plain(method: str, tmp_path: Path) -> None:
    run = trained(method)
    save_with_method(run.model, None, tmp_path / "out", run.settings)
    assert "calisr_prefix" not in (tmp_path / "out" / "config.json").read_text()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")


def test_methods_with_a_plain_result_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plain transformers model"):
        save_with_method(Run("bitfit").model, None, tmp_path / "out", BitFit())
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_none_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=METHOD):
        load_with_method(tmp_path)
    run = trained("adapter")
    folder = tmp_path / "out"
    save_with_method(run.model, None, folder, run.settings)
    content = json.loads((folder / METHOD).read_text())
    content["method"]["bottleneck"] = 3
    (folder / METHOD).write_text(json.dumps(content))
    with pytest.raises(UnavailableError, match="do not fit"):
        load_with_method(folder)
    (folder / WEIGHTS).write_bytes(b"cut")
    with pytest.raises(UnavailableError, match="cannot be opened"):
        load_with_method(folder)
    content["format"] = 99
    (folder / METHOD).write_text(json.dumps(content))
    with pytest.raises(UnavailableError, match="format is 99"):
        load_with_method(folder)
