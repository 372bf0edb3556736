"""Run directories for the terminal app's tests, made from the recorded run."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from textual import events

from calisr_engine.forecast import before_start
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui.app import CalisrApp
from calisr_tui.feed import EXAMPLE
from calisr_tui.screens import setup_checks
from tests.tui.grids import STATES, make_grid, run_dirs

SLOW = ("grid", "report", "figure", "save")
"""Groups of workers that read or compute."""
HERE = b"<the workplace>"


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
        write_predictions(folder)
        made.append(folder)
    return made


def write_predictions(run: Path) -> None:
    """Of 48 rows, a third of them wrong, the later the surer."""
    lines = ["index\tlabel\tprediction\tlogit unacceptable\tlogit acceptable\ttext"]
    for row in range(48):
        said, true = row % 2, row % 2 if row % 3 else row // 2 % 2
        names = ("unacceptable", "acceptable")
        logits = [0.0, row / 12] if said else [row / 12, 0.0]
        text = f"The {'very ' * (row % 5)}old doctor saw row {row} [bold]near[/] the river."
        cells = [str(row), names[true], names[said], *map(str, logits), text]
        lines.append("\t".join(cells))
    (run / "predictions").mkdir()
    (run / "predictions" / "validation.tsv").write_text("\n".join(lines) + "\n")


def make_app(tmp_path: Path, **more: object) -> CalisrApp:
    more.setdefault("output_dir", Path("runs"))
    return CalisrApp(config=tmp_path / "keys", preload=False, **more)  # type: ignore[arg-type]


@cache
def made_once() -> tuple[dict[Path, bytes], Path]:
    """The files of a workplace, `HERE` in the place of its path, and the run that is to be held."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_runs(folder / "runs")
        (running,) = run_dirs(make_grid(folder), STATES, "running")
        files = {
            path.relative_to(folder): path.read_bytes().replace(os.fsencode(folder), HERE)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return files, running.relative_to(folder)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `runs/` in it as the current directory, in UTC; in runs/study lies a grid, one
    run of which is held as if it trained."""
    monkeypatch.setenv("TZ", "UTC")
    if hasattr(time, "tzset"):
        time.tzset()
    monkeypatch.chdir(tmp_path)
    files, running = made_once()
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content.replace(HERE, os.fsencode(tmp_path)))
    os.environ.pop("NO_COLOR", None)
    with RunLock(RunPaths(tmp_path / running)):
        yield tmp_path


async def settle(pilot: Any) -> None:
    """Wait until the grid, its report or a figure has been read or computed."""
    await pilot.pause()
    for _ in range(1000):
        busy = any(worker.group.startswith(SLOW) for worker in pilot.app.workers)
        idle = pilot.app.typed_ahead.idle and getattr(pilot.app.screen, "idle", True)
        if idle and not busy:
            break
        await pilot.pause(0.02)
    await pilot.pause()


async def rest(pilot: Any) -> None:
    """Wait until the picture stays as it is: screens are drawn anew when they have their size."""
    before: object = None
    for _ in range(50):
        await pilot.pause(0.15)
        await settle(pilot)
        now = [list(strip) for strip in pilot.app.screen._compositor.render_strips()]
        if now == before:
            return
        before = now


def lines_on(app: Any) -> list[str]:
    """The screen as text, a line each."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


async def type_keys(pilot: Any, *keys: str) -> None:
    """Send keys at once, as a paste does, and wait for what comes of them."""
    for key in keys:
        pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await settle(pilot)


@pytest.fixture
def light_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setup looks at once, and leaves out of its check what needs torch."""
    monkeypatch.setattr(setup_checks, "PAUSE", 0.01)
    without_torch = partial(before_start.look, with_torch=False)
    monkeypatch.setattr(before_start, "look", without_torch)
