"""Whole runs with dimension squeezing: told, counted, and resumed to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.errors import ConfigError
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.tasks.data import TaskData
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run, save_model

SQUEEZED = (
    "method.name=mpop",
    "method.mpo_lr=1e-2",
    "method.squeeze_gap=1.0",
    "method.squeeze_share=0.3",
    "method.squeeze_bonds=4",
    "training.eval_every_steps=4",
    "training.epochs=3",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "step-18" / "model.safetensors")


def told(run: Path) -> list[tuple[int, str]]:
    """Step and words of each squeeze; a resumed run may tell one twice."""
    found = [(w["step"], w["message"]) for w in events(run, "warning") if "bond" in w["message"]]
    return sorted(set(found))


def test_squeezes_are_told_and_counted(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "squeezed", *SQUEEZED)
    whole = make_run(model, tmp_path, "whole", "method.name=mpop", "training.epochs=1")
    for each in (run, whole):
        assert execute(each, raise_errors=True) == 0
    squeezes = told(run)
    assert [step for step, _ in squeezes] == [4] * 4 + [8] * 4 + [12] * 4 + [16] * 4
    summary, plain = load_view(run).summary, load_view(whole).summary
    assert summary is not None
    assert plain is not None
    assert summary["trainable"] < plain["trainable"]
    assert plain["compressed"] is None
    stored = last_weights(run)
    operators = sum(v.numel() for n, v in stored.items() if ".calisr_mpo." in n)
    assert any(f"the operators hold {operators:,} parameters" in words for _, words in squeezes)
    covered = {n.partition(".calisr_mpo.")[0] for n in stored if ".calisr_mpo." in n}
    beside = sum(
        v.numel()
        for n, v in stored.items()
        if ".calisr_mpo." not in n
        and n.removesuffix(".weight") not in covered
        and "position_ids" not in n
    )
    assert summary["compressed"] == beside + operators


def test_the_best_model_is_one_of_the_last_shape(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "best", *SQUEEZED)
    assert execute(run, raise_errors=True) == 0
    summary = load_view(run).summary
    assert summary is not None
    assert summary["best_step"] == 18  # it is squeezed after each evaluation but the last
    assert summary["best"] == summary["last"]


def test_a_killed_run_resumes_to_the_same_bits(model: Path, tmp_path: Path) -> None:
    sets = (*SQUEEZED, "output.checkpoint_every_steps=3")
    calm, killed = (make_run(model, tmp_path, name, *sets) for name in ("calm", "killed"))
    assert execute(calm, raise_errors=True) == 0
    for moment in (5, 8, 10, 17):
        kill_at(killed, moment)
    assert execute(killed, raise_errors=True) == 0
    one, two = last_weights(calm), last_weights(killed)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert told(calm) == told(killed)
    summaries: list[dict[str, Any]] = [load_view(run).summary or {} for run in (calm, killed)]
    for key in ("best", "best_step", "last", "trainable", "compressed"):
        assert summaries[0][key] == summaries[1][key], key


def test_a_fall_of_the_metric_stops_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the evaluation on at which the metric has fallen by more than the gap."""
    score = TaskData.score

    def falling(data: TaskData, name: str, logits: torch.Tensor) -> dict[str, float]:
        calls.append(name)
        return score(data, name, logits) | {data.metric: 0.9 - 0.1 * len(calls)}

    calls: list[str] = []
    monkeypatch.setattr(TaskData, "score", falling)
    sets = [each for each in SQUEEZED if "gap" not in each]
    run = make_run(model, tmp_path, "stops", *sets, "method.squeeze_gap=0.15")
    assert execute(run, raise_errors=True) == 0
    stops = [w for w in events(run, "warning") if "squeezing stopped" in w["message"]]
    assert [w["step"] for w in stops] == [12]
    assert "from 0.8000 to 0.6000" in stops[0]["message"]
    assert [step for step, _ in told(run)] == [4] * 4 + [8] * 4
    summary = load_view(run).summary
    assert summary is not None
    assert summary["best_step"] == 12  # the first of the last shape, and the metric goes on falling


def test_several_processes_are_refused(model: Path, tmp_path: Path) -> None:
    from calisr_engine.config.load import from_resolved
    from calisr_engine.events.log import EventWriter
    from calisr_engine.runs.layout import RunPaths
    from calisr_engine.training.build import prepare
    from calisr_engine.training.ranks import Place, Ranks

    paths = RunPaths(make_run(model, tmp_path, "two", *SQUEEZED))
    ranks = Ranks(Place(rank=0, size=2))
    with (
        EventWriter(paths.events, 1) as writer,
        pytest.raises(ConfigError, match="in one process only"),
    ):
        prepare(from_resolved(paths.config), paths, writer, resume=False, ranks=ranks)
