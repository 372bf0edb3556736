"""A screen is one entry of the table of places, and a pane one entry of the table of panes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Static

import calisr_tui
from calisr_engine.events.view import RunView
from calisr_tui import live, places
from calisr_tui.charts.plot import Plot
from calisr_tui.live import panes
from calisr_tui.live.panes import Look, Pane
from calisr_tui.places import Place
from calisr_tui.widgets.chart import Chart
from tests.tui.example import workplace

__all__ = ["workplace"]


class ToyScreen(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Static("a toy")

    def commands(self) -> list[tuple[str, str, str]]:
        return [("toy: squeak", "as toys do", "squeak")]


TOY_PLACE = Place("toy", f"{__name__}:ToyScreen", "ctrl+y", "Toy", "a screen to play with")
TOY_PANE = Pane(
    "toy",
    "toy",
    "a pane to play with",
    Chart,
    lambda chart, look: chart.show(Plot(empty=f"log {look.log_scale}"), title="Toy"),
    "right",
)


def new_app(monkeypatch: pytest.MonkeyPatch, folder: Path, **options: Any) -> Any:
    """An app of classes that are made now, from the tables as they are."""
    for package, names in ((live, ("board", "screen", "replay")), (calisr_tui, ("app",))):
        for name in names:
            importlib.import_module(f"{package.__name__}.{name}")
            monkeypatch.setattr(package, name, getattr(package, name))  # put back at the end
            monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}")
    made = importlib.import_module("calisr_tui.app").CalisrApp
    return made(config=folder / "keys", preload=False, output_dir=Path("runs"), **options)


def palette(app: Any) -> dict[str, Any]:
    return {each.title: each for each in app.get_system_commands(app.screen)}


async def help_page(pilot: Any) -> str:
    await pilot.press("f1")
    await pilot.pause()
    console = Console(width=120)
    with console.capture() as shown:
        console.print(pilot.app.screen.query_one("#help-keys", Static).content)
    return shown.get()


async def test_a_place_is_one_entry(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PLACES", (*places.PLACES, TOY_PLACE))
    app = new_app(monkeypatch, workplace)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.1)
        assert "toy: squeak" not in palette(app)
        assert palette(app)["go: toy"].help == "a screen to play with"
        palette(app)["go: toy"].callback()
        await pilot.pause()
        assert isinstance(app.screen, ToyScreen)
        assert "toy: squeak" in palette(app)
        await pilot.press("f4")
        await pilot.pause()
        assert not isinstance(app.screen, ToyScreen)
        await pilot.press("ctrl+y")
        await pilot.pause()
        assert isinstance(app.screen, ToyScreen)
        assert "app.toy" in await help_page(pilot)
        assert app.binding_ids()["app.toy"] == "Toy"


@pytest.mark.parametrize("source", ["run_dir", "replay"])
async def test_a_pane_is_one_entry(
    source: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panes, "PANES", (*panes.PANES, TOY_PANE))
    app = new_app(monkeypatch, workplace, **{source: Path("runs/run-1")})
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.1)
        screen = app.screen
        toy = screen.query_one("#toy", Chart)
        assert toy.region.area > 0
        assert toy.plots == (Plot(empty="log False"),)

        await pilot.press("7")
        assert app.focused is toy
        await pilot.press("1")
        await palette(app)["pane: toy"].callback()
        await pilot.pause()
        assert app.focused is toy
        assert palette(app)["pane: toy"].help == "a pane to play with"

        await pilot.press("f")
        await pilot.pause()
        assert [pane.name for pane in panes.PANES if screen.query_one(f"#{pane.name}").display] == [
            "toy"
        ]
        await pilot.press("l")  # this pane has no logarithmic scale
        assert toy.plots == (Plot(empty="log False"),)
        await pilot.press("f")
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.2)
        assert "7 toy" in str(screen.query_one("#strip", Static).visual)
        assert "live.pane_toy" in await help_page(pilot)


def test_a_pane_draws_with_what_concerns_it() -> None:
    asked = Look(RunView(), smoothing=0.9, log_scale=True, cursor=3.0)
    drawn: list[Look] = []
    for smooth, log_scale in ((False, False), (True, False), (False, True)):
        pane = Pane(
            "toy",
            "",
            "",
            Chart,
            lambda _, look: drawn.append(look),
            "left",
            smooth=smooth,
            log_scale=log_scale,
        )
        pane.show(Chart("toy"), asked)
    assert [(look.smoothing, look.log_scale, look.cursor) for look in drawn] == [
        (0.0, False, 3.0),
        (0.9, False, 3.0),
        (0.0, True, 3.0),
    ]


def test_the_table_of_places_names_what_is_there() -> None:
    assert len({place.name for place in places.PLACES}) == len(places.PLACES)
    assert all(issubclass(place.load(), Screen) for place in places.PLACES)
