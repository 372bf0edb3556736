"""A worker that was told to end with its parent saves and lets go of its run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from tests.training.tiny_run import events, make_run, save_model

PARENT = """
import sys, time
from pathlib import Path
from calisr_engine.process.spawn import start_worker
start_worker(Path(sys.argv[1]), with_parent=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_worker_saves_and_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    run = make_run(save_model(tmp_path / "model"), tmp_path, "orphan", "training.epochs=900")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(run)])
    deadline = time.monotonic() + 60
    while not events(run, "progress"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 15
    while is_locked(RunPaths(run)):
        assert time.monotonic() < deadline, "the orphan still holds the run"
        time.sleep(0.1)
    assert [each["saved"] for each in events(run, "stopped")] == [True]
