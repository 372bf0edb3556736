"""What is drawn where there is little room, or much: nothing is half, and nothing is left empty."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from calisr_tui.charts import group_map
from calisr_tui.charts.drawing import draw, draw_lines
from calisr_tui.charts.plot import Line, Plot
from calisr_tui.charts.srs_table import rows
from calisr_tui.charts.timeline import Lane, Picture
from calisr_tui.dialogs import Choice, Picking, Reading
from calisr_tui.themes import COLOURS
from calisr_tui.widgets.hint import fitted
from calisr_tui.widgets.verbatim import DataTable, Static
from tests.tui.example import lines_on, make_app, settle, workplace
from tests.tui.live_run import a_run
from tests.tui.studies import make_study

__all__ = ["workplace"]
STYLES = COLOURS["calisr-dark"]


def test_a_log_axis_writes_small_numbers_as_the_others_do() -> None:
    line = Line((0.0, 1.0), (1e-6, 200.0), "loss")
    text = draw(Plot((line,), log_y=True), 60, 12, STYLES).plain
    assert {each.split("┤")[0].strip() for each in text.split("\n") if "┤" in each} >= {
        "1e-6",
        "0.01",
        "100",
    }


def test_an_axis_of_counted_things_has_whole_ticks() -> None:
    trials = Line(tuple(map(float, range(1, 9))), (0.5,) * 8, "loss")
    last = draw(Plot((trials,)), 190, 12, STYLES).plain.split("\n")[-1]
    assert last.split() == [str(number) for number in range(1, 9)]
    halves = Line((0.5, 1.0, 1.5, 2.0), (0.5,) * 4, "loss")
    assert "1.5" in draw(Plot((halves,)), 190, 12, STYLES).plain.split("\n")[-1]


def test_the_cursor_s_box_leaves_no_half_number() -> None:
    line = Line((0.0, 1000.0), (0.0, 5.3e-7), "loss", label="learning rate", end=True)
    seen = set()
    for cursor in range(500, 1001, 20):
        plot = Plot((line,), x_range=(0, 1000), cursor=float(cursor))
        lines = draw(plot, 80, 9, STYLES).plain.split("\n")
        rim = next(each for each in lines if "╭" in each)
        inside = slice(rim.index("╭"), rim.index("╮") + 1)
        for each in lines[:-2]:
            outside = each[: inside.start] + "#" + each[inside.stop :]
            seen.update(re.findall(r"[\d.e-]+", outside.rpartition("┤")[2]))
    assert seen == {"5.3e-7"}


async def test_the_border_has_the_values_at_the_cursor_where_a_box_would_hide_the_curves(
    workplace: Path,
) -> None:
    app = make_app(workplace, run_dir=Path("runs/run-1"))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("4", "c", "left", "left")
        await settle(pilot)
        small = "\n".join(lines_on(app))
        assert "at 976 ━ 0.155  at 1000 ○ 0.0991 ◆→ 0.9321 ─╯" in small
        assert "│ at 976" not in small
        await pilot.resize_terminal(200, 60)
        await pilot.pause(0.3)
        large = "\n".join(lines_on(app))
        assert "│ at 976" in large
        assert "━ training  ○ validation  ◆ matthews → ─╯" in large


def test_the_cursor_s_box_has_no_faint_letters() -> None:
    line = Line((0.0, 9.0), (0.0, 5.0), "raw", "dots", label="raw")
    pieces = [
        each for row in draw_lines([Plot((line,), cursor=9.0)], 60, 9, STYLES) for each in row
    ]
    (told,) = [style for text, style in pieces if "raw" in text]
    assert told == STYLES["dim"]


def test_what_an_empty_chart_says_is_not_cut() -> None:
    said = draw(Plot((), empty="no loss yet: the first steps are on their way"), 30, 8, STYLES)
    assert " ".join(said.plain.split()) == "no loss yet: the first steps are on their way"


async def test_a_pane_alone_has_all_the_room(workplace: Path) -> None:
    app = make_app(workplace, run_dir=Path("runs/run-1"))
    alone = set()
    async with app.run_test(size=(120, 40)) as pilot:
        for key in "23456":
            await pilot.press(key, "f")
            await settle(pilot)
            (pane,) = [each for each in app.screen.query(".pane") if each.region.width]
            assert pane.region.height > 30
            alone.add(pane.id)
            await pilot.press("f")
            await settle(pilot)
    assert len(alone) == 5


@pytest.mark.parametrize("height", [5, 6, 7, 8, 9])
@pytest.mark.parametrize(
    ("low", "high"), [(0.27, 0.93), (0.1, 0.75), (-3, 5), (0.84, 1), (0, 2e-4)]
)
def test_an_axis_of_few_lines_has_three_ticks(low: float, high: float, height: int) -> None:
    drawn = draw(Plot((Line((0.0, 1.0), (low, high), "loss"),)), 60, height, STYLES).plain
    assert drawn.count("┤") >= 3


def test_a_cell_with_a_bar_has_room_for_the_step_of_its_switch() -> None:
    (row, *_) = rows(a_run(switched=True))
    for step, form in ((50, 10), (100, 10), (100, 12), (12345, 13)):
        cell = group_map.cell(replace(row, switched_at=step), form, 0.5, STYLES)
        text = "".join(part for part, _ in cell)
        assert f"◆{step}" in text
        assert len(text) == form


def test_a_decision_is_drawn_only_ahead() -> None:
    lanes = (Lane("query", "fft", None),)
    assert Picture(lanes, 50, 100, (50, 100)).decisions_drawn
    assert not Picture(lanes, 100, 100, (50, 100)).decisions_drawn


def test_help_that_is_cut_ends_with_a_sign() -> None:
    text = "one two three four five six seven eight nine ten"
    assert fitted(text, 12, 9).split() == text.split()
    for width in range(5, 50):
        for lines in (1, 2, 3):
            found = fitted(f"{text}\n{text}", width, lines).split("\n")
            assert len(found) <= lines
            assert max(map(len, found)) <= width
            assert found[-1].endswith("…") or found[-1].endswith("ten")


async def test_a_low_screen_keeps_the_table_of_a_study(workplace: Path) -> None:
    make_study(Path("runs"))
    app = make_app(workplace, start="study")
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        assert app.screen.query_one("#study-table").region.height > 6


async def test_a_low_screen_keeps_the_table_of_a_report(workplace: Path) -> None:
    app = make_app(workplace, start="grid")
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        await pilot.press("t")
        await settle(pilot)
        assert app.screen.query_one("#report-body").region.height > 12
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert app.screen.query_one("#report-notes").display


class Tables(App[None]):
    def compose(self) -> ComposeResult:
        yield DataTable()


async def test_a_table_drawn_before_it_is_measured_is_drawn_again() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        table = app.query_one(DataTable)
        for word in ("first", "other"):
            table.clear(columns=True)
            table.add_column("x", key="x")
            table.add_row(f"a long word: {word}", key="row")
            table.render_line(1)  # as a repaint does that comes before the table is idle
            await pilot.pause()
            assert f"a long word: {word}" in table.render_line(1).text


async def test_the_sentences_of_a_report_fit_a_narrow_screen(workplace: Path) -> None:
    app = make_app(workplace, start="grid")
    async with app.run_test(size=(60, 30)) as pilot:
        await settle(pilot)
        await pilot.press("t")
        await settle(pilot)

        def lines() -> list[str]:
            said = str(app.screen.query_one("#report-text", Static).content)
            return said[said.index("Against LoRA") :].split("\n")

        assert max(map(len, lines())) <= 56
        assert max(map(len, app.screen.text.split("\n"))) > 70  # what is copied
        await pilot.resize_terminal(100, 30)
        await settle(pilot)
        assert max(map(len, lines())) > 70


@pytest.mark.parametrize("height", [18, 14])
async def test_the_button_of_a_dialog_is_reached_on_a_low_screen(
    height: int, workplace: Path
) -> None:
    make_study(Path("runs"))
    app = make_app(workplace, start="study")
    async with app.run_test(size=(60, height)) as pilot:
        await settle(pilot)
        await pilot.press("s")
        await settle(pilot)
        button = app.screen.query_one("#search-go")
        while app.focused is not button:
            await pilot.press("tab")
            await settle(pilot)
        assert app.screen.find_widget(button).visible_region.height == 1


async def test_a_text_to_read_is_whole_where_there_is_room_again(workplace: Path) -> None:
    app = make_app(workplace)
    async with app.run_test(size=(60, 18)) as pilot:
        await app.push_screen(Reading("Words", "word " * 200, wide=True))
        await settle(pilot)
        assert app.screen.query_one(".dialog-scroll").max_scroll_y
        await pilot.resize_terminal(106, 40)
        await settle(pilot)
        assert not app.screen.query_one(".dialog-scroll").max_scroll_y


async def test_a_heading_that_is_cut_ends_with_a_sign(workplace: Path) -> None:
    app = make_app(workplace)
    async with app.run_test(size=(40, 18)) as pilot:
        for key in ("f4", "g", *"task", "enter"):
            await pilot.press(key)
            await settle(pilot)
        line = app.screen._compositor.render_strips()[0].text
        assert line.rstrip().endswith("…")


async def test_one_long_title_leaves_the_notes_of_the_others_in_their_column(
    workplace: Path,
) -> None:
    """At 80 columns, where a column as wide as that title would cut every note."""
    long = "a title much longer than a column of titles may be"
    choices = [Choice(name, name, f"what {name} does, in {'words ' * 6}end") for name in "abc"]
    app = make_app(workplace, output_dir=workplace / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Picking("Which?", [*choices, Choice("long", long, "its note")]))
        await settle(pilot)
        shown = "\n".join(lines_on(app))
    assert f"{long}  its note" in shown
    for choice in choices:
        assert f"{choice.title}  {choice.note}" in shown
