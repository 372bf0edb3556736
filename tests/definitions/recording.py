"""Whole small runs, recorded: where they began, which batches came, and every weight after each
step. What the steps should have done is computed by `reference.py`, which knows only the
definitions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from calisr_engine.process.execute import execute
from calisr_engine.training import step as steps
from calisr_engine.training.step import OptimizerStep
from tests.slow import quick_where
from tests.training.golden import newest_checkpoint
from tests.training.tiny_run import events, make_run

Batch = dict[str, Tensor]
Weights = dict[str, Tensor]

TARGET = re.compile(
    r"\.(query|key|value|attention\.output\.dense|intermediate\.dense|\d+\.output\.dense)$"
)
FIGURES = (
    "training.epochs=2",
    "training.weight_decay=0.1",
    "training.max_grad_norm=0.05",
    "training.adam_epsilon=1e-2",
)
"""Clipping is always active and decay is large, so that leaving out any of them is seen."""

TOTAL, SWITCH = 12, 6
"""Steps of a run that goes over to the light method in its middle."""

optimizers = pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
mostly_adamw = pytest.mark.parametrize(
    "optimizer", quick_where(["adamw", "sgd"], lambda name: name == "adamw")
)
"""Of a method whose parts are stepped as those of others: plain steps of SGD are shown there."""


@dataclass
class Recording:
    """One run.

    Attributes:
        start: parameters before the first step, by the engine's names.
        batches: micro-batches of each step.
        after: parameters after each step.
    """

    run: Path
    start: Weights = field(default_factory=dict)
    batches: list[list[Batch]] = field(default_factory=list)
    after: list[Weights] = field(default_factory=list)


def recorded(model: Path, folder: Path, name: str, *sets: str) -> Recording:
    """Train a run of the demo task and keep what it did. Dropout is off, so nothing is random."""
    torch.set_num_threads(1)
    run = make_run(model, folder, name, "training.dropout=0", *sets)
    result = Recording(run)
    forward, gradients, apply = steps.forward_loss, OptimizerStep.gradients, OptimizerStep.apply
    trained: list[nn.Module] = []

    def seen(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        if result.batches:  # not a pass before the first step
            if not trained:
                trained.append(model)
                result.start = weights(model)
            result.batches[-1].append({key: value.clone() for key, value in batch.items()})
        return forward(model, batch)

    def begun(self: OptimizerStep, number: int) -> None:
        result.batches.append([])
        gradients(self, number)

    def done(self: OptimizerStep, number: int) -> bool:
        changed = apply(self, number)
        result.after.append(weights(trained[0]))
        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "forward_loss", seen)
        patch.setattr(OptimizerStep, "gradients", begun)
        patch.setattr(OptimizerStep, "apply", done)
        assert execute(run, raise_errors=True) == 0
    return result


def weights(model: nn.Module) -> Weights:
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def is_target(name: str) -> bool:
    return bool(TARGET.search(name.removesuffix(".weight"))) and name.endswith(".weight")


def fisher_masks(recording: Recording) -> dict[str, Tensor]:
    """ChildTuning-D's masks by parameter name, as the newest checkpoint keeps them."""
    stored = load_file(newest_checkpoint(recording.run) / "forms.safetensors")
    return {f"{name.split('::')[0]}.weight": mask for name, mask in stored.items()}


def factors(recording: Recording) -> dict[tuple[int, ...], tuple[list[int], list[int]]]:
    """How the run says that it factorises each shape."""
    told = json.dumps(events(recording.run, "noted"))
    said = re.findall(r"MPO of (\d+) x (\d+): (\[.*?\]) x (\[.*?\])", told)
    assert len(said) == 3
    return {(int(m), int(n)): (json.loads(i), json.loads(j)) for m, n, i, j in said}


def record(model: Path, folder: Path, optimizer: str, *sets: str) -> Recording:
    """Half of the run full fine-tuning, half the light method."""
    found = recorded(
        model,
        folder,
        "run",
        *FIGURES,
        "schedule.switch_at=0.5",
        f"training.optimizer={optimizer}",
        *sets,
    )
    assert len(found.after) == TOTAL
    return found


def is_embedding(name: str) -> bool:
    return "_embeddings.weight" in name
