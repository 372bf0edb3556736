"""Run directories that version 0.1.0 wrote are listed, shown, compared and reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from calisr_tui.cli.app import run_command_line

FIRST = Path(__file__).parents[1] / "fixtures" / "first_version" / "runs"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIRST, tmp_path / "runs"))


def test_they_are_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["runs", "--output-dir", str(runs), "--json"]) == 0
    found = {each["run_id"]: each for each in json.loads(capsys.readouterr().out)}
    assert found.keys() == {path.name for path in FIRST.iterdir() if path.is_dir()}
    states = {name: each["state"] for name, each in found.items()}
    assert states["completed-lora"] == "completed"
    assert states["stopped-child-tuning-d"] == "stopped"
    assert states["killed-mpop"] == "interrupted"
    assert found["resumed-lora"]["switched"]["key"] == 6


@pytest.mark.parametrize("name", sorted(p.name for p in FIRST.iterdir() if p.is_dir()))
def test_each_is_shown(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["show", name, "--output-dir", str(runs), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["garbage"] == 0
    assert shown["total_steps"] == 18


def test_they_are_reported_and_compared(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["report", str(runs)]) == 0
    text = capsys.readouterr().out
    assert "LoRA+CaliSr-S" in text
    assert "2 runs have no result yet" in text
    assert run_command_line(["compare", "resumed-lora", "never", "--output-dir", str(runs)]) == 0
    assert "calibration.variant" in capsys.readouterr().out
