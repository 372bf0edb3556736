"""What comes late finds its widget there, or is dropped; it never ends the app."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Label

import calisr_tui
from calisr_tui import late
from calisr_tui.dialogs import Picking
from calisr_tui.widgets.fields import Field
from tests.tui.example import settle
from tests.tui.test_setup import app, press


class Part(Vertical):
    """A widget whose calls need one of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.acted = 0

    def compose(self) -> ComposeResult:
        yield Label("part")

    def act(self) -> None:
        self.query_one(Label)
        self.acted += 1

    async def act_async(self) -> None:
        self.act()


class Small(App[None]):
    def compose(self) -> ComposeResult:
        yield Part()


async def going(part: Part) -> None:
    """Without its parts, and with it still listening, as in the middle of a removal."""
    part._pruning = True
    await part.query_one(Label).remove()
    with pytest.raises(NoMatches):
        part.act()


async def test_a_late_call_of_a_widget_that_goes_is_dropped() -> None:
    small = Small()
    async with small.run_test() as pilot:
        part = small.query_one(Part)
        late.after_refresh(part, part.act)
        late.soon(part, part.act_async)
        await pilot.pause()
        assert part.acted == 2
        late.after_refresh(part, part.act)
        late.soon(part, part.act_async)
        await going(part)
        await pilot.pause()
        assert part.acted == 2
    assert not late.is_here(part)


async def test_what_a_thread_found_is_dropped_once_its_widget_or_the_app_is_gone() -> None:
    small = Small()
    go, told = threading.Event(), list[str]()

    def work(node: Widget | App[None], act: object, name: str) -> None:
        go.wait(10)
        late.from_thread(node, act)  # type: ignore[arg-type]
        told.append(name)

    async with small.run_test():
        part = small.query_one(Part)
        await asyncio.to_thread(late.from_thread, part, part.act_async)
        assert part.acted == 1
        with pytest.raises(NoMatches):  # what is wrong with a call is not hidden
            await asyncio.to_thread(late.from_thread, part, lambda: part.query_one("#none"))
        asked = asyncio.to_thread(work, part, part.act, "gone")
        await going(part)
        go.set()
        await asked
        assert (part.acted, told) == (1, ["gone"])
        small._loop, loop = None, small._loop  # as once it has ended
        await asyncio.to_thread(work, small, small.bell, "ended")
        small._loop = loop
        assert told == ["gone", "ended"]


async def test_a_value_chosen_for_a_field_that_was_made_anew_meanwhile(tmp_path: Path) -> None:
    """Data that is read while a list is open brings fields with its columns."""
    async with app(tmp_path).run_test(size=(80, 24)) as pilot:
        screen = await press(pilot, *["ctrl+n"] * 4)
        old = next(each for each in screen.query(Field) if each.choices)
        old.control.focus()
        await press(pilot, "ctrl+l")
        assert isinstance(pilot.app.screen, Picking)
        assert isinstance(old.parent, Widget)
        await old.parent.mount(screen.form._field(old.info), after=old)
        await old.remove()
        pilot.app.screen.dismiss(old.choices[-1])
        await settle(pilot)
        assert screen.draft.changes[old.info.key] == old.choices[-1]


def test_all_late_calls_go_through_one_door() -> None:
    root = Path(calisr_tui.__file__).parent
    direct = re.compile(r"\.call_(after_refresh|from_thread)\(")
    found = [
        path.name
        for path in root.rglob("*.py")
        if direct.search(path.read_text(encoding="utf-8")) and path.name != "late.py"
    ]
    assert found == []
