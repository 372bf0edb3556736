"""The app in a browser: its runs are always detached, and are found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui.app import CalisrApp
from calisr_tui.feed import EXAMPLE
from calisr_tui.live.screen import LiveScreen
from calisr_tui.screens.setup import SetupScreen
from calisr_tui.started import StartedRuns
from tests.tui.example import light_checks

__all__ = ["light_checks"]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CalisrApp, "is_web", True)


def make_app(tmp_path: Path) -> CalisrApp:
    return CalisrApp(output_dir=tmp_path / "runs", config=tmp_path / "keys", preload=False)


def copy_of_example(run_dir: Path) -> RunPaths:
    run_dir.mkdir(parents=True)
    for name in ("config.toml", "events.jsonl"):
        (run_dir / name).write_bytes((EXAMPLE / name).read_bytes())
    return RunPaths(run_dir)


async def settled(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("waited in vain")


@pytest.mark.usefixtures("light_checks")
async def test_a_run_is_detached_whatever_is_chosen(
    tmp_path: Path, served: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []
    monkeypatch.setattr(StartedRuns, "start", lambda *_: pytest.fail("it trains in the app"))
    monkeypatch.setattr(StartedRuns, "start_detached", lambda self, path: begun.append(path))
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, SetupScreen)
        assert app.screen.detached
        await pilot.press("f7")
        assert app.screen.detached
        await pilot.press("ctrl+r")
        await settled(pilot, lambda: len(begun) == 1)
        app.start_training(begun[0])  # as where a run is resumed
        assert len(begun) == 2


async def test_the_run_that_trains_is_what_a_page_shows_first(tmp_path: Path, served: None) -> None:
    for name in ("a", "b", "c"):
        copy_of_example(tmp_path / "runs" / name)
    app = make_app(tmp_path)
    with RunLock(RunPaths(tmp_path / "runs" / "b")):
        async with app.run_test(size=(120, 40)) as pilot:
            await settled(pilot, lambda: isinstance(app.screen, LiveScreen))
            assert app.screen.feed.run_dir == tmp_path / "runs" / "b"


async def test_the_setup_is_shown_where_nothing_trains(tmp_path: Path, served: None) -> None:
    copy_of_example(tmp_path / "runs" / "a")
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, SetupScreen)


async def test_a_terminal_shows_the_setup_whatever_trains(tmp_path: Path) -> None:
    paths = copy_of_example(tmp_path / "runs" / "a")
    app = make_app(tmp_path)
    with RunLock(paths):
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            assert isinstance(app.screen, SetupScreen)


async def test_a_signal_to_the_app_asks_nothing_of_detached_runs(tmp_path: Path) -> None:
    paths = copy_of_example(tmp_path / "runs" / "a")
    app = make_app(tmp_path)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    app.started.detached[paths.root] = worker
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            os.kill(os.getpid(), signal.SIGTERM)
            await settled(pilot, lambda: not app.is_running)
        assert not paths.control.exists()
        assert app.messages_after == [f"goes on: calisr watch {paths.root}"]
    finally:
        worker.kill()
        worker.communicate()
