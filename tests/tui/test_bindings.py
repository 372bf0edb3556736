"""Every key of every place does something that can be seen; keys are asked of the tables."""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget

import calisr_tui
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui import places
from calisr_tui.app import CalisrApp
from calisr_tui.asking import Asking
from calisr_tui.feed import EXAMPLE
from calisr_tui.live.screen import LiveScreen
from calisr_tui.screens.runs import RunsScreen
from calisr_tui.started import StartedRuns
from tests.slow import quick_where
from tests.tui.example import light_checks, lines_on, make_app, settle, workplace
from tests.tui.many_groups import names, write_run
from tests.tui.studies import make_study

__all__ = ["light_checks", "workplace"]
pytestmark = pytest.mark.usefixtures("light_checks")

RUN = Path("runs/run-1")
MANY = Path("runs/many")
"""Of so many groups that they are a map."""


@dataclass
class Way:
    """How to come to what has keys: the app's options, the keys to press, a run in training."""

    options: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    trained: bool = False


LIVE = Way({"run_dir": RUN}, trained=True)
WAYS = {
    "CalisrApp": Way(),
    "HomeScreen": Way(keys=("H",)),
    "SetupScreen": Way(),
    "CycleField": Way(keys=("enter", "enter")),
    "Heading": Way(),
    "PathInput": Way(),
    "FilePicker": Way(keys=("tab", "ctrl+l")),
    "LiveScreen": LIVE,
    "ReplayScreen": Way({"replay": EXAMPLE}),
    "ScorePane": Way({"run_dir": MANY}),
    "Timeline": LIVE,
    "RunsScreen": Way(keys=("f4",)),
    "RunList": Way(keys=("f4",)),
    "TryScreen": Way(keys=("f4", "a")),
    "ExportScreen": Way(keys=("f4", "X")),
    "ErrorsScreen": Way(keys=("f4", "E")),
    "CompareScreen": Way(keys=("f4", "space", "down", "space", "c")),
    "GridScreen": Way(keys=("ctrl+g",)),
    "StartGrid": Way(keys=("ctrl+g", "s")),
    "StudyScreen": Way(keys=("O",)),
    "StartSearch": Way(keys=("O", "s")),
    "ReportScreen": Way(keys=("ctrl+g", "t")),
    "FiguresScreen": Way(keys=("ctrl+g", "f")),
    "HelpScreen": Way(keys=("f1",)),
    "Question": Way(keys=("f4", "d")),
    "Reading": Way(keys=("f4", "o")),
    "Typing": Way(keys=("ctrl+s",)),
    "Picking": Way(keys=("ctrl+o",)),
}
"""Class -> the way to it."""

BEFORE: dict[str, tuple[str, ...]] = {
    "app.setup": ("f4",),
    "app.home": ("f4",),
    "setup.back": ("enter",),
    "setup.clear_marks": ("ctrl+y",),
    "fold.close": ("enter",),
    "table.up": ("down",),
    "table.left": ("right",),
    "timeline.up": ("down",),
    "list.up": ("down",),
    "list.page_up": ("down",),
    "list.first": ("down",),
    "live.cursor_left": ("c",),
    "live.cursor_right": ("c",),
    "live.pane_table": ("2",),
    "live.next_group": ("end",),  # in a replay; elsewhere this key does nothing
    "replay.back": ("end",),
    "replay.start": ("end",),
    "runs.clear_filter": ("slash", "x", "enter"),
    "runs.unmark": ("space",),
    "runs.fold_all": ("g", *"task", "enter", "escape"),
    "grid.table": ("tab",),
    "try.clear": ("x",),
}
"""Id of a binding -> keys after which it can have an effect."""


def remove_run(folder: str) -> None:
    shutil.rmtree(next(each for each in sorted(Path(folder).iterdir()) if each.is_dir()))


ON_DISK: dict[str, Callable[[], None]] = {
    "home.reload": lambda: remove_run("runs"),
    "runs.reload": lambda: remove_run("runs"),
    "compare.reload": lambda: remove_run("runs"),
    "errors.reload": lambda: shutil.rmtree("runs/run-2"),
    "grid.reload": lambda: remove_run("runs/study"),
    "study.reload": lambda: remove_run("runs/rates"),
    "report.reload": lambda: remove_run("runs/study"),
}
"""Id of a binding that reads again -> what changes before."""


def keys_of(owner: Any) -> dict[str, Binding]:
    """Key -> the binding that it has there; bindings of Textual have no id."""
    found = owner._merged_bindings.key_to_bindings
    return {key: each for key, (each, *_) in found.items() if each.id}


OWNERS: list[type] = [each for each in places.key_owners(CalisrApp) if keys_of(each)]


def giver(owner: type, binding: Binding) -> type:
    """The class that has the binding itself; its heirs do the same with it."""
    return next(
        base
        for base in owner.__mro__
        if any(getattr(each, "id", None) == binding.id for each in vars(base).get("BINDINGS", ()))
    )


EVERY = list(
    {
        (giver(owner, binding), binding.id, key): pytest.param(
            owner, binding, key, id=f"{owner.__name__}-{binding.id}-{key}"
        )
        for owner in reversed(OWNERS)
        for key, binding in keys_of(owner).items()
    }.values()
)


