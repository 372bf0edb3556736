"""Pictures of all screens at all sizes and in all themes, to look at one by one.

    PICTURES=/tmp/pictures [SIZE=80x24] [THEME=light] pytest tests/tui/pictures.py [-k runs]

What can be tested without eyes is: a theme changes colours only, and no key of the footer is cut.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Footer

from calisr_tui.feed import EXAMPLE
from tests.tui.example import light_checks, make_app, settle, workplace
from tests.tui.test_draft import write_reviews
from tests.tui.test_snapshots import SCREENS

__all__ = ["light_checks", "workplace"]
pytestmark = pytest.mark.usefixtures("light_checks")

SIZES = ((60, 18), (80, 24), (100, 30), (120, 40), (200, 60))
THEMES = ("calisr-dark", "calisr-light", "ansi-dark")

FILL = ["enter", "down", "enter", *"reviews.csv", "down"]
MORE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "home": ({}, ["H"]),
    "setup-training": ({}, ["enter"] * 4),
    "setup-data-full": ({}, [*FILL, "ctrl+t"]),
    "setup-columns": ({}, [*FILL, "down", "ctrl+l"]),
    "setup-files": ({}, ["enter", "down", "enter", "ctrl+l"]),
    "setup-presets": ({}, ["ctrl+o"]),
    "setup-save": ({}, ["ctrl+s"]),
    "setup-toml": ({}, ["f9"]),
    "live-middle": ({"run_dir": Path("runs/middle")}, []),
    "live-failed": ({"run_dir": Path("runs/failed")}, ["escape"]),
    "live-failure": ({"run_dir": Path("runs/failed")}, []),
    "live-stopped": ({"run_dir": Path("runs/stopped")}, []),
    "live-cursor": ({"run_dir": Path("runs/run-1")}, ["4", "c", "left", "left"]),
    "live-full": ({"run_dir": Path("runs/run-1")}, ["6", "g", "f"]),
    "live-log": ({"run_dir": Path("runs/run-1")}, ["3"]),
    "replay-begin": ({"replay": EXAMPLE}, ["home"]),
    "runs-grouped": ({}, ["f4", "slash", *"best>0.1", "enter"]),
    "runs-columns": ({}, ["f4", "k"]),
    "runs-delete": ({}, ["f4", "d"]),
    "runs-curves": ({}, ["f4", "l"]),
    "compare-ranks": ({}, ["f4", "space", "down", "space", "c", "m", "m", "m"]),
    "try": ({}, ["f4", "a"]),
    "export": ({}, ["f4", "X"]),
    "grid-start": ({}, ["ctrl+g", "s"]),
    "palette": ({"run_dir": Path("runs/run-1")}, ["ctrl+p"]),
}


def cut_off(run: Path, folder: Path, step: int, *last: dict[str, Any]) -> None:
    """A run that came to a step, and what its log says then."""
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["step"] < step]
    head = {key: kept[-1][key] for key in ("v", "attempt", "time")}
    for number, said in enumerate(last):
        kept.append({**head, "seq": kept[-1]["seq"] + 1 + number, "step": step, **said})
    folder.mkdir()
    (folder / "config.toml").write_text((run / "config.toml").read_text())
    (folder / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in kept))


@pytest.fixture
def runs(workplace: Path) -> Path:
    """Runs that were stopped in the middle, or failed."""
    run = workplace / "runs" / "run-1"
    failed = {
        "type": "failed",
        "message": "the training loss is not a number (nan) at step 260",
        "hint": "lower training.learning_rate, or set training.max_grad_norm",
        "traceback": "",
    }
    cut_off(run, workplace / "runs" / "middle", 230)
    cut_off(run, workplace / "runs" / "failed", 260, failed)
    cut_off(
        run,
        workplace / "runs" / "stopped",
        300,
        {"type": "stopped", "reason": "asked", "saved": True},
    )
    write_reviews(workplace / "reviews.csv")
    return workplace


def words(app: Any) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


@pytest.mark.parametrize("name", [*SCREENS, *MORE])
async def test_picture(name: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("PICTURES")
    if not folder:
        pytest.skip("PICTURES names no folder")
    from calisr_tui.asking import Asking

    monkeypatch.setattr(Asking, "start", lambda self: None)
    options, keys = (SCREENS | MORE)[name]
    sizes = [each for each in SIZES if os.environ.get("SIZE", "x") in f"{each[0]}x{each[1]}"]
    themes = [each for each in THEMES if os.environ.get("THEME", "") in each]
    app = make_app(runs, **options, clock=lambda: 0.0)
    async with app.run_test(size=sizes[0]) as pilot:
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        app.clear_notifications()
        for theme, size in itertools.product(themes, sizes):
            if app.theme != theme:
                app.theme = theme
            await pilot.resize_terminal(*size)
            await pilot.pause(0.3)
            await settle(pilot)
            name = f"{name.split('-at-')[0]}-at-{size[0]}x{size[1]}"
            path = Path(folder) / f"{name}-{theme}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(app.export_screenshot(), encoding="utf-8")
            said = "\n".join(words(app))
            plain = path.parent / f"{name}.txt"
            if theme == themes[0]:
                plain.write_text(said)
            assert said == plain.read_text()
            for footer in app.screen.query(Footer):
                assert all(key.region.right <= size[0] for key in footer.children)
