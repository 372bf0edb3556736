"""Run directories that version 0.1.0 wrote: they resume to what that version made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from tests.training.golden import digest, machine, newest_checkpoint

FIRST = Path(__file__).parents[1] / "fixtures" / "first_version"
RESUMED = json.loads((FIRST / "resumed.json").read_text())


@pytest.mark.parametrize("name", sorted(RESUMED))
def test_a_run_begun_by_the_first_version_goes_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    shutil.copytree(FIRST, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")  # the runs name their model by a relative path
    run = Path("runs") / name
    begun = [group for group, step in (load_view(run).switched or {}).items() if step <= 12]
    assert begun
    assert execute(run, raise_errors=True) == 0
    summary, expected = load_view(run).summary, RESUMED[name]
    assert summary is not None
    for key in ("best", "best_step", "last", "switched", "steps", "trainable", "samples"):
        assert summary[key] == expected["summary"][key], key
    if machine() == json.loads((FIRST / "machine.json").read_text()):
        assert digest(newest_checkpoint(run) / "model.safetensors") == expected["weights"]
        assert digest(run / "model" / "model.safetensors") == expected["model"]
