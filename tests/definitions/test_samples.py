"""The pair that a sample compares, against its definition: W with only the core stepped, and W with
everything stepped. Computed from the recorded weights before and after the step, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from calisr_engine.methods.base import seeded_generator
from tests.definitions.recording import (
    FIGURES,
    Recording,
    Weights,
    factors,
    fisher_masks,
    recorded,
)
from tests.definitions.reference import (
    Reference,
    Settings,
    contraction,
    decomposed,
    fastfood,
    first_step,
)

STEPS = 12
RATE, DECAY, EPSILON = 1e-2, 0.1, 1e-2
SAMPLED = (2, 5, 9)
Pair = tuple[Tensor, Tensor]


def sampled(model: Path, folder: Path, optimizer: str, *sets: str) -> Recording:
    """A calibrated run that never switches and keeps what it measured."""
    return recorded(
        model,
        folder,
        "run",
        *FIGURES,
        f"training.optimizer={optimizer}",
        "calibration.variant=S",
        "calibration.delta=1.0",
        "calibration.every_steps=1",
        "calibration.keep_samples=true",
        *sets,
    )


def check(found: Recording, pair: Callable[[int, str, Weights, Weights], Pair]) -> None:
    """Each matrix of each sample. `pair` takes step, module name, weights before and after."""
    assert len(found.after) == STEPS
    assert not (found.run / "samples" / "step-1.safetensors").exists()  # its rate is 0
    for step in SAMPLED:
        kept = load_file(found.run / "samples" / f"step-{step}.safetensors")
        stems = {key.split("|")[1].removesuffix("::lft") for key in kept if key.endswith("::lft")}
        assert len(stems) == 12
        before, after = found.after[step - 2], found.after[step - 1]
        for key, value in kept.items():
            assert value.dtype == torch.float64
            stem, _, side = key.split("|")[1].partition("::")
            lft, fft = pair(step, stem, before, after)
            torch.testing.assert_close(
                value, lft if side == "lft" else fft, rtol=1e-4, atol=2e-7, msg=f"{step} {key}"
            )
            assert not torch.allclose(lft, fft, rtol=0, atol=2e-6)


def test_lora(model: Path, tmp_path: Path) -> None:
    """The old base and the new factors, against the new base and the new factors."""
    found = sampled(model, tmp_path, "adamw", "method.name=lora", "method.rank=2", "method.alpha=6")

    def pair(step: int, stem: str, before: Weights, after: Weights) -> Pair:
        a, b = (after[f"{stem}.lora_{x}.calisr.weight"].double() for x in "AB")
        old, new = (w[f"{stem}.base_layer.weight"].double() for w in (before, after))
        return old + 3 * b @ a, new + 3 * b @ a

    check(found, pair)


def test_mask_bert(model: Path, tmp_path: Path) -> None:
    """The old weights under the new mask, against the new weights under it."""
    found = sampled(model, tmp_path, "adamw", "method.name=mask_bert", "method.mask_lr=0.2")

    def pair(step: int, stem: str, before: Weights, after: Weights) -> Pair:
        mask = (after[f"{stem}.calisr_scores"] > 1e-2).double()
        old, new = (w[f"{stem}.calisr_base"].double() for w in (before, after))
        return old * mask, new * mask

    check(found, pair)


def test_said(model: Path, tmp_path: Path) -> None:
    """The old base and the new vector and scale, against the new base and them."""
    found = sampled(model, tmp_path, "adamw", "method.name=said", "training.lft_learning_rate=0.1")

    def pair(step: int, stem: str, before: Weights, after: Weights) -> Pair:
        theta = after["calisr_theta"].double()
        old, new = (w[f"{stem}.calisr_base"].double() for w in (before, after))
        draws = seeded_generator(42, f"said/{stem}")
        moved = (fastfood(old.numel(), len(theta), draws) @ theta).view(old.shape)
        moved *= after[f"{stem}.calisr_lambda"].double()
        return old + moved, new + moved

    check(found, pair)


def test_mpop(model: Path, tmp_path: Path) -> None:
    """The old central tensor among the new others, against all of the new ones."""
    found = sampled(model, tmp_path, "adamw", "method.name=mpop", "method.mpo_lr=1e-2")

    def pair(step: int, stem: str, before: Weights, after: Weights) -> Pair:
        pieces = [after[f"{stem}.calisr_mpo.{k}"].double() for k in range(5)]
        old = before[f"{stem}.calisr_mpo.2"].double()
        return contraction([*pieces[:2], old, *pieces[3:]]), contraction(pieces)

    check(found, pair)


def test_bitfit(model: Path, tmp_path: Path) -> None:
    """No matrix has a core: the old weights against the new ones."""
    found = sampled(model, tmp_path, "adamw", "method.name=bitfit")
    check(found, lambda step, stem, *two: tuple(w[f"{stem}.weight"].double() for w in two))  # type: ignore[arg-type,return-value]


def test_child_tuning_d(model: Path, tmp_path: Path) -> None:
    """The entries under the mask are new, the others old."""
    found = sampled(model, tmp_path, "adamw", "method.name=child_tuning_d")
    masks = fisher_masks(found)

    def pair(step: int, stem: str, before: Weights, after: Weights) -> Pair:
        old, new = (w[f"{stem}.weight"].double() for w in (before, after))
        return torch.where(masks[f"{stem}.weight"], new, old), new

    check(found, pair)


def test_child_tuning_f(model: Path, tmp_path: Path) -> None:
    """A random share p of the entries is new, others each step."""
    found = sampled(model, tmp_path, "adamw", "method.name=child_tuning_f", "method.p=0.3")
    seen: dict[str, Tensor] = {}
    moved = total = 0
    for step in range(2, STEPS + 1):
        kept = load_file(found.run / "samples" / f"step-{step}.safetensors")
        for key in (each for each in kept if each.endswith("::lft")):
            name = key.split("|")[1].removesuffix("::lft") + ".weight"
            old, new = (found.after[step - back][name].double() for back in (2, 1))
            lft = kept[key]
            assert bool(((lft == old) | (lft == new)).all())
            assert kept[key.replace("::lft", "::fft")].equal(new)
            mask = (lft == new) & (old != new)
            moved, total = moved + int(mask.sum()), total + int((old != new).sum())
            assert name not in seen or not seen[name].equal(mask)
            seen[name] = mask
    assert moved / total == pytest.approx(0.3, abs=0.02)


def gradients(found: Recording, model: Path, optimizer: str) -> list[dict[str, Tensor]]:
    """Clipped gradients of each step of plain full fine-tuning, at the recorded weights."""
    settings = Settings(total_steps=STEPS, optimizer=optimizer)
    plain = {plainly(n): v for n, v in found.start.items() if ".lora_" not in n}
    reference = Reference(model, plain, settings)
    result = []
    for batches, after in zip(found.batches, found.after, strict=True):
        reference.step(batches, set(plain))
        result.append(reference.gradients)
        reference.leaves = {plainly(n): v.clone() for n, v in after.items() if ".lora_" not in n}
    return result


def plainly(name: str) -> str:
    return name.replace(".base_layer", "")


def factor(step: int) -> float:
    """Of the learning rate: one step of warm-up (6 % of 12, rounded up), then down to zero."""
    warm = math.ceil(0.06 * STEPS)
    return (STEPS - (step - 1)) / (STEPS - warm)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("own", [None, 5e-2])
def test_lora_in_the_shadow(model: Path, tmp_path: Path, optimizer: str, own: float | None) -> None:
    """W_LFT is the old W plus the waiting factors after one first step, by the light method's rate
    and the schedule; the run itself is plain full fine-tuning."""
    sets = ["method.name=lora", "method.parametrisation=shadow", "method.rank=2", "method.alpha=6"]
    sets += [] if own is None else [f"training.lft_learning_rate={own}"]
    found = sampled(model, tmp_path, optimizer, *sets)
    each = gradients(found, model, optimizer)

    def pair(step: int, stem: str, before: Weights, after: Weights) -> Pair:
        g = each[step - 1][f"{stem}.weight"]
        a, b = (found.start[f"{stem}.lora_{x}.calisr.weight"] for x in "AB")
        assert a.equal(after[f"{stem}.lora_A.calisr.weight"])
        rate = (own or RATE) * factor(step)
        stepped = [
            first_step(value, gradient, rate, DECAY, EPSILON, optimizer).double()
            for value, gradient in ((a, 3 * b.T @ g), (b, 3 * g @ a.T))
        ]
        old, new = (w[f"{stem}.base_layer.weight"].double() for w in (before, after))
        return old + 3 * stepped[1] @ stepped[0], new

    check(found, pair)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_mpop_in_the_shadow(model: Path, tmp_path: Path, optimizer: str) -> None:
    """W_LFT is the old W, decomposed, after one first step of its four auxiliary tensors."""
    sets = ("method.name=mpop", "method.parametrisation=at_switch", "method.mpo_lr=0.1")
    found = sampled(model, tmp_path, optimizer, *sets)
    each = gradients(found, model, optimizer)
    sides = factors(found)

    def pair(step: int, stem: str, before: Weights, after: Weights) -> Pair:
        old = before[f"{stem}.weight"].double()
        pieces = [
            piece.float().requires_grad_() for piece in decomposed(old, *sides[tuple(old.shape)])
        ]
        contraction(pieces).backward(each[step - 1][f"{stem}.weight"])
        for k in (0, 1, 3, 4):
            gradient = pieces[k].grad
            assert gradient is not None
            rate = 0.1 * factor(step)
            pieces[k] = first_step(pieces[k].detach(), gradient, rate, 0.0, EPSILON, optimizer)
        return contraction([p.detach().double() for p in pieces]), after[f"{stem}.weight"].double()

    check(found, pair)
