"""Every binding reaches its action, and what the actions do."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding

from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui import places
from calisr_tui.app import CalisrApp
from calisr_tui.dialogs import Picking, Question, Reading, Typing
from calisr_tui.feed import EXAMPLE
from calisr_tui.live.replay import ReplayScreen
from calisr_tui.live.screen import LiveScreen
from calisr_tui.screens.compare import CompareScreen
from calisr_tui.screens.figures import FiguresScreen
from calisr_tui.screens.grid import GridScreen
from calisr_tui.screens.grid_start import StartGrid
from calisr_tui.screens.help import HelpScreen
from calisr_tui.screens.report import ReportScreen
from calisr_tui.screens.runs import RunsScreen
from calisr_tui.screens.setup import SetupScreen
from calisr_tui.widgets.srs_table import SrsTable
from calisr_tui.widgets.timeline import Timeline
from tests.tui.example import make_app, settle, workplace

__all__ = ["workplace"]

OPEN: dict[type, tuple[dict[str, Any], list[str]]] = {
    SetupScreen: ({}, []),
    LiveScreen: ({"run_dir": Path("runs/run-1")}, []),
    ReplayScreen: ({"replay": EXAMPLE}, []),
    RunsScreen: ({}, ["f4"]),
    CompareScreen: ({}, ["f4", "space", "down", "space", "c"]),
    GridScreen: ({}, ["ctrl+g"]),
    StartGrid: ({}, ["ctrl+g", "s"]),
    ReportScreen: ({}, ["ctrl+g", "t"]),
    FiguresScreen: ({}, ["ctrl+g", "f"]),
    HelpScreen: ({}, ["f1"]),
    Question: ({}, ["f4", "d"]),
    Reading: ({"run_dir": Path("runs/run-1")}, ["o"]),
    Typing: ({}, ["ctrl+s"]),
    Picking: ({}, ["ctrl+o"]),
}
"""Screen -> how the app is opened, and the keys that lead there."""

PARTS: dict[type, tuple[type, list[str]]] = {
    SrsTable: (LiveScreen, ["1"]),
    Timeline: (LiveScreen, ["2"]),
}
"""Part of a screen -> that screen, and the keys that lead to the part."""


def bindings(owner: type) -> list[Binding]:
    own = vars(owner).get("BINDINGS", [])
    return [binding for binding in own if isinstance(binding, Binding)]


CASES = (
    [(screen, screen, []) for screen in OPEN]
    + [(part, screen, keys) for part, (screen, keys) in PARTS.items()]
    + [(CalisrApp, screen, []) for screen in (LiveScreen, RunsScreen)]
)
EVERY = [
    pytest.param(owner, screen, keys, binding, key, id=f"{screen.__name__}-{binding.id}-{key}")
    for owner, screen, keys in CASES
    for binding in bindings(owner)
    for key in binding.key.split(",")
]


def test_every_binding_is_tested() -> None:
    """The tables above hold what the tables of places and panes hold, no more and no less."""
    assert set(OPEN) == {place.load() for place in places.PLACES}
    tested = [binding for owner, *_ in CASES for binding in bindings(owner)]
    assert {binding.id for binding in tested} == {
        binding.id for binding in places.every_binding(CalisrApp)
    }
    assert all(binding.id for binding in tested)


@pytest.mark.parametrize(("owner", "screen", "keys", "binding", "key"), EVERY)
async def test_a_key_reaches_its_action(
    owner: type,
    screen: type,
    keys: list[str],
    binding: Binding,
    key: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options, there = OPEN[screen]
    app = make_app(workplace, **options)
    action = binding.action.split("(")[0].removeprefix("app.").removeprefix("screen.")
    reached: list[str] = []

    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.1)
        for each in (*there, *keys):
            await pilot.press(each)
            await settle(pilot)
        assert isinstance(app.screen, screen)
        for each in {*owner.__mro__, *type(app.screen).__mro__, *type(app).__mro__}:
            if f"action_{action}" in vars(each):
                monkeypatch.setattr(
                    each, f"action_{action}", lambda *a, **k: reached.append(action)
                )
        await pilot.press(key)
        await pilot.pause()
    assert reached == [action]


@pytest.mark.parametrize("trained", [True, False])
async def test_the_live_keys_write_requests_for_whoever_trains(
    trained: bool, workplace: Path
) -> None:
    """A run of another process is steered through its directory. Where nobody trains, nothing is
    left there that a later resume would obey by surprise."""
    run = workplace / "runs" / "run-1"
    lines = (run / "events.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["step"] < 400]
    (run / "events.jsonl").write_text("\n".join(kept) + "\n")
    app = make_app(workplace, run_dir=run)
    with RunLock(RunPaths(run)) if trained else contextlib.nullcontext():
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause(0.2)
            for key in ("e", "k"):
                await pilot.press(key)
                await pilot.pause(0.1)
    kinds = [json.loads(path.read_text())["kind"] for path in (run / "control").glob("*.json")]
    assert sorted(kinds) == (["checkpoint", "evaluate"] if trained else [])


async def test_a_log_with_garbage_in_it_and_a_run_that_vanishes(workplace: Path) -> None:
    import shutil

    run = workplace / "runs" / "run-1"
    log = run / "events.jsonl"
    lines = log.read_text().splitlines()
    lines.insert(50, "{ this is not JSON")
    lines.insert(60, '{"type": "unheard_of", "step": 3}')
    log.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe half a li")
    app = make_app(workplace, run_dir=run)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.6)
        assert isinstance(app.screen, LiveScreen)
        shutil.rmtree(run)
        await pilot.pause(0.6)
        assert app.is_running
        await pilot.press("f4")
        await pilot.pause(0.2)
        assert isinstance(app.screen, RunsScreen)


async def test_quit_asks_nothing_when_nothing_runs(workplace: Path) -> None:
    app = make_app(workplace, run_dir=Path("runs/run-1"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.1)
        await pilot.press("q")
        await pilot.pause(0.1)
    assert not app.is_running
    assert app.return_code == 0


@pytest.mark.parametrize("theme", ["calisr-dark", "calisr-light"])
async def test_all_themes_and_the_palette_open(workplace: Path, theme: str) -> None:
    app = make_app(workplace, replay=EXAMPLE)
    async with app.run_test(size=(80, 24)) as pilot:
        seen = set()
        for _ in range(6):
            await pilot.press("T")
            await pilot.pause()
            seen.add(app.theme)
        assert len(seen) >= 4
        await pilot.press("ctrl+p")
        await pilot.pause(0.2)
        assert len(app.screen_stack) > 1


async def test_replaying_imports_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from calisr_tui.app import CalisrApp\n"
        "from calisr_tui.feed import EXAMPLE\n"
        "async def main():\n"
        "    app = CalisrApp(replay=EXAMPLE, config=Path('none'))\n"
        "    async with app.run_test(size=(120, 40)) as pilot:\n"
        "        await pilot.press('end')\n"
        "        await pilot.pause(1.5)\n"
        "asyncio.run(main())\n"
        "sys.exit(', '.join({'torch', 'transformers', 'datasets'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
