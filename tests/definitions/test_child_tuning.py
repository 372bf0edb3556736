"""ChildTuning, step by step, against its definition: which entries it trains, and how they move."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertForSequenceClassification

from calisr_engine.process.execute import execute
from tests.definitions.recording import (
    SWITCH,
    TOTAL,
    Recording,
    fisher_masks,
    is_embedding,
    is_target,
    mostly_adamw,
    record,
)
from tests.definitions.reference import Reference, Settings
from tests.slow import quick_where
from tests.training.golden import newest_checkpoint
from tests.training.tiny_run import make_run


@pytest.mark.parametrize(
    ("optimizer", "habit"),
    quick_where(
        itertools.product(["adamw", "sgd"], ["ours", "own rate", "reference"]),
        lambda case: case[0] == "adamw" or case[1] == "reference",
    ),
)
def test_child_tuning_d(model: Path, tmp_path: Path, optimizer: str, habit: str) -> None:
    """After the switch the entries under the mask go on with their moments, the others stand. As
    published, others lose their gradient alone: momentum and decay still move them."""
    sets = {"own rate": ["training.lft_learning_rate=3e-2"]}
    sets["reference"] = ["method.reference=true", "method.embeddings=train"]
    found = record(model, tmp_path, optimizer, "method.name=child_tuning_d", *sets.get(habit, []))
    masks = fisher_masks(found)
    assert len(masks) == 12
    share = sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())
    assert share == pytest.approx(0.3, abs=0.01)
    phase = {"light": False}
    settings = Settings(
        total_steps=TOTAL,
        optimizer=optimizer,
        own_rates=lambda name: 3e-2 if phase["light"] and own and name in masks else None,
    )
    own = habit == "own rate"
    leaves = {n: v for n, v in found.start.items() if ".calisr_" not in n}

    def mask(name: str, gradient: Tensor) -> Tensor:
        return gradient * masks[name] if phase["light"] and name in masks else gradient

    def kept(name: str, new: Tensor, old: Tensor) -> Tensor:
        still = phase["light"] and name in masks and habit != "reference"
        return torch.where(masks[name], new, old) if still else new

    reference = Reference(model, leaves, settings, mask=mask, kept=kept)
    everything = set(leaves)
    light = {n for n in everything if habit == "reference" or not is_embedding(n)}
    for number, batches in enumerate(found.batches, start=1):
        phase["light"] = number > SWITCH
        reference.step(batches, light if phase["light"] else everything)
        for name, value in reference.leaves.items():
            torch.testing.assert_close(
                found.after[number - 1][name], value, rtol=1e-4, atol=2e-6, msg=f"{number} {name}"
            )
    for name, chosen in masks.items():
        before, after = found.after[SWITCH - 1][name], found.after[-1][name]
        still = torch.equal(before[~chosen], after[~chosen])  # to the bit
        assert still == (habit != "reference")


def test_child_tuning_d_masks_by_fisher_information(model: Path, tmp_path: Path) -> None:
    """F += g^2 / batches with each tensor's gradient clipped alone; the top share p of all."""
    limit = 0.01
    sets = ("method.name=child_tuning_d", "method.p=0.2", f"training.max_grad_norm={limit}")
    found = record(model, tmp_path, "adamw", *sets)
    masks = fisher_masks(found)
    own = BertForSequenceClassification.from_pretrained(
        model, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    own.load_state_dict({n: v for n, v in found.start.items() if ".calisr_" not in n}, strict=False)
    own.train()
    parameters = {n: p for n, p in own.named_parameters() if is_target(n)}
    totals = {name: torch.zeros_like(p) for name, p in parameters.items()}
    batches, clipped = fixed_order(found), 0
    for batch in batches:
        own.zero_grad()
        own(**batch).loss.backward()
        for name, parameter in parameters.items():
            gradient = parameter.grad
            assert gradient is not None
            scale = limit / (float(gradient.norm()) + 1e-6)
            clipped += scale < 1
            gradient = gradient * min(1.0, scale)
            totals[name] += gradient.square() / len(batches)
    assert 0 < clipped < len(batches) * len(parameters)  # some gradients are clipped, some are not
    pool = torch.cat([total.reshape(-1) for total in totals.values()])
    threshold = pool.double().quantile(0.8)
    agree = sum(int(((total >= threshold) == masks[name]).sum()) for name, total in totals.items())
    assert agree / pool.numel() > 0.999


def fixed_order(found: Recording) -> list[dict[str, Tensor]]:
    """The training examples in the order of the data, in batches of 16, padded as the run pads."""
    from calisr_engine.config.load import from_resolved
    from calisr_engine.models.load import load_model
    from calisr_engine.tasks.data import load_task
    from calisr_engine.training.batching import TaskBatches

    config = from_resolved(found.run / "config.toml")
    data = load_task(config.task)
    loaded = load_model(config.model, num_labels=2, kind=data.kind, seed=42)
    batches = TaskBatches(data, loaded.tokenizer, config)
    return list(batches.fixed_order(torch.device("cpu"), None))


def test_child_tuning_d_reads_dropout(model: Path, tmp_path: Path) -> None:
    """The Fisher pass runs in training mode: with dropout its masks are others."""
    torch.set_num_threads(1)
    masks = []
    for dropout in ("0", "0.5"):
        run = make_run(
            model,
            tmp_path,
            f"dropout-{dropout}",
            "method.name=child_tuning_d",
            f"training.dropout={dropout}",
            "training.epochs=1",
        )
        assert execute(run, raise_errors=True) == 0
        masks.append(load_file(newest_checkpoint(run) / "forms.safetensors"))
    differing = sum(int((masks[0][n] != masks[1][n]).sum()) for n in masks[0])
    assert differing > 0.02 * sum(m.numel() for m in masks[0].values())


@mostly_adamw
def test_child_tuning_f(model: Path, tmp_path: Path, optimizer: str) -> None:
    """Each light step moves a fresh random share p, with its gradient divided by p."""
    p = 0.3
    found = record(model, tmp_path, optimizer, "method.name=child_tuning_f", f"method.p={p}")
    settings = Settings(total_steps=TOTAL, optimizer=optimizer)
    targets = [n for n in found.start if is_target(n)]
    masks: dict[str, Tensor] = {}

    def mask(name: str, gradient: Tensor) -> Tensor:
        return gradient * masks[name] / p if name in masks else gradient

    def kept(name: str, new: Tensor, old: Tensor) -> Tensor:
        return torch.where(masks[name], new, old) if name in masks else new

    reference = Reference(model, found.start, settings, mask=mask, kept=kept)
    everything = set(found.start)
    light = {n for n in everything if not is_embedding(n)}
    previous: dict[str, Tensor] = {}
    for number, batches in enumerate(found.batches, start=1):
        after = found.after[number - 1]
        if number > SWITCH:
            before = found.after[number - 2]
            masks = {name: after[name] != before[name] for name in targets}
            moved = sum(int(m.sum()) for m in masks.values())
            size = sum(m.numel() for m in masks.values())
            assert moved / size == pytest.approx(p, abs=0.04)
            for name in previous:  # a mask of its own each step, for each matrix
                assert not torch.equal(previous[name], masks[name])
            shaped = [m for m in masks.values() if m.shape == masks[targets[0]].shape]
            assert not any(torch.equal(shaped[0], other) for other in shaped[1:])
            previous = masks
        reference.step(batches, light if number > SWITCH else everything)
        for name, value in reference.leaves.items():
            torch.testing.assert_close(
                after[name], value, rtol=1e-4, atol=2e-6, msg=f"{number} {name}"
            )


def test_child_tuning_f_as_published(model: Path, tmp_path: Path) -> None:
    """Entries outside a step's mask move too, by their momentum and decay."""
    found = record(model, tmp_path, "sgd", "method.name=child_tuning_f", "method.reference=true")
    for number in range(SWITCH, TOTAL):
        for name in (n for n in found.start if is_target(n)):
            before, after = found.after[number - 1][name], found.after[number][name]
            assert float((before != after).float().mean()) > 0.95
