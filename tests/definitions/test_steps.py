"""Every step of every method that moves weights, against its definition written anew.

The first half of each run is full fine-tuning, the second the light method; clipping is always
active, decay is large, so that leaving out any of them is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from tests.definitions.recording import (
    FIGURES,
    Recording,
    factors,
    fisher_masks,
    is_target,
    recorded,
)
from tests.definitions.reference import (
    Leaves,
    Reference,
    Settings,
    contraction,
    decomposed,
    plain_name_without_decay,
)

TOTAL, SWITCH = 12, 6
optimizers = pytest.mark.parametrize("optimizer", ["adamw", "sgd"])


def record(model: Path, folder: Path, optimizer: str, *sets: str) -> Recording:
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


def follow(
    recording: Recording,
    reference: Reference,
    phases: tuple[set[str], set[str]],
    compare: Callable[[Leaves], Leaves] = dict,
) -> None:
    """Step the reference beside the recorded run and compare all leaves after each step."""
    names = compare(reference.leaves).keys()
    for number, batches in enumerate(recording.batches, start=1):
        reference.step(batches, phases[0] if number <= SWITCH else phases[1])
        for name in names:
            ours, theirs = recording.after[number - 1][name], reference.leaves[name]
            torch.testing.assert_close(
                ours, theirs, rtol=1e-4, atol=2e-6, msg=lambda m, n=name, k=number: f"{k} {n}: {m}"
            )


@optimizers
def test_full_fine_tuning(model: Path, tmp_path: Path, optimizer: str) -> None:
    found = recorded(
        model,
        tmp_path,
        "fft",
        "method.name=fft",
        *FIGURES,
        f"training.optimizer={optimizer}",
        "training.accumulate=2",
        "training.batch_size=10",
    )
    settings = Settings(total_steps=len(found.after), optimizer=optimizer)
    reference = Reference(model, found.start, settings)
    everything = set(found.start)
    follow(found, reference, (everything, everything))


@optimizers
def test_lora(model: Path, tmp_path: Path, optimizer: str) -> None:
    """W + (alpha / r) B A; factors have a rate of their own and go on with head and biases."""
    found = record(
        model,
        tmp_path,
        optimizer,
        "method.name=lora",
        "method.rank=2",
        "method.alpha=6",
        "training.lft_learning_rate=3e-2",
        'method.components=["query","key","value","attention_output","intermediate","output"]',
    )

    def dense(leaves: Leaves) -> Leaves:
        weights = {}
        for name, value in leaves.items():
            if ".lora_" in name:
                continue
            plain = name.replace(".base_layer", "")
            if name.endswith(".base_layer.weight"):
                stem = name.removesuffix(".base_layer.weight")
                a, b = (leaves[f"{stem}.lora_{x}.calisr.weight"] for x in "AB")
                value = value + 3.0 * (b @ a)
            weights[plain] = value
        return weights

    settings = Settings(
        total_steps=TOTAL,
        optimizer=optimizer,
        own_rates=lambda name: 3e-2 if ".lora_" in name else None,
    )
    everything = set(found.start)
    bases = {name for name in everything if name.endswith(".base_layer.weight")}
    assert len(bases) == 12
    light = {n for n in everything if n not in bases and not is_embedding(n)}
    for name, value in found.start.items():
        if ".lora_B" in name:
            assert not value.any()
        if ".lora_A" in name:  # Kaiming uniform with a = sqrt(5): within 1 / sqrt(fan in)
            bound = value.shape[1] ** -0.5
            assert 0.5 * bound < float(value.abs().max()) <= bound
    follow(found, Reference(model, found.start, settings, dense), (everything, light))


@optimizers
def test_bitfit(model: Path, tmp_path: Path, optimizer: str) -> None:
    found = record(model, tmp_path, optimizer, "method.name=bitfit")
    everything = set(found.start)
    light = {n for n in everything if "bias" in n or n.startswith("classifier.")}
    settings = Settings(total_steps=TOTAL, optimizer=optimizer)
    follow(found, Reference(model, found.start, settings), (everything, light))


@optimizers
def test_mask_bert(model: Path, tmp_path: Path, optimizer: str) -> None:
    """W * [score > threshold], straight-through; decay on weights, none on scores."""
    rates = {"adamw": ["training.lft_learning_rate=5e-2"]}
    rates["sgd"] = ["training.lft_learning_rate=1e-3", "method.mask_lr=5e-2"]
    found = record(model, tmp_path, optimizer, "method.name=mask_bert", *rates[optimizer])

    def dense(leaves: Leaves) -> Leaves:
        weights = {n: v for n, v in leaves.items() if ".calisr_" not in n}
        for name, scores in leaves.items():
            if name.endswith(".calisr_scores"):
                stem = name.removesuffix(".calisr_scores")
                hard = (scores > 1e-2).float()
                through = hard + scores - scores.detach()
                weights[f"{stem}.weight"] = leaves[f"{stem}.calisr_base"] * through
        return weights

    settings = Settings(
        total_steps=TOTAL,
        optimizer=optimizer,
        own_rates=lambda name: 5e-2 if name.endswith("calisr_scores") else None,
        decays=lambda name: not (plain_name_without_decay(name) or name.endswith("calisr_scores")),
    )
    # Scores begin uniform on (-s, (s + threshold) / sparsity - s): one in twenty is masked.
    scores = torch.cat([v.flatten() for n, v in found.start.items() if n.endswith("calisr_scores")])
    low, high = -0.02, 0.03 / 0.05 - 0.02
    assert low <= float(scores.min()) < low + 0.01
    assert high - 0.01 < float(scores.max()) <= high
    assert float(scores.mean()) == pytest.approx((low + high) / 2, abs=0.02)
    assert float((scores <= 0.01).float().mean()) == pytest.approx(0.05, abs=0.015)
    # The dense weight of a target is a product, no leaf.
    leaves = {n: v for n, v in found.start.items() if not is_target(n)}
    everything = set(leaves)
    stems = {n.removesuffix(".calisr_base") for n in everything if n.endswith(".calisr_base")}
    assert len(stems) == 12
    frozen = {f"{s}.calisr_base" for s in stems} | {f"{s}.bias" for s in stems}
    light = {n for n in everything if n not in frozen and not is_embedding(n)}
    follow(found, Reference(model, leaves, settings, dense), (everything, light))


@optimizers
def test_mpop(model: Path, tmp_path: Path, optimizer: str) -> None:
    """Five tensors contracted to W; their own rate, no decay; the central one stops."""
    found = record(model, tmp_path, optimizer, "method.name=mpop", "method.mpo_lr=4e-3")

    def dense(leaves: Leaves) -> Leaves:
        weights = {n: v for n, v in leaves.items() if ".calisr_mpo." not in n}
        for stem in {n.partition(".calisr_mpo.")[0] for n in leaves if ".calisr_mpo." in n}:
            weights[f"{stem}.weight"] = contraction(
                [leaves[f"{stem}.calisr_mpo.{k}"] for k in range(5)]
            )
        return weights

    settings = Settings(
        total_steps=TOTAL,
        optimizer=optimizer,
        own_rates=lambda name: 4e-3 if ".calisr_mpo." in name else None,
        decays=lambda name: not (plain_name_without_decay(name) or ".calisr_mpo." in name),
    )
    leaves = {n: v for n, v in found.start.items() if not is_target(n)}
    everything = set(leaves)
    central = {n for n in everything if n.endswith(".calisr_mpo.2")}
    assert len(central) == 12
    light = {n for n in everything if n not in central and not is_embedding(n)}
    follow(found, Reference(model, leaves, settings, dense), (everything, light))


@optimizers
def test_mpop_from_the_switch_on(model: Path, tmp_path: Path, optimizer: str) -> None:
    """Plain full fine-tuning, decomposed at the switch; the four auxiliary tensors begin afresh."""
    sets = ("method.name=mpop", "method.parametrisation=at_switch", "method.mpo_lr=4e-3")
    found = record(model, tmp_path, optimizer, *sets)
    sides = factors(found)

    def dense(leaves: Leaves) -> Leaves:
        weights = {n: v for n, v in leaves.items() if "~" not in n}
        for name in {n.partition("~")[0] for n in leaves if "~" in n}:
            weights[name] = contraction([leaves[f"{name}~{k}"] for k in range(5)])
        return weights

    settings = Settings(
        total_steps=TOTAL,
        optimizer=optimizer,
        own_rates=lambda name: 4e-3 if "~" in name else None,
        decays=lambda name: not (plain_name_without_decay(name) or "~" in name),
    )
    reference = Reference(model, found.start, settings, dense)
    for number, batches in enumerate(found.batches, start=1):
        if number == SWITCH + 1:
            for name in filter(is_target, found.start):
                weight = reference.leaves.pop(name)
                for k, piece in enumerate(decomposed(weight.double(), *sides[tuple(weight.shape)])):
                    reference.leaves[f"{name}~{k}"] = piece.float()
        still = {n for n in reference.leaves if n.endswith("~2") or is_embedding(n)}
        reference.step(batches, set(reference.leaves) - (still if number > SWITCH else set()))
        for name, value in dense(reference.leaves).items():
            torch.testing.assert_close(
                found.after[number - 1][name], value, rtol=1e-4, atol=2e-6, msg=f"{number} {name}"
            )


@optimizers
@pytest.mark.parametrize("habit", ["ours", "own rate", "reference"])
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
    from safetensors.torch import load_file

    from calisr_engine.process.execute import execute
    from tests.training.golden import newest_checkpoint
    from tests.training.tiny_run import make_run

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


@optimizers
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
