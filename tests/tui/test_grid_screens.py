"""The grid screen, its report and its figures: what the keys do, and what can go wrong."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.grid.cells import TableCell, TableRun
from calisr_engine.grid.render import FORMATS, render
from calisr_engine.grid.table import Table
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui.app import CalisrApp
from calisr_tui.charts import grid_text
from calisr_tui.charts.roles import ROLES
from calisr_tui.dialogs import Picking, Question, Reading
from calisr_tui.live.screen import LiveScreen
from calisr_tui.screens.figures import FIGURES, FiguresScreen, first_figure
from calisr_tui.screens.grid import GridScreen
from calisr_tui.screens.report import ReportScreen
from calisr_tui.started import StartedRuns
from calisr_tui.widgets.grid_cells import GridCells, NotableRuns
from calisr_tui.widgets.run_curves import RunCurves
from calisr_tui.widgets.verbatim import DataTable
from tests.tui.example import lines_on, make_app, settle, workplace
from tests.tui.grids import make_grid, write_grid

__all__ = ["workplace"]

STUDY = Path("runs/study")


@asynccontextmanager
async def opened(
    folder: Path, *keys: str, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[CalisrApp, Any]]:
    app = make_app(folder, start="grid")
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, *keys)
        yield app, pilot


async def press(pilot: Any, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def text_of(pilot: Any, wanted: str) -> str:
    return str(pilot.app.screen.query_one(wanted).render())


# Grid --------------------------------------------------------------------------------------------


async def test_the_newest_grid_of_the_folder_opens_by_itself(workplace: Path) -> None:
    async with opened(workplace) as (app, _):
        assert isinstance(app.screen, GridScreen)
        assert app.screen.reading is not None
        assert app.screen.reading.grid.folder == STUDY
        assert app.screen.reading.table.counts["completed"] == 12


@pytest.mark.parametrize("keys", ["", "t", "f"])
async def test_a_narrow_footer_leaves_words_out_and_cuts_none(keys: str, workplace: Path) -> None:
    async with opened(workplace, *keys, size=(60, 24)) as (app, _):
        shown = lines_on(app)
        assert shown[-1].rstrip().endswith("F1 Help q Quit")


async def test_enter_on_a_cell_lists_its_runs_and_enter_opens_one(workplace: Path) -> None:
    async with opened(workplace, "down", "enter") as (app, pilot):
        assert isinstance(app.screen, Picking)
        await press(pilot, "down", "enter")
        await pilot.pause(0.2)
        assert isinstance(app.screen, LiveScreen)
        assert app.screen.feed is not None
        assert app.screen.feed.run_dir.name.startswith("lora-S-MRPC-2")
        await press(pilot, "escape")
        assert isinstance(app.screen, GridScreen)


async def test_the_list_opens_a_failed_run_and_says_why_it_failed(workplace: Path) -> None:
    async with opened(workplace, "tab", "down") as (app, pilot):
        assert "the loss is not a number" in await text_of(pilot, "#grid-detail")
        await press(pilot, "enter")
        await pilot.pause(0.2)
        assert app.current_mode == "live"
        live = app.screen_stack[0]
        assert isinstance(live, LiveScreen)
        assert live.feed is not None
        assert live.feed.view.state == "failed"


async def test_a_run_of_a_long_name_tells_its_state_where_little_fits(workplace: Path) -> None:
    async with opened(workplace, size=(60, 24)) as (app, pilot):
        listed = app.screen.query_one(NotableRuns)
        assert app.screen.reading is not None
        first = app.screen.reading.table.notable[0]
        listed.show([replace(first, row="bitfit with a schedule of its own " * 4)])
        await pilot.pause()
        box = listed.content_region
        shown = lines_on(app)
        (line,) = [text[box.x : box.right] for text in shown[box.y : box.bottom]]
        assert "running" in line
        assert "bitfit with" in line


async def test_a_wide_screen_says_all_of_a_cell_beside_the_table(workplace: Path) -> None:
    async with opened(workplace, "down", size=(200, 60)) as (app, pilot):
        screen = app.screen
        table, beside = screen.query_one(GridCells), screen.query_one("#grid-beside")
        curves = screen.query_one(RunCurves)
        assert table.region.width > table.virtual_size.width, "no column is cut"
        assert beside.region.x == table.region.right
        assert beside.region.right == 200
        assert not screen.query_one("#grid-detail").display
        said = await text_of(pilot, "#grid-said")
        assert "accuracy 82.3 ± 3.2 over 3 seeds" in said
        assert "●     1  ✓ completed  100/100      86.0  10m00s" in said
        assert "Against LoRA: With 3 seeds the difference of +1.3 points" in said
        assert curves.border_title is not None
        assert "3 runs" in curves.border_title
        assert len([line for line in curves.plots[0].lines if line.glyph in "●◆▲"]) >= 3
        await press(pilot, "down")
        said = await text_of(pilot, "#grid-said")
        assert "seed 2: the loss is not a number" in said
        assert "No seed is shared with LoRA" in said
        await press(pilot, "down")
        assert not curves.plots[0].lines
        assert "no run has begun" in curves.plots[0].empty
        await press(pilot, "tab", "down")
        assert isinstance(app.focused, NotableRuns)
        assert "the loss is not a number" in await text_of(pilot, "#grid-said")
        assert "bitfit-off-MRPC-2" in str(curves.border_title)
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert not beside.display
        assert table.region.width == 120
        assert "the loss is not a number" in await text_of(pilot, "#grid-detail")


async def test_beside_a_wide_table_there_is_no_room_but_below_it(workplace: Path) -> None:
    async with opened(workplace, size=(200, 60)) as (app, pilot):
        screen = app.screen
        assert isinstance(screen, GridScreen)
        assert screen.reading is not None
        table = screen.reading.table
        long = {row: f"{row} with a schedule of its own and much more " * 3 for row in table.rows}
        cells = {(long[row], column): cell for (row, column), cell in table.cells.items()}
        wide = replace(table, rows=tuple(long.values()), cells=cells, against=None)
        screen.reading = replace(screen.reading, table=wide)
        screen._show_all()
        await settle(pilot)
        await pilot.pause(0.2)
        shown = screen.query_one(GridCells)
        curves, said = screen.query_one(RunCurves), screen.query_one("#grid-said")
        assert shown.region.height > shown.virtual_size.height
        assert said.region.y == curves.region.y == shown.region.bottom
        assert curves.region.x == said.region.right
        assert len(curves.plots[0].lines) > 3


def test_of_many_runs_of_a_cell_the_first_stand_beside_the_table() -> None:
    runs = tuple(TableRun(f"r{n}", "a", "b", n, "completed", 9, 9, "f1", 80.0) for n in range(30))
    cell = TableCell("a", "b", "f1", 80.0, 0.0, tuple(range(30)), (80.0,) * 30, 0, 0, runs=runs)
    table = Table("", "best", ("a",), ("b",), {("a", "b"): cell})
    lines = grid_text.cell_in_full(("a", "b"), cell, table, dict.fromkeys(ROLES, "")).plain
    assert "and 18 more: Enter lists all" in lines
    assert len(lines.splitlines()) == 4 + grid_text.MOST_LISTED
    assert len(grid_text.drawn(cell)) == 8


async def test_a_waiting_run_cannot_be_opened(workplace: Path) -> None:
    async with opened(workplace, "right", "down", "down", "enter", "enter") as (app, _):
        assert isinstance(app.screen, GridScreen)


@pytest.mark.parametrize(("key", "retry"), [("s", False), ("r", True)])
async def test_starting_and_retrying_give_the_command(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, key: str, retry: bool
) -> None:
    started: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(
        StartedRuns, "start_grid", lambda self, name, folder, words: started.append((folder, words))
    )
    async with opened(workplace, key, "backspace", "x", "enter") as (app, pilot):
        assert not started  # x is no number
        await press(pilot, "backspace", "3", "enter")
        assert isinstance(app.screen, GridScreen)
    ((folder, words),) = started
    assert folder == STUDY
    assert words[1:] == [
        *("-m", "calisr_tui", "grid", "run", "study.toml", "--output-dir", "runs", "--jobs", "3"),
        *(["--retry-failed"] if retry else []),
    ]


async def test_f8_copies_the_command_that_starts_the_grid(workplace: Path) -> None:
    async with opened(workplace, "s", "f8") as (app, pilot):
        line = "calisr grid run study.toml --output-dir runs --jobs 1"
        assert app.clipboard == line
        assert "F8 copy the command" in str(app.screen.query_one(".dialog").border_subtitle)
        await press(pilot, "backspace", "x")
        assert "✗ runs at a time" in await text_of(pilot, "#start-command")
        app.copy_to_clipboard("as it was")
        await press(pilot, "f8")
        assert app.clipboard == "as it was"


async def test_a_grid_of_another_process_is_not_started(workplace: Path) -> None:
    with RunLock(RunPaths(STUDY)):
        async with opened(workplace, "s") as (app, pilot):
            assert isinstance(app.screen, GridScreen)
            assert "process" in await text_of(pilot, "#grid-head")


async def test_stopping_asks_the_runs_in_training(workplace: Path) -> None:
    async with opened(workplace, "x") as (app, pilot):
        assert isinstance(app.screen, Question)
        await press(pilot, "right", "enter")
        for _ in range(100):
            asked = list(STUDY.glob("*/control/*.json"))
            if asked:
                break
            await pilot.pause(0.05)
        (request,) = asked
        assert json.loads(request.read_text())["kind"] == "stop_and_save"
        assert request.parts[2].startswith("bitfit-off-MRPC-1")


async def test_a_grid_is_chosen_by_its_file(workplace: Path) -> None:
    write_grid(workplace, "other")
    async with opened(workplace, "o") as (app, pilot):
        await press(pilot, *"another", "enter", *"other", "full_stop", *"toml", "enter")
        assert isinstance(app.screen, GridScreen)
        assert app.screen.reading is not None
        assert app.screen.reading.table.counts == {"waiting": 24}
        assert app.focused is app.screen.query_one(GridCells), "keys reach the table at once"


@pytest.mark.parametrize("text", ["[grid\n", "[model]\nname = 'x'\n", "[grid]\nname = '?'\n"])
async def test_a_broken_file_is_a_message(workplace: Path, text: str) -> None:
    Path("broken.toml").write_text(text)
    async with opened(workplace) as (app, pilot):
        assert isinstance(app.screen, GridScreen)
        app.screen.open("broken.toml")
        await settle(pilot)
        assert isinstance(app.screen, Reading)
        await press(pilot, "escape")
        assert "No grid is open" in await text_of(pilot, "#grid-totals")


async def test_a_folder_that_vanishes_is_a_message(workplace: Path) -> None:
    async with opened(workplace) as (app, pilot):
        shutil.rmtree(STUDY)
        await press(pilot, "u")
        assert "gone" in await text_of(pilot, "#grid-problem")
        await press(pilot, "t")
        assert isinstance(app.screen, ReportScreen)
        assert "24 runs have no result yet" in app.screen.text


async def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    app = make_app(tmp_path, start="grid", output_dir=tmp_path / "none")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "s", "x", "r", "t", "f", "y", "enter")
        assert isinstance(app.screen, GridScreen)
        assert "No grid is open" in await text_of(pilot, "#grid-totals")


async def test_a_grid_that_began_since_is_there_when_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(tmp_path, start="grid")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "No grid is open" in await text_of(pilot, "#grid-totals")
        make_grid(tmp_path)
        await press(pilot, "f4", "ctrl+g")
        assert isinstance(app.screen, GridScreen)
        assert app.screen.reading is not None


async def test_the_palette_goes_to_the_grid_and_has_its_commands(workplace: Path) -> None:
    async with opened(workplace) as (app, _):
        titles = {command.title for command in app.get_system_commands(app.screen)}
    assert {"go: grid", "grid: start", "grid: report", "grid: figures"} <= titles


# Training in a process of its own ----------------------------------------------------------------


async def test_a_grid_s_end_is_told_once_wherever_one_is(workplace: Path) -> None:
    (STUDY / "log.txt").write_text("from before\n")
    async with opened(workplace, "f4") as (app, pilot):
        words = [sys.executable, "-c", "print('why'); exit(4)"]
        app.started.start_grid("study", STUDY, words)
        app.started.grids[STUDY.resolve()].process.wait()
        assert app.started.grid_messages() == []
        app._tick()
        app._tick()
        await settle(pilot)
        assert [type(each) for each in app.screen_stack].count(Reading) == 1
        assert "study has ended" in str(app.screen.query_one(".dialog").border_title)
        text = "\n".join(lines_on(app))
        assert "why" in text
        assert "from before" not in text


# Report ------------------------------------------------------------------------------------------


async def test_the_report_is_copied_in_every_format(workplace: Path) -> None:
    async with opened(workplace, "t") as (app, pilot):
        screen = app.screen
        assert isinstance(screen, ReportScreen)
        assert screen.table is not None
        for form in FORMATS:
            await press(pilot, "y")
            assert app.clipboard == render(screen.table, form)
            await press(pilot, "m")
        assert screen.form == "text"


async def test_the_report_by_another_row_and_the_last_evaluation(workplace: Path) -> None:
    async with opened(workplace, "t") as (app, pilot):
        screen = app.screen
        assert isinstance(screen, ReportScreen)
        assert screen.table is not None
        assert (screen.table.against, screen.table.policy) == ("LoRA", "best")
        await press(pilot, "a", "down", "enter", "p")
        assert (screen.table.against, screen.table.policy) == ("LoRA+CaliSr-S", "last")
        await press(pilot, "a", "up", "enter")
        assert screen.table.against is None
        await press(pilot, "escape")
        assert isinstance(app.screen, GridScreen)


async def test_a_row_that_does_not_exist_leaves_the_report_readable(workplace: Path) -> None:
    file = workplace / "study.toml"
    file.write_text(file.read_text().replace('against = "LoRA"', 'against = "LoRa"'))
    async with opened(workplace, "t") as (app, _):
        assert isinstance(app.screen, ReportScreen)
        assert app.screen.table is not None
        assert app.screen.table.against is None


async def test_the_report_is_saved_and_a_file_is_not_replaced_unasked(workplace: Path) -> None:
    async with opened(workplace, "t", "m", "w", "enter") as (app, pilot):
        saved = workplace / "study-report.md"
        assert saved.read_text().startswith("# Two light methods")
        saved.write_text("mine")
        await press(pilot, "w", "enter")
        assert isinstance(app.screen, Question)
        await press(pilot, "enter")
        assert saved.read_text() == "mine"
        await press(pilot, "w", "enter", "right", "enter")
        assert saved.read_text().startswith("# Two")


# Figures -----------------------------------------------------------------------------------------


async def test_a_figure_is_drawn_at_the_size_of_the_terminal(workplace: Path) -> None:
    async with opened(workplace, "f") as (app, pilot):
        screen = app.screen
        assert isinstance(screen, FiguresScreen)
        assert screen.figure is not None
        assert screen.figure.panels[0].x_names == ("query", "value", "output")
        assert len(screen.figure.panels) == 1
        assert screen.figure.notes
        assert screen.query_one("#figures-body").max_scroll_y == 0, "its notes are in sight, too"
        wide = await text_of(pilot, "#figures-text")
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.2)
        narrow = await text_of(pilot, "#figures-text")
        axes = [max(line.count("─") for line in text.splitlines()) for text in (narrow, wide)]
        assert axes[0] < 80 < axes[1]
        await press(pilot, "left")
        assert screen.name_shown == "5b"
        await press(pilot, "escape")
        assert isinstance(app.screen, GridScreen)


async def test_a_figure_says_what_is_missing(workplace: Path) -> None:
    async with opened(workplace, "f", "right", "right") as (app, pilot):
        assert isinstance(app.screen, FiguresScreen)
        assert app.screen.name_shown == "3"
        said = await text_of(pilot, "#figures-text")
        assert "there is no complete run with the light method" in said
        assert "calisr grid run study.toml" in said


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None,
    reason="matplotlib is not installed (extra: figures)",
)
async def test_a_figure_is_saved(workplace: Path) -> None:
    async with opened(workplace, "f", "w", "enter"):
        assert (workplace / "study-figure2a.svg").read_text().startswith("<?xml")


def test_a_figure_s_grid_begins_with_its_figure() -> None:
    assert [first_figure(name) for name in ("small-figure5", "paper-figure4", "mine")] == [
        *("5a", "4a", "2a")
    ]
    from calisr_engine.figures.catalog import NAMES

    assert set(FIGURES) <= set(NAMES)


async def test_a_wider_terminal_leaves_no_line_of_a_table_as_wide_as_before(
    workplace: Path,
) -> None:
    async with opened(workplace, "tab", "down", size=(100, 30)) as (app, pilot):
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        await pilot.pause(0.3)
        for table in app.screen.query(DataTable):
            inside = table.content_region
            for strip in app.screen._compositor.render_strips()[inside.y : inside.y + 2]:
                behind = [s.style.bgcolor for s in strip for _ in s.text if s.style is not None]
                assert behind[95] == behind[inside.right - 2]
