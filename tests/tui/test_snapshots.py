"""Every screen as it looks, small and dark, large and light.

After a wanted change: pytest tests/tui/test_snapshots.py --snapshot-update
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from calisr_tui.feed import EXAMPLE
from tests.slow import quick_where
from tests.tui.contrast import faint
from tests.tui.example import light_checks, make_app, rest, settle, workplace
from tests.tui.many_groups import names, write_run
from tests.tui.studies import make_study
from tests.tui.test_draft import write_reviews

__all__ = ["light_checks", "workplace"]
pytestmark = pytest.mark.usefixtures("light_checks")

SCREENS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "setup-model": ({}, []),
    "setup-data": ({}, ["enter", "down", "enter", *"reviews.csv", "down"]),
    "setup-method": ({}, ["enter", "enter"]),
    "setup-calibration": ({}, ["enter", "enter", "enter"]),
    "setup-grid": ({}, [*["enter"] * 3, "tab", "ctrl+y", *"0.7", "up"]),
    "live": ({"run_dir": Path("runs/run-1")}, []),
    "live-map": ({"run_dir": Path("runs/many")}, ["right", "right", "down"]),
    "live-map-full": ({"run_dir": Path("runs/many")}, ["f", "right", "down"]),
    "replay-end": ({"replay": EXAMPLE}, ["end"]),
    "explanation": ({"replay": EXAMPLE}, ["end", "tab", "i"]),
    "runs": ({}, ["f4"]),
    "errors": ({}, ["f4", "E"]),
    "compare": ({}, ["f4", "space", "down", "space", "c"]),
    "grid": ({}, ["ctrl+g"]),
    "grid-failed": ({}, ["ctrl+g", "tab", "down"]),
    "setup-search": ({}, [*["enter"] * 4, "down", "down", "ctrl+y", "f7", "ctrl+u", *"1e-5..1e-2"]),
    "study": ({"start": "study"}, ["b"]),
    "study-start": ({"start": "study"}, ["s"]),
    "report": ({}, ["ctrl+g", "t"]),
    "figures": ({}, ["ctrl+g", "f"]),
    "help": ({}, ["f1"]),
}

MORE = {"setup-calibration", "setup-grid", "setup-search", "live-map-full", "replay-end", "errors"}
MORE |= {"grid-failed", "study-start", "figures"}
"""Screens much like others of these."""


@pytest.fixture(autouse=True)
def _cursor_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor that blinks is there or not, as the clock has it."""
    monkeypatch.setattr(Input.cursor_blink, "_default", False)


@pytest.mark.parametrize(
    ("size", "theme"), [((80, 24), "calisr-dark"), ((120, 40), "calisr-light")]
)
@pytest.mark.parametrize("name", quick_where(SCREENS, lambda name: name not in MORE))
def test_screen(
    name: str, size: tuple[int, int], theme: str, workplace: Path, snap_compare: Any
) -> None:
    options, keys = SCREENS[name]
    if name == "setup-data":
        write_reviews(workplace / "reviews.csv")
    if name.startswith("live-map"):
        write_run(workplace / "runs" / "many", names(12))
    if options.get("start") == "study":
        make_study(Path("runs"))
    app = make_app(workplace, **options)

    async def press(pilot: Any) -> None:
        app.theme = theme
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.1)
            await settle(pilot)
        app.clear_notifications()
        await rest(pilot)
        assert not list(faint(app))

    assert snap_compare(app, terminal_size=size, run_before=press)