@contextlib.asynccontextmanager
async def gone_to(owner: type, folder: Path) -> AsyncIterator[tuple[CalisrApp, Any, list[str]]]:
    """The app where `owner` is, a pilot, and what the app says from here on."""
    way = WAYS[owner.__name__]
    if way.options.get("run_dir") == MANY:
        write_run(MANY, names(2))
    if "O" in way.keys:
        make_study(Path("runs"))
    app = make_app(folder, clock=lambda: 0.0, **way.options)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)  # type: ignore[method-assign]
    with contextlib.ExitStack() as held:
        patched = held.enter_context(pytest.MonkeyPatch.context())
        patched.setattr(Asking, "start", lambda self: None)  # no model is opened for a key
        if way.trained:
            log = RunPaths(RUN).events
            kept = [each for each in log.read_text().splitlines() if json.loads(each)["step"] < 400]
            log.write_text("\n".join(kept) + "\n")
            held.enter_context(RunLock(RunPaths(RUN)))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause(0.1)
            await press(pilot, *way.keys)
            if issubclass(owner, Widget) and not isinstance(app.screen, owner):
                app.screen.query(owner).first().focus()
                await pilot.pause()
            assert owner is CalisrApp or owner in {type(app.screen), type(app.focused)}
            await rest(app, pilot, said)
            yield app, pilot, said


async def press(pilot: Any, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def seen(app: CalisrApp, said: list[str]) -> object:
    """All that a key can change: the picture, the focus, what was said, copied and written."""
    if not app.is_running or app.return_code is not None:
        return "ended"
    lines = lines_on(app)
    files = {str(each): each.stat().st_size for each in Path().rglob("*") if each.is_file()}
    stack = [type(screen).__name__ for screen in app.screen_stack]
    return lines, app.focused, list(said), app.clipboard, app.theme, stack, files


async def rest(app: CalisrApp, pilot: Any, said: list[str]) -> None:
    """Wait until nothing changes by itself: screens are drawn anew when they have their size."""
    before: object = None
    while (now := seen(app, said)) != before:
        before = now
        await pilot.pause(0.05)


def test_there_is_a_way_to_everything_that_has_keys() -> None:
    assert {owner.__name__ for owner in OWNERS} == set(WAYS)
    assert {*BEFORE, *ON_DISK} <= {binding.id for binding in places.every_binding(CalisrApp)}


def test_every_class_with_keys_is_in_the_tables_and_every_key_has_an_id() -> None:
    listed = {base for owner in OWNERS for base in owner.__mro__}
    for module in pkgutil.walk_packages(calisr_tui.__path__, "calisr_tui."):
        if module.name == "calisr_tui.__main__":
            continue
        for name, each in vars(importlib.import_module(module.name)).items():
            if not isinstance(each, type) or each.__module__ != module.name:
                continue
            if "BINDINGS" in vars(each):
                assert each in listed, name
                assert all(binding.id for binding in vars(each)["BINDINGS"]), name


def test_an_id_is_given_once() -> None:
    """But for a binding that a screen changes in what it has from another."""
    given: dict[str, type] = {}
    for base in {base for owner in OWNERS for base in owner.__mro__}:
        for binding in vars(base).get("BINDINGS", ()):
            name = getattr(binding, "id", None)
            if name:
                before = given.setdefault(name, base)
                assert before is base or issubclass(base, before) or issubclass(before, base), name
    # What a screen has from another is on the help page and in keymaps, too.
    assert set(given) == {binding.id for binding in places.every_binding(CalisrApp)}


@pytest.mark.parametrize(
    "owner",
    quick_where(OWNERS, lambda each: not issubclass(each, Widget) or issubclass(each, Screen)),
    ids=lambda each: each.__name__,
)
async def test_an_unbound_key_does_nothing_and_the_palette_offers_what_can_be_done(
    owner: type, workplace: Path
) -> None:
    async with gone_to(owner, workplace) as (app, pilot, said):
        before = seen(app, said)
        await press(pilot, "f20")
        assert seen(app, said) == before
        for title, _text, action in getattr(app.screen, "commands", list)():
            group, _, verb = title.partition(": ")
            assert group, title
            assert verb, title
            assert callable(getattr(app.screen, f"action_{action.split('(')[0]}")), title


@pytest.mark.parametrize(("owner", "binding", "key"), EVERY)
@pytest.mark.slow
async def test_a_key_does_something(
    owner: type, binding: Binding, key: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StartedRuns, "start", lambda self, run_dir: None)
    async with gone_to(owner, workplace) as (app, pilot, said):
        if str(binding.id) in BEFORE:
            await press(pilot, *BEFORE[str(binding.id)])
            await rest(app, pilot, said)
        ON_DISK.get(str(binding.id), lambda: None)()
        before = seen(app, said)
        await pilot.press(key)
        await pilot.pause()
        at_once = seen(app, said)
        if app.is_running:
            await settle(pilot)
        assert before != at_once or before != seen(app, said)


REQUESTS: dict[tuple[str, ...], set[str]] = {
    ("p",): {"pause"},
    ("s",): {"stop_and_save"},
    ("x", "right", "enter"): {"stop"},
    ("e", "k"): {"evaluate", "checkpoint"},
    ("w", "enter", "right", "enter"): {"switch"},
}


def requests() -> set[str]:
    return {json.loads(path.read_text())["kind"] for path in (RUN / "control").glob("*.json")}


@pytest.mark.parametrize("keys", list(REQUESTS))
async def test_the_live_keys_write_requests_for_any_process(
    workplace: Path, keys: tuple[str, ...]
) -> None:
    """A run of another process is steered through its directory."""
    async with gone_to(LiveScreen, workplace) as (_, pilot, _):
        await press(pilot, *keys)
        assert requests() == REQUESTS[keys]


async def test_where_nobody_trains_no_request_is_left_for_a_later_resume(workplace: Path) -> None:
    app = make_app(workplace, run_dir=RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await press(pilot, *(key for keys in REQUESTS for key in keys if key != "enter"))
    assert requests() == set()


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
