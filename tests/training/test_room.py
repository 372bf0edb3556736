"""Runs that cannot fit are refused before they allocate, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.config.load import from_resolved
from calisr_engine.events.log import EventWriter
from calisr_engine.methods.catalog import METHODS
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training import room
from calisr_engine.training.build import prepare
from tests.training.tiny_run import make_run


@pytest.mark.parametrize("method", [name for name in METHODS if name != "peft"])
def test_a_light_run_needs_memory_for_what_is_light_alone(
    method: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain runs of light methods freeze the rest before their first step."""
    told: list[str] = []

    def asked(needed: int, what: str, *more: Any) -> None:
        told.extend(re.findall(r"training ([\d,]+) of [\d,]+ numbers with", what))

    monkeypatch.setattr(room, "check_fits", asked)
    paths = RunPaths(make_run(model, tmp_path, "run", f"method.name={method}"))
    with EventWriter(paths.events, 1) as writer:
        prepared = prepare(from_resolved(paths.config), paths, writer, resume=False)
        prepared.calibrator.switch_on_schedule(0)
    stepped = sum(p.numel() for p in prepared.calibrator.phases.stepped().values())
    (asked_for,) = (int(each.replace(",", "")) for each in told)
    if method == "child_tuning_d":  # whole matrices have gradients, of which it steps a share
        assert asked_for > stepped
    else:
        assert asked_for == stepped
    if method == "lora":
        whole = sum(p.numel() for p in prepared.model.parameters())
        assert stepped < whole / 3
