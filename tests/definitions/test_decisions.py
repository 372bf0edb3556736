"""When groups switch, and what a sample compares, by the definitions."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification

from calisr_engine.calibration.certified import CertifiedComparison
from calisr_engine.process.execute import execute
from tests.training.golden import newest_checkpoint
from tests.training.interrupt import kill_at
from tests.training.tiny_run import LETTERS, SPECIAL, events, make_run, tokenizer

CALIBRATED = ("method.name=lora", "calibration.variant=S")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matrices large enough for the fast comparison, which keeps anchors."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wide")
    config = BertConfig(
        vocab_size=len(SPECIAL) + 2 * len(LETTERS),
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def matrix(*values: float) -> torch.Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize(("rule", "hit"), [("sum", 0), ("log_sum", 0), ("vote", Fraction(1, 3))])
def test_a_tie_is_no_hit_and_no_vote(rule: Any, hit: Fraction) -> None:
    """Stable ranks 2 = 2, 2 < 5/4 + 1 = 9/4 (a hit), 9/4 > 2 (none)."""
    low, high = matrix(1, 1), matrix(1, 1, 0.5)
    low = torch.nn.functional.pad(low, (0, 1, 0, 1))
    pairs = {
        "tie": lambda: (low, low.clone()),
        "hit": lambda: (low, high),
        "none": lambda: (high, low),
    }
    assert CertifiedComparison().compare(pairs, rule).hit == hit


def test_a_partial_window_at_the_end_decides_nothing(model: Path, tmp_path: Path) -> None:
    run = make_run(
        model,
        tmp_path,
        "partial",
        *CALIBRATED,
        "calibration.delta=1.0",
        "calibration.decide_every_steps=5",
    )
    assert execute(run, raise_errors=True) == 0
    assert [e["step"] for e in events(run, "run_started")] == [0]
    assert events(run, "run_started")[0]["total_steps"] == 18
    assert [e["step"] for e in events(run, "srs_evaluated")] == [5, 10, 15]
    assert [e["step"] for e in events(run, "stable_rank_sampled")] == [*range(2, 19)]


def test_nothing_switches_at_the_last_step(model: Path, tmp_path: Path) -> None:
    run = make_run(
        model,
        tmp_path,
        "last",
        *CALIBRATED,
        "calibration.delta=0",
        "training.epochs=1",
        "training.warmup_ratio=0",
    )
    assert execute(run, raise_errors=True) == 0
    (decided,) = events(run, "srs_evaluated")
    assert decided["step"] == 6
    above = {name for name, said in decided["groups"].items() if said["srs"] > 0}
    assert above
    assert {name for name, said in decided["groups"].items() if said["held_back"]} == above
    assert not any(said["switch"] for said in decided["groups"].values())
    assert not events(run, "group_switched")
    assert events(run, "completed")[0]["summary"]["switched"] is None


def test_what_is_above_delta_switches_and_nothing_else(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "rule", *CALIBRATED, "calibration.delta=0.6")
    assert execute(run, raise_errors=True) == 0
    counts: dict[str, list[float]] = {}
    waiting = set(events(run, "run_started")[0]["groups"])
    switches = {e["group"]: e["step"] for e in events(run, "group_switched")}
    log = sorted(
        [*events(run, "stable_rank_sampled"), *events(run, "srs_evaluated")],
        key=lambda e: e["seq"],
    )
    for record in log:
        assert set(record["groups"]) == waiting
        if record["type"] == "stable_rank_sampled":
            for name, said in record["groups"].items():
                assert said["hit"] == float(said["difference"] < 0)
                counts.setdefault(name, []).append(said["hit"])
            continue
        last = record["step"] == 18
        for name, said in record["groups"].items():
            hits, samples = Fraction(int(sum(counts[name]))), len(counts[name])
            assert (said["hits"], said["samples"]) == (hits, samples)
            above = hits / samples > Fraction(3, 5)
            assert said["switch"] == (above and not last)
            if said["switch"]:
                assert switches.pop(name) == record["step"]
                waiting.remove(name)
        counts = {}
    assert not switches
    measured = json.loads((newest_checkpoint(run) / "state.json").read_text())["measured"]
    sampled = events(run, "stable_rank_sampled")
    assert measured["samples"] == len(sampled) > 10
    assert measured["compared"] == sum(2 * len(each["groups"]) for each in sampled)  # two layers
    assert measured["fallbacks"] == 0
    assert measured["seconds"] > 0


@pytest.mark.slow
def test_anchors_outlive_a_kill(wide: Path, tmp_path: Path) -> None:
    """A resumed run compares from the same anchors and start vectors, so to the same bits."""
    sets = (*CALIBRATED, "calibration.delta=1.0", "output.checkpoint_every_steps=3")
    calm, killed = (make_run(wide, tmp_path, name, *sets) for name in ("calm", "killed"))
    assert execute(calm, raise_errors=True) == 0
    kill_at(killed, 11)
    assert execute(killed, raise_errors=True) == 0
    one, two = (load_file(newest_checkpoint(r) / "comparison.safetensors") for r in (calm, killed))
    assert one
    assert one.keys() == two.keys()
    assert all(one[name].equal(two[name]) for name in one)

    def samples(run: Path) -> dict[int, Any]:
        return {e["step"]: e["groups"] for e in events(run, "stable_rank_sampled")}

    assert samples(calm) == samples(killed)


def test_a_resumed_comparison_that_lost_its_anchors_would_be_seen(
    wide: Path, tmp_path: Path
) -> None:
    """The test above can fail: without anchors the first sample afterwards is computed anew."""
    run = make_run(wide, tmp_path, "kept", *CALIBRATED, "training.epochs=1")
    assert execute(run, raise_errors=True) == 0
    kept = load_file(newest_checkpoint(run) / "comparison.safetensors")
    again = CertifiedComparison()
    again.load_state_dict(kept)
    assert again.state_dict().keys() == kept.keys()
    assert not CertifiedComparison().state_dict()
