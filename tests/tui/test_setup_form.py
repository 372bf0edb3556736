"""The setup's form and side at several sizes: lines in columns, hints once, settings beside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from calisr_tui.screens.setup_form import ALIGNED, WAYS
from tests.tui.example import light_checks, lines_on, make_app, settle

__all__ = ["light_checks"]
pytestmark = pytest.mark.usefixtures("light_checks")


def listed(app: Any) -> list[str]:
    """The lines of the list of the page."""
    area = app.screen.query_one("#choices").region
    return [line[area.x : area.right] for line in lines_on(app)[area.y : area.bottom]]


def hint(app: Any) -> str:
    return " ".join(str(app.screen.query_one("#hint").visual).split())


async def test_notes_line_up_where_the_form_has_room_and_do_so_anew_after_a_resize(
    tmp_path: Path,
) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        for width in (140, 100, 140):
            await pilot.resize_terminal(width, 40)
            await pilot.pause(0.3)
            await settle(pilot)
            found = (re.search(r"\d+ layers", line) for line in listed(app))
            notes = {each.start() for each in found if each}
            wide = app.screen.form.size.width >= ALIGNED
            assert wide == (width == 140)
            assert (len(notes) == 1) == wide


async def test_a_hint_repeats_a_note_only_where_the_list_cuts_it(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("enter", "enter")  # the method
        await settle(pilot)
        seen = {}
        for _ in range(8):
            await pilot.press("down")
            await settle(pilot)
            at = app.screen.query_one("#choices").highlighted
            seen[at] = hint(app)
            assert hint(app).endswith(" ".join(WAYS.split()))
            line = next(each for each in listed(app) if "bitfit" in each)
        assert "…" not in line
        assert {said == WAYS for said in seen.values()} == {True, False}
        first = next(at for at, said in seen.items() if said != WAYS)
        app.screen.query_one("#choices").highlighted = first
        await pilot.resize_terminal(220, 30)
        await pilot.pause(0.3)
        await settle(pilot)
        assert hint(app) == WAYS


async def test_a_choice_says_its_reason_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"a text of number {n},{'bad' if n % 2 else 'good'}" for n in range(40)]
    (tmp_path / "some.csv").write_text("\n".join(["text,label", *rows]))
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(200, 40)) as pilot:
        await pilot.press("enter", "down", "enter", *"some.csv", "down")
        await settle(pilot)
        field = app.screen.form.field_in_focus
        why = field.control.note
        assert field.info.key == "task.text_column"
        assert why.startswith("its name")
        assert not hint(app).startswith("It is")
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.3)
        await pilot.press("down", "up")
        await settle(pilot)
        assert hint(app).startswith("It is text: its name")


@pytest.mark.parametrize(("size", "there"), [((200, 60), True), ((140, 30), False)])
async def test_the_settings_stand_below_the_summary_where_there_is_room_for_all(
    tmp_path: Path, size: tuple[int, int], there: bool
) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for _ in range(100):
            if app.screen.draft.resolved is not None and "trainable" in "".join(lines_on(app)):
                break
            await pilot.pause(0.05)
        side = app.screen.query_one("#summary")
        said = str(side.visual)
        assert ("Its settings as a file (F9)" in said) == there
        settings = app.screen.draft.resolved.minimal_toml().strip()
        assert (settings in said) == there
        assert side.virtual_region.height <= side.parent.size.height
