"""Every step of every method that moves weights, against its definition written anew.

The first half of each run is full fine-tuning, the second the light method; clipping is always
active, decay is large, so that leaving out any of them is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from calisr_engine.methods.base import seeded_generator
from tests.definitions.recording import (
    FIGURES,
    SWITCH,
    TOTAL,
    Recording,
    factors,
    is_embedding,
    is_target,
    mostly_adamw,
    optimizers,
    record,
    recorded,
)
from tests.definitions.reference import (
    Leaves,
    Reference,
    Settings,
    contraction,
    decomposed,
    fastfood,
    plain_name_without_decay,
)


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


@mostly_adamw
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


@mostly_adamw
@pytest.mark.parametrize("scaled", [True, False])
def test_said(model: Path, tmp_path: Path, optimizer: str, scaled: bool) -> None:
    """W0 + lambda P(theta), theta one for all matrices; no decay of theta and lambda; the bases
    stop at the switch, theta and lambda go on."""
    found = record(
        model,
        tmp_path,
        optimizer,
        "method.name=said",
        "method.dimension=300",  # more than 256, so small matrices see a part of theta only
        f"method.structure_aware={str(scaled).lower()}",
        "training.lft_learning_rate=0.3",
    )
    own = ("calisr_theta", "calisr_lambda")
    assert found.start["calisr_theta"].shape == (288 if scaled else 300,)
    assert not found.start["calisr_theta"].any()
    maps = {}
    for name in filter(is_target, found.start):
        stem = name.removesuffix(".weight")
        assert found.start[f"{stem}.calisr_base"].equal(found.start[name])
        assert float(found.start.get(f"{stem}.calisr_lambda", torch.ones(()))) == 1.0
        maps[stem] = fastfood(
            found.start[name].numel(),
            len(found.start["calisr_theta"]),
            seeded_generator(42, f"said/{stem}"),
        ).float()

    def dense(leaves: Leaves) -> Leaves:
        weights = {n: v for n, v in leaves.items() if "calisr_" not in n}
        for stem, projection in maps.items():
            base = leaves[f"{stem}.calisr_base"]
            moved = (projection @ leaves["calisr_theta"]).view(base.shape)
            weights[f"{stem}.weight"] = base + leaves.get(f"{stem}.calisr_lambda", 1.0) * moved
        return weights

    settings = Settings(
        total_steps=TOTAL,
        optimizer=optimizer,
        own_rates=lambda name: 0.3 if name.endswith(own) else None,
        decays=lambda name: not (plain_name_without_decay(name) or name.endswith(own)),
    )
    leaves = {n: v for n, v in found.start.items() if not is_target(n)}
    everything = set(leaves)
    assert len(maps) == 12
    assert sum(n.endswith("calisr_lambda") for n in everything) == (12 if scaled else 0)
    light = {n for n in everything if not n.endswith("calisr_base") and not is_embedding(n)}
    follow(found, Reference(model, leaves, settings, dense), (everything, light))
    last = found.after[-1]
    for stem, base in ((s, last[f"{s}.calisr_base"]) for s in maps):
        assert not torch.allclose(last[f"{stem}.weight"], base, rtol=0, atol=1e-3)


@mostly_adamw
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
