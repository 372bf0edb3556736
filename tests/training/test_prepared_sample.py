"""What the first sample needs, made in a thread before it: the same weights and decisions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from calisr_engine.calibration.certified import CertifiedComparison
from calisr_engine.process.execute import execute
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run, save_model

SETS = (
    "method.name=lora",
    "calibration.variant=S",
    "calibration.delta=0.3",
    "calibration.every_steps=6",
    "calibration.decide_every_steps=6",
    "training.max_steps=13",
    "training.learning_rate=1e-4",
    "output.checkpoint_every_steps=4",
)


def story(run: Path) -> list[Any]:
    return [each["groups"] for each in events(run, "stable_rank_sampled")]


def hits(run: Path) -> list[Any]:
    return [{name: group["hit"] for name, group in groups.items()} for groups in story(run)]


def test_a_prepared_run_ends_with_the_same_bits_and_resumes_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the first sample, when its anchors are made: they are in the checkpoint."""
    torch.set_num_threads(1)
    prepared: list[set[str]] = []
    begin = CertifiedComparison.prepare

    def counted(self: CertifiedComparison, weights: Any) -> None:
        prepared.append(set(weights))
        begin(self, weights)

    monkeypatch.setattr(CertifiedComparison, "prepare", counted)
    monkeypatch.setattr(
        "calisr_engine.calibration.sampler.CertifiedComparison",
        partial(CertifiedComparison, small=4),
    )
    model = save_model(tmp_path / "model")
    cold = make_run(model, tmp_path, "cold", *SETS)
    warm, killed = (
        make_run(model, tmp_path, name, *SETS, "calibration.prepare_first_sample=true")
        for name in ("warm", "killed")
    )
    assert execute(cold, raise_errors=True) == 0
    assert prepared == []
    assert execute(warm, raise_errors=True) == 0
    assert len(prepared) == 1
    assert len(prepared[0]) == 12
    kill_at(killed, 5)  # it goes on from step 4, when the anchors of step 4 had been begun
    assert execute(killed, raise_errors=True) == 0
    assert len(prepared) == 2
    first, second, third = (
        digest(newest_checkpoint(run) / "model.safetensors") for run in (cold, warm, killed)
    )
    assert first == second == third
    assert hits(cold) == hits(warm) != []
    assert story(warm) == story(killed)
    for name, group in story(cold)[0].items():
        assert story(warm)[0][name]["sr_fft"] == pytest.approx(group["sr_fft"], rel=1e-9)


@torch.no_grad()
def test_anchors_made_before_are_used_kept_and_decide_the_same() -> None:
    draw = torch.Generator().manual_seed(0)
    old = {str(n): torch.randn(40, 24, generator=draw) for n in range(3)}
    for weight in old.values():
        weight += torch.outer(torch.ones(40), torch.ones(24))
    steps = {n: (1e-6 * torch.randn(w.shape, generator=draw) for _ in "ab") for n, w in old.items()}
    pairs = {}
    for name, weight in old.items():
        core, extra = steps[name]
        pairs[name] = (weight + core, weight + core + extra)
    cold, warm = (CertifiedComparison(small=4) for _ in "ab")
    warm.prepare({name: weight.clone() for name, weight in old.items()})
    resumed = CertifiedComparison(small=4)
    resumed.load_state_dict(warm.state_dict())  # waits for the thread
    expected, found, again = (each.compare(pairs) for each in (cold, warm, resumed))
    assert expected.anchored == 3
    assert found.anchored == 0
    assert found.hit == expected.hit
    assert found.difference == again.difference == pytest.approx(expected.difference, rel=1e-3)


@torch.no_grad()
def test_what_cannot_be_prepared_is_left_to_the_sample() -> None:
    odd = {"zero": torch.zeros(9, 9), "nan": torch.full((9, 9), torch.nan), "one": torch.eye(9)}
    comparison = CertifiedComparison(small=4)
    comparison.prepare(odd)
    assert {name.partition("::")[0] for name in comparison.state_dict()} == {"one"}
