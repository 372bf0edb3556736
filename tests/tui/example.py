"""Run directories for the terminal app's tests, made from the recorded run."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from calisr_tui.app import EXAMPLE, CalisrApp
from tests.tui.grids import make_grid


def copy_runs(root: Path, count: int = 2) -> list[Path]:
    """`count` finished runs, alike but for name, seed and results."""
    made = []
    for number in range(count):
        folder = root / f"run-{number + 1}"
        shutil.copytree(EXAMPLE, folder)
        lines = []
        for line in (folder / "events.jsonl").read_text().splitlines():
            record = json.loads(line)
            record["time"] += 3600 * number
            if record["type"] == "run_created":
                record["run_id"] = folder.name
                record["config"]["training"]["seed"] += number
            if record["type"] == "evaluated":
                for key in ("value", "best"):
                    record[key] -= 0.01 * number
            if record["type"] == "completed":
                for key in ("best", "last"):
                    record["summary"][key] -= 0.01 * number
            lines.append(json.dumps(record))
        (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
        made.append(folder)
    return made


def make_app(tmp_path: Path, **more: object) -> CalisrApp:
    more.setdefault("output_dir", Path("runs"))
    return CalisrApp(config=tmp_path / "keys", preload=False, **more)  # type: ignore[arg-type]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `runs/` in it as the current directory, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    if hasattr(time, "tzset"):
        time.tzset()
    monkeypatch.chdir(tmp_path)
    copy_runs(tmp_path / "runs")
    make_grid(tmp_path)
    os.environ.pop("NO_COLOR", None)
    return tmp_path


async def settle(pilot: Any) -> None:
    """Wait until the grid screen has read its grid and opened what was asked for."""
    await pilot.pause()
    for _ in range(200):
        if not any(worker.group.startswith("grid") for worker in pilot.app.workers):
            break
        await pilot.pause(0.02)
    await pilot.pause()
