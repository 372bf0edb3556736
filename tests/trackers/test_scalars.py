"""What trackers are told of each record of the log, and of the settings."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from calisr_engine.config.schema import RunConfig
from calisr_engine.events.types import EVENT_TYPES, SrsEvaluated
from calisr_engine.trackers.scalars import hyperparameters, scalars
from calisr_tui.feed import EXAMPLE
from tests.events.cases import DECISION
from tests.events.cases import record as record_of

RECORDS = [json.loads(line) for line in (EXAMPLE / "events.jsonl").read_text().splitlines()]


def of(kind: str) -> list[dict[str, Any]]:
    return [record for record in RECORDS if record["type"] == kind]


def test_a_real_log_gives_every_figure_at_its_step() -> None:
    found: dict[str, dict[int, float]] = {}
    for record in RECORDS:
        for name, value in scalars(record).items():
            assert isinstance(value, float)
            found.setdefault(name, {})[record["step"]] = value
    for record in of("progress"):
        assert found["train/loss"][record["step"]] == record["loss"]
        assert found["train/learning_rate"][record["step"]] == record["learning_rate"]
    for record in of("evaluated"):
        for metric, value in record["metrics"].items():
            assert found[f"eval/{metric}"][record["step"]] == value
    for record in of("stable_rank_sampled"):
        for group, sample in record["groups"].items():
            assert found[f"SR_LFT/{group}"][record["step"]] == sample["sr_lft"]
            assert found[f"SR_FFT/{group}"][record["step"]] == sample["sr_fft"]
    for record in of("srs_evaluated"):
        for group, said in record["groups"].items():
            if said["srs"] is not None:
                assert found[f"SRS/{group}"][record["step"]] == said["srs"]
    switches = of("group_switched")
    assert switches
    for record in switches:
        assert found[f"switched/{record['group']}"] == {0: 0.0, record["step"]: 1.0}
    # Several groups may switch at one step; the last one's count holds.
    last = {record["step"]: record["trainable"] / record["total"] for record in switches}
    first = {0: of("run_started")[0]["trainable"] / of("run_started")[0]["total"]}
    assert found["train/trainable_share"] == first | last


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_figures_that_are_absent_are_left_out(kind: str) -> None:
    for record in of(kind):
        emptied = {**record, "loss": None, "gradient_norm": None, "examples_per_second": None}
        values = scalars(emptied)
        assert "train/loss" not in values
        assert None not in values.values()


def test_an_unknown_record_gives_nothing() -> None:
    assert scalars({"type": "of another version", "step": 3}) == {}
    said = dataclasses.replace(DECISION, srs=None)
    assert scalars(record_of(SrsEvaluated(epoch=1.0, groups={"q": said}))) == {}


def test_settings_become_flat() -> None:
    settings = RunConfig.model_validate({"output": {"trackers": ["wandb", "mlflow"]}})
    flat = hyperparameters(settings.model_dump(mode="json"))
    assert flat["training.epochs"] == 3
    assert flat["training.max_steps"] == "none"
    assert flat["output.trackers"] == "wandb, mlflow"
    assert flat["model.random_weights"] is False
    assert all(isinstance(value, bool | int | float | str) for value in flat.values())
