"""What is shown can be read in every theme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor
from textual.filter import Monochrome
from textual.widgets import Input

from calisr_tui import themes
from calisr_tui.contrast import LEAST, contrast, readably_dim
from tests.slow import quick_where
from tests.tui.contrast import faint
from tests.tui.example import light_checks, make_app, rest, settle, workplace

__all__ = ["light_checks", "workplace"]
pytestmark = pytest.mark.usefixtures("light_checks")

SIGNS = {"row", "raw"}
"""Roles that no letters have: a background, and single values behind a curve."""

UNSEEN = {
    "ansi-dark": {"black", "bright_black", "blue"},
    "ansi-light": {"white", "bright_white", "yellow", "bright_yellow", "bright_cyan"},
}
"""Colours that come near the background in the palettes that terminals begin with."""


QUICK = quick_where(themes.NAMES, lambda name: name in ("calisr-light", "ansi-light"))


def of(colour: str) -> Any:
    return Color.parse(colour).triplet


@pytest.mark.parametrize("theme", themes.THEMES, ids=lambda theme: theme.name)
def test_letters_of_every_role_stand_out_from_every_background(theme: Any) -> None:
    roles = themes.COLOURS[theme.name]
    bars = [theme.background, theme.surface, theme.panel, roles["row"].removeprefix("on ")]
    own = {key: getattr(theme, key) for key in ("accent", "warning", "error", "success")}
    for role, colour in {**roles, **own, "text": theme.foreground}.items():
        if role not in SIGNS:
            behind = bars[:1] if role.startswith("run") else bars
            found = min(contrast(of(colour), of(each)) for each in behind)
            assert found >= LEAST, (role, colour, found)


@pytest.mark.parametrize("theme", UNSEEN)
def test_no_letter_has_a_colour_of_a_terminal_s_background(theme: str) -> None:
    roles = {role: each for role, each in themes.COLOURS[theme].items() if role not in SIGNS}
    assert not {role: each for role, each in roles.items() if each in UNSEEN[theme]}


def test_dim_letters_keep_as_much_of_their_colour_as_is_needed() -> None:
    style, black = Style.parse("#ffffff dim"), Color.parse("#000000")
    plain = readably_dim(style, black)
    assert plain.color is not None
    assert plain.color.triplet == (168, 168, 168)
    assert not plain.dim
    for behind in ("#5b8def", "#1d4ed8", "#777777", "#b3c1e8"):
        for front in ("#000000", "#ffffff"):
            at_best = contrast(of(front), of(behind))
            found = readably_dim(Style.parse(f"{front} on {behind} dim"), black)
            assert found.color is not None
            assert contrast(of(found.color.name), of(behind)) >= min(LEAST, at_best)
    assert readably_dim(Style.parse("dim"), Color.default()).dim
    assert not readably_dim(Style.parse("black on white dim"), Color.default()).dim


@pytest.mark.parametrize("theme", themes.THEMES, ids=lambda theme: theme.name)
def test_dim_letters_on_a_cursor_can_be_read_as_greys_too(theme: Any) -> None:
    front = theme.variables.get("block-cursor-foreground", "#ffffff")
    behind = Color.parse(theme.primary)
    if contrast(of(front), of(theme.primary)) < LEAST:
        front = "#000000"
    style = readably_dim(Style.parse(f"{front} on {theme.primary} dim"), behind)
    (grey,) = Monochrome().apply([Segment("letters", style)], TextualColor.parse(theme.primary))
    assert grey.style is not None
    assert contrast(of(grey.style.color.name), of(grey.style.bgcolor.name)) >= LEAST


def cells(app: Any, widget: Any) -> list[Segment]:
    """What is drawn of a widget, cell by cell."""
    where = widget.content_region
    strips = app.screen._compositor.render_strips()[where.y : where.bottom]
    return [
        Segment(sign, style)
        for strip in strips
        for text, style, _ in strip.crop(where.x, where.right)
        for sign in text
    ]


@pytest.mark.parametrize("theme", QUICK)
async def test_the_marked_line_and_the_field_in_focus_can_be_read(
    theme: str, workplace: Path
) -> None:
    app = make_app(workplace)
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = theme
        await rest(pilot)
        for keys in (["H"], ["f2"], ["enter", "enter"], ["down", "tab", "tab"], ["enter", "enter"]):
            for key in keys:
                await pilot.press(key)
                await settle(pilot)
            await rest(pilot)
            assert not list(faint(app, 3 if app.native_ansi_color else LEAST))


@pytest.mark.parametrize("theme", QUICK)
async def test_the_cursor_of_a_field_is_seen(theme: str, workplace: Path) -> None:
    app = make_app(workplace)
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = theme
        for key in (*["enter"] * 4, *"5x"):
            await pilot.press(key)
            await settle(pilot)
        for _ in range(2):  # a value with a mistake, and one without
            await rest(pilot)
            assert isinstance(app.focused, Input)
            app.focused.cursor_blink = False
            drawn = [each.style for each in cells(app, app.focused) if each.style is not None]
            at = app.focused.cursor_position
            seen = [(each.bgcolor, each.color)[bool(each.reverse)] for each in drawn]
            assert seen[at] != seen[at + 1]
            await pilot.press("backspace")


@pytest.mark.parametrize("theme", QUICK)
async def test_a_dialog_stands_over_its_screen(theme: str, workplace: Path) -> None:
    app = make_app(workplace)
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = theme
        await rest(pilot)
        await pilot.press("ctrl+o")
        await rest(pilot)
        first = app.screen._compositor.render_strips()[0].text
        assert "calibration" in first
