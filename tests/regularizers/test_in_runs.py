"""What holds for every regulariser in whole runs, alone and beside calibration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.process.execute import execute
from calisr_engine.regularizers.catalog import REGULARIZERS
from calisr_engine.results.audit import audit
from tests.slow import quick_where
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import kill_at, stop_at
from tests.training.tiny_run import events, make_run

GROUPS = ("query", "key", "value", "attention_output", "intermediate", "output")
SHORT = ("task.max_train_examples=48", "task.max_validation_examples=8")
"""Three epochs of three steps."""
SWITCHES = (
    "calibration.variant=S",
    "calibration.samples_per_epoch=1",
    "calibration.control=matched",
    "calibration.measure=true",
    "calibration.switch_steps=" + ", ".join(f"{group}:4" for group in GROUPS),
)
PROXIMAL = {"smart": ("regularizer.smart_proximal=1", "regularizer.smart_epsilon=0.01")}
"""With all that it keeps between steps."""

every = pytest.mark.parametrize("name", REGULARIZERS)


def sets(name: str, *more: str) -> tuple[str, ...]:
    return (*SHORT, f"regularizer.name={name}", *PROXIMAL.get(name, ()), *more)


def weights(run: Path) -> str:
    return digest(newest_checkpoint(run) / "model.safetensors")


def trained(model: Path, folder: Path, name: str, *settings: str) -> Path:
    run = make_run(model, folder, name, *settings)
    assert execute(run, raise_errors=True) == 0
    return run


METHODS = {
    "fft": ("method.name=fft",),
    "lora": ("method.name=lora", *SWITCHES),
    "mpop": ("method.name=mpop", *SWITCHES),
    "branches": (
        "method.name=lora",
        "method.components=query,value",
        "method.elsewhere=fft",
        "calibration.variant=S",
        "calibration.samples_per_epoch=1",
        "calibration.delta=1",
        "calibration.reading=branches",
    ),
}


@pytest.mark.parametrize(
    ("name", "method"),
    quick_where(
        [
            *((name, method) for name in REGULARIZERS for method in ("fft", "lora")),
            ("mixout", "mpop"),
            ("stable_rank", "branches"),
            ("smart", "branches"),
        ],
        lambda case: case[1] == "lora",
    ),
)
def test_it_changes_a_run_that_resumes_to_the_same_bits(
    name: str, method: str, model: Path, tmp_path: Path
) -> None:
    often = (*METHODS[method], "output.checkpoint_every_steps=2")
    whole = trained(model, tmp_path, "whole", *sets(name), *often)
    killed = make_run(model, tmp_path, "killed", *sets(name), *often)
    kill_at(killed, 3)
    assert stop_at(killed, 6) == 75
    assert execute(killed, raise_errors=True) == 0
    assert weights(killed) == weights(whole)
    plain = trained(model, tmp_path, "plain", *SHORT, *often)
    assert weights(plain) != weights(whole)


@pytest.mark.parametrize(
    ("name", "reading"),
    [*((name, "step") for name in REGULARIZERS), ("stable_rank", "branches")],
)
def test_measuring_changes_nothing(name: str, reading: str, model: Path, tmp_path: Path) -> None:
    lora = sets(name, "method.name=lora")
    never = trained(model, tmp_path, "never", *lora, "schedule.switch_at=1.0")
    measured = trained(
        model,
        tmp_path,
        "measured",
        *lora,
        "calibration.variant=S",
        "calibration.delta=1",
        "calibration.samples_per_epoch=2",
        f"calibration.reading={reading}",
    )
    assert len(events(measured, "stable_rank_sampled")) > 0
    assert weights(measured) == weights(never)


@every
def test_what_a_switch_froze_stays_to_the_bit(name: str, model: Path, tmp_path: Path) -> None:
    run = trained(
        model,
        tmp_path,
        "run",
        *sets(name, "method.name=lora", *SWITCHES),
        "output.checkpoint_every_steps=4",
        "output.keep_checkpoints=9",
    )
    one, two = (load_file(run / "checkpoints" / f"step-{n}/model.safetensors") for n in (4, 9))
    bases = [key for key in one if key.endswith("base_layer.weight")]
    assert len(bases) == 12
    for key in bases:
        assert torch.equal(one[key], two[key]), key
    factors = [key for key in one if ".lora_" in key]
    assert not any(torch.equal(one[key], two[key]) for key in factors)


@every
def test_the_audit_agrees(name: str, model: Path, tmp_path: Path) -> None:
    run = trained(
        model,
        tmp_path,
        "run",
        *sets(name, "method.name=lora"),
        "calibration.variant=S",
        "calibration.samples_per_epoch=3",
        "calibration.keep_samples=true",
    )
    found = audit(run)
    assert found.samples > 0
    assert not found.disagreements
    assert not found.missing
