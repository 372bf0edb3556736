"""Whole runs on encoders whose components are blocks of a matrix, gated, or found by rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.analysis.weights import read_weights
from calisr_engine.config.load import from_resolved
from calisr_engine.config.load import load as load_config
from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import DECODERS, GATED
from calisr_engine.models.component_names import COMPONENTS, SIX
from calisr_engine.process.execute import execute
from calisr_engine.results.audit import audit
from calisr_engine.results.best_model import best_weights, open_best, rebuild
from calisr_engine.runs import load_view
from tests.methods.tiny import CALIBRATABLE, UNSUITED
from tests.models.folders import NAMES, save
from tests.training.interrupt import kill_at
from tests.training.test_runs import CALIBRATED, assert_predicts, same, story, weights
from tests.training.tiny_run import events, make_run

SLOW = pytest.mark.slow
CASES = [
    pytest.param("modernbert", "lora"),
    pytest.param("qwen3", "lora"),
    *(
        pytest.param("modernbert", method, marks=SLOW)
        for method in CALIBRATABLE
        if method != "lora" and (method, "ModernBert") not in UNSUITED
    ),
    *(
        pytest.param(kind, "lora", marks=SLOW)
        for kind in ("eurobert", "nomic_bert", "gte", "longformer", "big_bird", "ernie")
    ),
    *(pytest.param("qwen2", method, marks=SLOW) for method in CALIBRATABLE if method != "lora"),
    *(pytest.param(kind, "lora", marks=SLOW) for kind in sorted(DECODERS - {"qwen3"})),
]


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_a_killed_run_goes_on_exactly_audits_clean_and_opens_in_plain_transformers(
    kind: str, method: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = save(kind, tmp_path / "model", max_position_embeddings=130)
    sets = (f"method.name={method}", *CALIBRATED, "calibration.keep_samples=true")
    sets = (*sets, "training.epochs=2", "output.checkpoint_every_steps=4", "task.max_length=128")
    calm, killed = (make_run(folder, tmp_path, name, *sets) for name in ("calm", "killed"))
    assert execute(calm, raise_errors=True) == 0
    for moment in (3, 7):
        kill_at(killed, moment)
    assert execute(killed, raise_errors=True) == 0
    assert same(weights(calm), weights(killed))
    assert sorted(map(json.dumps, story(calm))) == sorted(map(json.dumps, story(killed)))

    view = load_view(killed)
    gated = kind in GATED
    assert set(view.groups) == set(COMPONENTS if gated else SIX)
    assert events(killed, "group_switched")
    report = audit(killed)
    assert report.clean, [*report.disagreements, *report.missing]
    assert report.samples >= 3

    opened = AutoModelForSequenceClassification.from_pretrained(killed / "model")
    assert_predicts(killed, opened)
    stored = load_file(killed / "model" / "model.safetensors")
    assert stored.keys() == opened.state_dict().keys()
    ours, theirs = read_weights(killed), read_weights(killed / "model")
    assert ours.matrices.keys() == theirs.matrices.keys()
    assert all(ours.matrices[n].shape == theirs.matrices[n].shape for n in ours.matrices)


def test_the_best_model_of_a_stopped_run_is_rebuilt_from_whole_matrices(tmp_path: Path) -> None:
    folder = save("modernbert", tmp_path / "model", max_position_embeddings=64)
    run = make_run(folder, tmp_path, "run", "method.name=lora", "training.epochs=1")
    assert execute(run, raise_errors=True) == 0
    config = from_resolved(run / "config.toml")
    kept = best_weights(run)
    assert "model.layers.0.attn.Wqkv.weight" in kept
    exported, _ = open_best(run, config, NAMES, "classification")
    rebuilt, _ = rebuild(config, NAMES, "classification", kept)
    torch.testing.assert_close(evaluate_small(rebuilt), evaluate_small(exported))


def evaluate_small(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("gate", [[], ["gate:never"]])
def test_a_control_gives_the_gate_a_step_where_there_is_one(gate: list[str]) -> None:
    steps = ", ".join([*(f"{name}:6" for name in SIX), *gate])
    sets = ["method.name=lora", "calibration.variant=S", "calibration.control=matched"]
    config = load_config(None, [*sets, f'calibration.switch_steps="{steps}"']).config
    assert config.calibration.switch_steps == steps
    with pytest.raises(ConfigError):
        load_config(None, [*sets, f'calibration.switch_steps="{steps[9:]}"'])


@pytest.mark.slow
def test_a_matched_control_switches_the_blocks_when_its_run_did(tmp_path: Path) -> None:
    folder = save("modernbert", tmp_path / "model", max_position_embeddings=66)
    sets = ("method.name=lora", *CALIBRATED, "training.epochs=2")
    first = make_run(folder, tmp_path, "first", *sets)
    assert execute(first, raise_errors=True) == 0
    control = ("calibration.control=matched", f"calibration.matched_to={first}")
    second = make_run(folder, tmp_path, "second", *sets, *control)
    assert execute(second, raise_errors=True) == 0
    assert load_view(first).switched == load_view(second).switched
    assert any(step is not None for step in (load_view(first).switched or {}).values())
    assert same(weights(first), weights(second))
    assert audit(second).clean
