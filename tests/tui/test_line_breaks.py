"""Where lines are broken: paths behind their separators, and no sign alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from textual.app import App, ComposeResult

from calisr_engine.events.view import Message
from calisr_tui.charts.roles import ROLES
from calisr_tui.line_breaks import wrapped
from calisr_tui.widgets.hint import fitted
from calisr_tui.widgets.log_pane import line
from calisr_tui.widgets.verbatim import Static
from tests.tui.example import lines_on, make_app, settle

PATH = "/home/someone/fine-tuning/experiments/2026/data/reviews-of-many-products.csv"
MESSAGE = f"✗ {PATH}: a share of 0.001 of 40 rows is too small for a split; name a file"
FOLDERS = {"/home/", "someone/", "fine-tuning/", "experiments/", "2026/", "data/"}


def whole(lines: list[str]) -> bool:
    """Whether every folder of the path stands on one line, and the sign beside its text."""
    return "✗" not in lines and all(any(each in line for line in lines) for each in FOLDERS)


@pytest.mark.parametrize("width", [32, 40, 60, 76, len(PATH), len(PATH) + 2, 200])
def test_a_path_is_broken_behind_its_separators(width: int) -> None:
    for text in (MESSAGE, f"✗ {PATH}", f"the file {PATH} has no rows", f"two\n{MESSAGE}"):
        lines = wrapped(text, width)
        assert all(cell_len(line) <= width for line in lines)
        assert whole(lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert whole(fitted(MESSAGE, width, 20).split("\n"))


@pytest.mark.parametrize("width", [1, 2, 3, 7, 11])
@pytest.mark.parametrize("text", ["", " ", "✗ " + "x" * 30, "日本語" * 9, "a / b", MESSAGE])
def test_nothing_is_lost_in_narrow_lines(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(cell_len(line) <= max(2, width) for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


class Told(App[None]):
    CSS = "Static { height: auto; width: 40; } #cut { text-wrap: nowrap; text-overflow: clip; }"

    def compose(self) -> ComposeResult:
        yield Static(MESSAGE)
        yield Static(MESSAGE, id="cut")
        yield Static("below")


async def test_texts_of_the_app_are_broken_so() -> None:
    app: Any = Told()
    async with app.run_test(size=(60, 20)) as pilot:
        lines = [line.rstrip() for line in lines_on(app)]
        cut = lines.index(MESSAGE[:40].rstrip(), 1)
        assert lines[:cut] == wrapped(MESSAGE, 40)
        assert lines[cut + 1] == "below"
        await app.screen.query_one("#cut").remove()
        app.screen.text_select_all()
        await pilot.pause()
        assert app.screen.get_selected_text() == "\n".join([*wrapped(MESSAGE, 40), "below"])
        app.screen.query(Static).first().styles.width = 50
        await pilot.pause()
        assert lines_on(app)[0].rstrip() == wrapped(MESSAGE, 50)[0]


def test_lines_of_the_log_are_broken_so() -> None:
    console = Console(width=50, color_system=None)
    with console.capture() as shown:
        console.print(line(Message(7, 0.0, "failed", MESSAGE), dict.fromkeys(ROLES, ""), 50))
    lines = [each[8:].rstrip() for each in shown.get().splitlines()]
    assert lines == wrapped(MESSAGE, 42)


async def test_toasts_are_broken_so(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.notify(f"saved {PATH} now", timeout=60)
        await pilot.pause(0.2)
        await settle(pilot)
        assert whole(lines_on(app))
        assert f"saved {PATH} now" == next(iter(app._notifications)).message.replace("\n", "")
