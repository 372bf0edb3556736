"""What the live screen says and draws: no column is clipped, no step moves, no number is hidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.color import Color, ColorSystem
from rich.console import Console
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_tui import late
from calisr_tui.app import CalisrApp
from calisr_tui.asking import Asking
from calisr_tui.charts import plots
from calisr_tui.charts.axes import ticks
from calisr_tui.charts.drawing import draw, draw_lines
from calisr_tui.charts.plot import Line, Plot
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.srs_table import LEFT_OUT, caption, layout, rows, table_text, title
from calisr_tui.charts.timeline import Lane, Picture, arrange, timeline_text
from calisr_tui.cli.live_text import render
from calisr_tui.live.run_screen import named_settings
from calisr_tui.themes import COLOURS, colours
from calisr_tui.widgets.chart import Chart
from calisr_tui.widgets.footer import fitting
from calisr_tui.widgets.log_pane import LogPane
from calisr_tui.widgets.srs_table import SrsTable
from calisr_tui.widgets.status_line import status_text
from calisr_tui.widgets.timeline import Timeline
from tests.events.cases import record
from tests.tui.example import make_app, settle, workplace
from tests.tui.live_run import a_run

__all__ = ["workplace"]

STYLES = dict.fromkeys((*ROLES, "row"), "")
# The table ----------------------------------------------------------------------------------------

WIDTHS = range(44, 201)
"""Cells within the pane: at 100 columns, where two columns of panes begin, there are 48."""


@pytest.mark.parametrize("dots", [True, False])
def test_no_column_is_clipped_at_any_width(dots: bool) -> None:
    table = rows(a_run(switched=True))
    if not dots:
        table = [replace(row, pips=None, hits=22.5, samples=125) for row in table]
    before: set[str] = set()
    for width in WIDTHS:
        columns = layout(table, width).widths
        assert before <= columns.keys(), width
        before = set(columns)
        here = [column for column in LEFT_OUT if column in columns and (dots or column != "hits")]
        assert here == [c for c in LEFT_OUT if dots or c != "hits"][-len(here) or len(LEFT_OUT) :]
        lines = table_text(table, 0.5, width, None, 0, {}, STYLES).plain.split("\n")
        assert max(map(len, lines)) <= width
        for column in columns.keys() - {"dots", "bar"}:
            assert column in lines[0], (width, column)
        for line, row in zip(lines[1:], table, strict=True):
            name = row.name if columns["group"] >= len(row.name) else row.name[:5]
            for word in (name, "light" if row.phase == "lft" else "full", "┃"):
                assert word in line, (width, word)
            assert (str(row.pips) if dots else "22.5/125") in line
            assert "e-6" in line
            for column, word in (("score", f"{row.score:.2f}"), ("rank", "40 "), ("coin", "0.50")):
                assert column not in columns or word in line, (width, column, line)
    assert before >= set(LEFT_OUT) - ({"hits"} if not dots else set()) | {"bar"}


def test_tiny_differences_move_no_column() -> None:
    table = rows(a_run(switched=True))
    values = (3e-10, -9.4e-12, 1e-9, 0.023, -1e-100)
    same = [replace(table[0], difference=value) for value in values]
    _, *lines = table_text(same, 0.5, 78, None, 0, {}, STYLES).plain.split("\n")
    assert len({line.index(str(table[0].pips)) for line in lines}) == 1
    for line, said in zip(lines, ("+3e-10", "−9e-12", "+1.0e-9", "+0.023", "−1e-100"), strict=True):
        assert f" {said} " in line


async def test_the_table_fits_its_pane_at_every_width(workplace: Path) -> None:
    app = CalisrApp(
        run_dir=Path("runs/run-1"), config=workplace, output_dir=Path("runs"), preload=False
    )
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.pause(0.2)
        for width in (60, 61, 79, 80, 99, 100, 101, 119, 120, 160, 200):
            await pilot.resize_terminal(width, 24 if width < 100 else 40)
            await pilot.pause()
            table = app.screen.query_one(SrsTable)
            wide = table.content_size.width
            assert wide >= min(WIDTHS)
            assert all(len(line) <= wide for line in table.render().plain.split("\n"))
            footer = app.screen.query_one(Footer).region.bottom - 1
            strip = app.screen._compositor.render_strips()[footer]
            assert "q Quit" in "".join(segment.text for segment in strip)


def test_a_run_without_a_score_has_no_empty_columns() -> None:
    table = rows(a_run(variant="off", taken=0))
    assert table_text(table, None, 60, None, 0, {}, STYLES).plain.split("\n")[0].split() == [
        "group",
        "now",
        "switch",
    ]


def test_words_under_the_table_are_whole() -> None:
    said = ("query: one two three four five six", "one to six", "a note of some words", "short")
    assert caption("query", said, 40, 1) == [("query: one two three four five six", "strong")]
    assert caption("query", said, 40, 2) == [
        ("query: one two three four five six", "strong"),
        ("a note of some words", "dim"),
    ]
    assert caption("query", said, 20, 1) == [("query: one to six", "strong")]
    assert caption("query", said, 12, 1) == [("one to six", "strong")]
    assert caption("query", said, 22, 3) == [
        ("query: one two three", "strong"),
        ("four five six", "strong"),
        ("a note of some words", "dim"),
    ]
    for width in range(30, 140):
        assert len(title(0.5, width)) <= max(width, 36)


def test_a_run_that_ended_before_its_first_step_waits_for_none() -> None:
    for state, waits in (("running", True), ("interrupted", False), ("failed", False)):
        view = a_run(taken=0)
        view.state = state
        said = {
            plots.loss_and_metric(view, 0.9, False, None).empty,
            plots.rates(view, False, None).empty,
        }
        assert (said == {"no step was taken"}) != waits


# The timeline -------------------------------------------------------------------------------------


def a_picture(lanes: int = 6) -> Picture:
    made = [
        Lane(f"group_{n}", "lft" if n == 0 else "fft", 50 if n == 0 else None) for n in range(6)
    ]
    return Picture(tuple(made[:lanes]), 120, 200, (50, 100, 150), ((0.0, 1.0), (50.0, 0.1)))


def test_a_switch_does_not_erase_the_bar() -> None:
    for width in range(40, 120, 7):
        lane = timeline_text(a_picture(), width, 10, None, STYLES).plain.split("\n")[1]
        bar, _, note = lane.rstrip().rpartition(" ◆ ")
        assert note == "50"
        drawn = bar.split()[1]
        assert drawn.count("◆") == 1
        full, light = drawn.split("◆")
        assert set(full) == {"█"}
        assert light.lstrip("░").strip("·┊") == ""
        assert len(light) > len(full)  # 70 of 200 steps, and 80 to come


@pytest.mark.parametrize("lanes", [1, 3, 6])
def test_the_timeline_has_as_many_lines_as_there_is_room_for(lanes: int) -> None:
    shown = a_picture(lanes)
    for height in range(1, 24):
        for at in range(lanes):
            lines = timeline_text(shown, 60, height, at, STYLES).plain.split("\n")
            seen = arrange(shown, height, at)
            assert len(lines) <= height
            assert at in seen.lanes
            assert (len(seen.lanes) < lanes and height > 1) == any("more" in each for each in lines)
            assert {seen.lane_at(n) for n in range(height)} - {None} == set(seen.lanes)


def test_the_trainable_share_stands_below_the_lanes() -> None:
    lines = timeline_text(a_picture(), 60, 9, None, STYLES).plain.split("\n")
    assert lines[-2].split()[0] == "trainable"
    assert lines[-2].rstrip().endswith("10%")
    assert set("█▁") <= set(lines[-2])
    assert lines[-1].split() == ["step", "0", "50", "100", "150", "200"]


# Charts -------------------------------------------------------------------------------------------


def test_axes_have_three_ticks_and_more() -> None:
    for low, high in ((0, 1), (0.59, 0.74), (3, 3.0001), (-2, 7e5), (0.9, 1.0), (1, 1e-9 + 1)):
        for most in (3, 5, 9):
            found = ticks(low, high, most)
            assert len(found) >= 3
            assert all(low - 1e-9 <= each <= high + 1e-9 for each in found)


@pytest.mark.parametrize("values", [(0.98, 1.0), (0.0, 0.1), (-1.0, 0.2), (0.5,)])
def test_no_metric_stands_where_none_can_be(values: tuple[float, ...]) -> None:
    low, high = plots.metric_range(values)
    assert low is not None
    assert high is not None
    assert -1 <= low < high <= 1
    assert low >= 0 or min(values) < 0
    assert low <= min(values) <= max(values) <= high


def test_a_step_stands_in_one_column() -> None:
    x = (0.0, 10.0, 20.0)
    small = Line(x, (0.001, 0.002, 0.003), "loss")
    large = Line(x, (1e4, 2e4, 3e4), "fft", right=True)
    marked = Plot((small,), marks=(60.0,), x_range=(0.0, 100.0), x_labels=False)
    both = (replace(small, y=(0.1, 3e4, 5.0)), large)
    stack = [marked, *(replace(marked, lines=lines) for lines in (both, (large,)))]
    stack.append(replace(marked, name="a name", x_labels=True))
    drawn = draw_lines(stack, 60, 30, STYLES, (7, 6))
    lines = ["".join(text for text, _ in line) for line in drawn]
    assert {line[9:50].index("│") for line in lines[:-2]} == {lines[0][9:50].index("│")}
    assert lines[-2][9 + lines[0][9:50].index("│")] == "┼"


def test_the_last_value_stands_at_the_end_of_its_curve() -> None:
    for end in (20.0, 60.0, 100.0):
        x = (0.0, end / 2, end)
        falls = Line(x, (0.9, 0.5, 0.123), "loss", digits=3, end=True)
        rises = Line(x, (0.1, 0.5, 0.124), "metric", "joined", "◆", digits=3, end=True)
        text = draw(Plot((falls, rises), x_range=(0, 100)), 60, 12, STYLES).plain
        assert "0.123" in text
        assert "0.124" in text


def test_the_cursor_shows_every_value_in_a_box() -> None:
    loss = Line((0.0, 50.0, 100.0), (0.9, 0.5, 2e-5), "loss", label="training", digits=3)
    metric = Line((0.0, 90.0), (0.1, 0.7), "metric", "joined", "◆", "f1 →", right=True)
    for cursor in (0.0, 50.0, 100.0):
        plot = Plot((loss, metric), x_range=(0, 100), cursor=cursor)
        lines = draw(plot, 60, 12, STYLES).plain.split("\n")
        assert max(map(len, lines)) <= 60
        text = "\n".join(lines)
        assert f"at {cursor:g}" in text
        assert f"training {'2e-5' if cursor == 100 else '0.9' if not cursor else '0.5'}" in text
        if cursor != 50:
            at, f1 = next((n, line) for n, line in enumerate(lines) if "f1 → 0." in line)
            assert ("0.1 " if cursor < 50 else "0.7 ") in f1
            assert ("at 0 " if cursor < 50 else "at 90 ") in "".join(lines[:at])


def test_the_small_ranks_show_every_group() -> None:
    view = a_run()
    small = plots.all_stable_ranks(view, None)
    lines = ["".join(text for text, _ in line) for line in draw_lines(small, 50, 8, STYLES, (7, 6))]
    assert [line.split("┤")[0].strip() for line in lines if "┤" in line] == [
        "query",
        "att out",
        "output",
    ]


def test_sixteen_colours_keep_full_light_and_errors_apart() -> None:
    for theme, roles in COLOURS.items():
        seen = [
            Color.parse(roles[role]).downgrade(ColorSystem.STANDARD).number
            for role in ("fft", "lft", "bad")
        ]
        assert len(set(seen)) == 3, theme


async def test_a_theme_changes_everything_at_once(workplace: Path) -> None:
    app = CalisrApp(
        run_dir=Path("runs/run-1"), config=workplace, output_dir=Path("runs"), preload=False
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)

        def inks() -> set[str]:
            legends = [app.screen.query_one("#loss", Chart), app.screen.query_one(Timeline)]
            found = [
                segment.style
                for strip in app.screen.query_one(LogPane).lines
                for segment in strip
                if segment.style is not None
            ]
            return {str(span.style) for each in legends for span in each._border_subtitle.spans} | {
                f"#{''.join(f'{c:02x}' for c in style.color.triplet)}"
                for style in found
                if style.color is not None and style.color.triplet is not None
            }

        dark, light = (set(colours(name).values()) for name in ("calisr-dark", "calisr-light"))
        assert inks() & dark
        app.theme = "calisr-light"
        await pilot.pause(0.2)
        assert not inks() & (dark - light)


# Around it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [(), ("a",), ("f4",)], ids=["here", "below", "elsewhere"])
async def test_charts_that_a_resize_brings_have_their_lines_at_once(
    workplace: Path, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when what waits for a refresh is lost, with the screen that was on top."""
    monkeypatch.setattr(Asking, "start", lambda self: None)
    app = make_app(workplace, run_dir=Path("runs/run-1"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        live = app.screen
        hidden = [each for each in live.query(Chart) if not each.display]
        assert hidden
        assert not any(each.plots for each in hidden)
        await pilot.press("z", *keys)  # frozen: no tick draws it either
        await settle(pilot)
        monkeypatch.setattr(late, "after_refresh", lambda node, act: None)
        await pilot.resize_terminal(120, 40)
        await pilot.pause(0.2)
        if keys:
            await pilot.press("escape" if keys == ("a",) else "f3")
            await settle(pilot)
        assert app.screen is live
        assert all(each.display and each.plots for each in live.query(Chart))


def test_the_header_says_what_the_device_does() -> None:
    load = [
        record(ev.Resources(gpu_percent=float(n), gpu_memory_bytes=2_000_000_000), 1)
        for n in (0, 50, 100)
    ]
    view = fold_all(a_run(), load)
    first, second = status_text(view, 120, [], STYLES).plain.split("\n")
    assert first.endswith("GPU ▁▄█ 100% 2 GB")
    assert "trains 100.0%, 0 of 3 light" in second
    assert "decides at 50" in second
    for width in range(40, 160):
        lines = status_text(view, width, ["a note"], STYLES).plain.split("\n")
        assert max(map(len, lines)) <= width
    assert "LOADING" in status_text(view, 80, [], STYLES, "loading").plain


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_text_of_run_and_watch_sets_its_table_apart(width: int) -> None:
    console = Console(width=width, color_system=None)
    with console.capture() as shown:
        console.print(render(a_run(), width))
    lines = shown.get().split("\n")
    head = next(n for n, line in enumerate(lines) if line.split()[:2] == ["group", "now"])
    assert lines[head - 2].strip() == ""
    assert all(len(line) <= width for line in lines)
    assert any("attention_output" in line and "┃" in line for line in lines)
    assert any("next decision at step 50" in line for line in lines)


def test_a_failure_names_its_settings() -> None:
    failed = ev.Failed(message="the loss is not a number", hint="lower training.learning_rate.")
    assert named_settings(failed) == ("training.learning_rate",)
    assert named_settings(replace(failed, keys=("task.name",)))[0] == "task.name"


def test_notes_are_no_warnings() -> None:
    view = fold_all(a_run(), [record(ev.Noted(message="MPO of 8 x 8"), 0)])
    assert view.messages[-1].text == "MPO of 8 x 8"
    assert view.warnings == []


# The footer ---------------------------------------------------------------------------------------


def footer_keys(words: str) -> list[FooterKey]:
    """Keys of "key:word:action"."""
    parts = (each.split(":") for each in words.split())
    return [FooterKey(key, key, word, does) for key, word, does in parts]


def test_the_footer_leaves_out_its_last_keys_and_says_that_there_is_more() -> None:
    keys = footer_keys("p:Pause:pause s:Stop:stop w:Switch:switch F1:Help:help q:Quit:ask_quit")
    (more,) = footer_keys("^p:More:palette")
    seen: list[list[str]] = []
    for width in range(60, 21, -1):
        shown = fitting(keys, more, width)
        words = [each.description for each in shown]
        assert sum(len(f" {each.key_display} {each.description}") for each in shown) - 1 <= width
        if words not in seen:
            seen.append(words)
    assert seen == [
        ["Pause", "Stop", "Switch", "Help", "Quit"],
        ["Pause", "Stop", "More", "Help", "Quit"],
        ["Pause", "More", "Help", "Quit"],
        ["More", "Help", "Quit"],
    ]


async def test_no_key_of_a_footer_is_cut_at_any_width(workplace: Path) -> None:
    app = CalisrApp(
        run_dir=Path("runs/run-1"), config=workplace, output_dir=Path("runs"), preload=False
    )
    async with app.run_test(size=(60, 24)) as pilot:
        seen = set()
        for place in ("f2", "f4", "H", "f3"):
            await pilot.press(place)
            seen.add(type(app.screen).__name__)
            for width in (60, 71, 80, 100):
                await pilot.resize_terminal(width, 24)
                await pilot.pause(0.2)
                keys = [*app.screen.query_one(Footer).query(FooterKey)]
                assert all(key.region.right <= width for key in keys)
                assert [each.description for each in keys[-2:]] == ["Help", "Quit"]
    assert len(seen) == 4


async def test_a_footer_is_made_anew_for_other_keys_only(workplace: Path) -> None:
    app = make_app(workplace)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await settle(pilot)
        before = [*app.screen.query(FooterKey)]
        assert before
        app.screen.refresh_bindings()
        await settle(pilot)
        assert [*app.screen.query(FooterKey)] == before
        await pilot.press("slash")
        await settle(pilot)
        assert [*app.screen.query(FooterKey)] != before
