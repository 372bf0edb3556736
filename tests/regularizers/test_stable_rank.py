"""Stable rank normalisation against its closed form (Sanyal et al., 2020, Theorem 1)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from calisr_engine.process.execute import execute
from calisr_engine.regularizers.stable_rank.regularizer import normalized, top_right_vector
from tests.training.golden import newest_checkpoint
from tests.training.tiny_run import events, make_run, save_model


def closed_form(weight: Tensor, rank: float) -> Tensor:
    """S1 + gamma S2 from the whole spectrum, in float64."""
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    rest = s[1:].square().sum().sqrt()
    s[1:] *= torch.clamp(((rank - 1) ** 0.5) * s[0] / rest, max=1.0)
    return u @ torch.diag(s) @ vh


def stable_rank(weight: Tensor) -> float:
    s = torch.linalg.svdvals(weight.double())
    return float(s.square().sum() / s[0] ** 2)


@pytest.mark.parametrize("shape", [(9, 9), (12, 5), (5, 12)])
@pytest.mark.parametrize("rank", [1.0, 1.5, 2.2, 100.0])
def test_it_is_the_closed_form(shape: tuple[int, int], rank: float) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    vector, own = top_right_vector(weight)
    assert float(own) == pytest.approx(stable_rank(weight), rel=1e-12)
    found, after = normalized(weight, vector, torch.tensor(rank, dtype=torch.float64), 1)
    torch.testing.assert_close(found, closed_form(weight, rank), rtol=0, atol=1e-12)
    torch.testing.assert_close(after.abs(), vector.abs(), rtol=0, atol=1e-12)
    assert stable_rank(found) == pytest.approx(min(rank, float(own)), rel=1e-12)
    norm = torch.linalg.matrix_norm
    assert float(norm(found, 2)) == pytest.approx(float(norm(weight, 2)), rel=1e-12)
    if rank > float(own):
        assert torch.equal(found, weight)


def test_power_iterations_find_the_part_that_is_kept() -> None:
    draw = torch.Generator().manual_seed(2)
    weight = torch.randn(12, 8, generator=draw).double()
    vector = torch.randn(8, generator=draw).double()
    target = torch.tensor(2.0).double()
    found, _ = normalized(weight, vector / vector.norm(), target, 500)
    torch.testing.assert_close(found, closed_form(weight, 2.0), rtol=0, atol=1e-10)


def test_a_matrix_of_zeros_stays() -> None:
    zero = torch.zeros(3, 4).double()
    vector, _ = top_right_vector(zero)
    found, _ = normalized(zero, vector, torch.tensor(1.0).double(), 1)
    assert torch.equal(found, zero)


@pytest.mark.parametrize("of", ["start", "side", "one"])
def test_the_matrices_of_a_run_are_held_at_their_targets(of: str, tmp_path: Path) -> None:
    """One power iteration a step follows the weights."""
    torch.set_num_threads(1)
    share = {"start": 0.6, "side": 0.15, "one": 2.0}[of]
    run = make_run(
        save_model(tmp_path / "model"),
        tmp_path,
        "run",
        "method.name=fft",
        "training.learning_rate=1e-3",
        "regularizer.name=stable_rank",
        f"regularizer.stable_rank_target={share}",
        f"regularizer.stable_rank_of={of}",
    )
    start = load_file(tmp_path / "model" / "model.safetensors")
    assert execute(run, raise_errors=True) == 0
    kept = load_file(newest_checkpoint(run) / "regularizer.safetensors")
    weights = load_file(newest_checkpoint(run) / "model.safetensors")
    names = {name.partition("::")[0] for name in kept}
    assert len(names) == 12
    for name in names:
        before = start[f"{name}.weight"]
        wanted = {"start": stable_rank(before), "side": min(before.shape), "one": 1.0}[of] * share
        wanted = max(1.0, min(wanted, stable_rank(before)))
        assert stable_rank(weights[f"{name}.weight"]) <= wanted * 1.02, name
    (said,) = [e["message"] for e in events(run, "noted") if "normalisation" in e["message"]]
    assert "covers 12 matrices" in said


def test_where_nothing_is_above_its_target_that_is_told(tmp_path: Path) -> None:
    run = make_run(
        save_model(tmp_path / "model"),
        tmp_path,
        "run",
        "method.name=fft",
        "training.max_steps=2",
        "training.warmup_ratio=0",
        "regularizer.name=stable_rank",
        "regularizer.stable_rank_target=1.0",
        "regularizer.stable_rank_of=side",
    )
    assert execute(run, raise_errors=True) == 0
    assert any("nothing is normalised" in each["message"] for each in events(run, "warning"))


@pytest.mark.parametrize(
    "sets",
    [
        ("method.components=query", "method.elsewhere=fft"),
        (
            "method.components=query,key",
            "calibration.variant=S",
            "calibration.control=matched",
            "calibration.switch_steps=query:0, key:2",
            "method.elsewhere=fft",
        ),
    ],
    ids=["plain", "a group that switches before the first step"],
)
def test_what_is_light_from_the_first_step_keeps_its_pretrained_matrix(
    sets: tuple[str, ...], tmp_path: Path
) -> None:
    model = save_model(tmp_path / "model")
    run = make_run(
        model,
        tmp_path,
        "run",
        "method.name=lora",
        *sets,
        "training.max_steps=3",
        "regularizer.name=stable_rank",
        "regularizer.stable_rank_target=0.5",
    )
    assert execute(run, raise_errors=True) == 0
    start = load_file(model / "model.safetensors")
    weights = load_file(newest_checkpoint(run) / "model.safetensors")
    light = [name for name in weights if name.endswith("query.base_layer.weight")]
    assert len(light) == 2
    for name in light:
        assert torch.equal(weights[name], start[name.replace("base_layer.", "")])
    kept = load_file(newest_checkpoint(run) / "regularizer.safetensors")
    assert len(kept) == 2 * 10
    assert not any("query" in name for name in kept)
    (said,) = [e["message"] for e in events(run, "noted") if "normalisation" in e["message"]]
    assert "covers 10 matrices" in said
