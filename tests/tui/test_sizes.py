"""Names of keys, sizes of dialogs and room for texts, as the size of the terminal has them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.binding import Binding
from textual.geometry import Region
from textual.widgets import Footer, Input

from calisr_engine.analysis.mistakes import Answers, report
from calisr_tui.charts.errors import calibration_curve
from calisr_tui.choice import Choice
from calisr_tui.dialogs import AROUND_LIST, FEW, Picking, Reading
from calisr_tui.feed import EXAMPLE
from tests.tui.example import lines_on, make_app, settle, type_keys, workplace

__all__ = ["workplace"]


@pytest.mark.parametrize(
    ("key", "name"),
    [("escape", "Esc"), ("f9", "F9"), ("space", "Space"), ("ctrl+l", "^L"), ("a", "a"), ("E", "E")],
)
def test_a_key_has_one_name_everywhere(tmp_path: Path, key: str, name: str) -> None:
    assert make_app(tmp_path).get_key_display(Binding(key, "quit", "Quit")) == name


async def test_the_footer_names_keys_so(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        names = [key.key_display for key in app.screen.query_one(Footer).query("FooterKey")]
        assert {"Esc", "^L", "F9", "F1", "q"} <= {*names}


async def test_keys_stand_in_as_many_columns_as_there_is_room_for(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f1")
        for width, columns in ((200, 3), (180, 2), (120, 1), (150, 2), (60, 1)):
            await pilot.resize_terminal(width, 60)
            await pilot.pause(0.2)
            shown = app.screen.query_one("#help-keys")
            text = [strip.text for strip in shown.render_lines(Region(0, 0, *shown.size))]
            assert text[0].split() == ["key", "does", "id"] * columns
            assert {*app.binding_ids()} <= {*" ".join(text).split()}, "every key, whole"


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 18)])
async def test_a_list_is_as_high_and_as_wide_as_its_choices_need(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app: Any = make_app(tmp_path)
    width, height = size
    notes = ("a note", "a note that goes on for more than a line has " * 2)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for count, note in itertools.product((2, FEW, FEW + 1, 40), notes):
            choices = [Choice(str(n), f"choice {n}", note) for n in range(count)]
            app.push_screen(Picking("Which?", choices))
            await settle(pilot)
            dialog, listed = app.screen.query_one(".dialog"), app.screen.query_one("OptionList")
            assert bool(app.screen.query(Input)) == (count > FEW)
            if count > FEW:
                share = 0.92 if height < 22 else 0.8
                high = min(share * height, count + AROUND_LIST)
                assert dialog.region.height == pytest.approx(high, abs=1)
                assert height < 40 or listed.size.height >= min(count, 24), "without a bar"
                await type_keys(pilot, *"choice 8")
                assert dialog.region.height == pytest.approx(high, abs=1)
            elif height >= count + 6:
                assert listed.size.height == count
                assert dialog.region.height <= count + 5
            assert dialog.region.width == min(110 if len(note) > 20 else 72, int(0.95 * width))
            assert dialog.region.bottom <= height
            app.pop_screen()
            await settle(pilot)


@pytest.mark.parametrize("width", [42, 45, 52, 90])
def test_the_heading_of_the_calibration_is_never_cut(width: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 2))
    label = rng.integers(0, 2, 200).tolist()
    found = report(Answers.of_logits([*map(str, range(200))], label, logits, ("no", "yes")))
    first, heading, *_ = calibration_curve(found, width).plain.split("\n")
    assert ("expected" in first) == (width == 90)
    assert "calibration error 0." in first
    assert ("bar right, │ sure" in heading) == (width >= 52)
    assert len(heading) <= width
    assert len(first) <= width


async def test_texts_of_errors_have_what_is_left_of_the_line(workplace: Path) -> None:
    rows = workplace / "runs" / "run-1" / "predictions" / "validation.tsv"
    rows.write_text(rows.read_text().replace("old doctor", "old doctor " + "of the town " * 30))
    app: Any = make_app(workplace, run_dir=Path("runs/run-1"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("E")
        await settle(pilot)
        await pilot.press("down", "down")
        for size in ((200, 60), (120, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.3)
            await settle(pilot)
            table = app.screen.query_one("#errors-rows")
            assert table.cursor_row == 2
            shown = [line for line in lines_on(app) if "The " in line]
            assert shown
            for line in shown:
                assert line.rstrip(" ▇▆▅▄▃▂▁█").endswith("…")
                assert size[0] - 8 <= len(line.rstrip(" ▇▆▅▄▃▂▁█")) <= size[0]
            heads = next(line for line in lines_on(app) if "predicted" in line and "text" in line)
            assert [*heads.split()][:5] == ["sure", "predicted", "true", "row", "text"]


@pytest.mark.parametrize("classes", [2, 30])
async def test_as_many_charts_of_errors_as_there_is_room_for(workplace: Path, classes: int) -> None:
    names = [f"class {n}" for n in range(classes)]
    lines = ["\t".join(["index", "label", "prediction", *(f"logit {n}" for n in names), "text"])]
    for row in range(2 * classes):
        said = row % classes
        logits = ["2.0" if n == said else "0.0" for n in range(classes)]
        true = names[said if row % 3 else 0]
        lines.append("\t".join([str(row), true, names[said], *logits, f"a text {row}"]))
    kept = workplace / "runs" / "run-1" / "predictions" / "validation.tsv"
    kept.write_text("\n".join(lines) + "\n")
    app: Any = make_app(workplace, run_dir=Path("runs/run-1"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("E")
        await settle(pilot)
        for size, count in (((200, 60), 4), ((80, 24), 1), ((120, 40), 2)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.3)
            await settle(pilot)
            boxes = [each for each in app.screen.query("#errors-charts .box") if each.display]
            assert len(boxes) == count
            assert len({str(each.border_title) for each in boxes}) == count
            rows = app.screen.query_one("#errors-rows").region
            assert rows.height >= 5
            for box in boxes:
                assert box.region.bottom <= rows.y
                assert box.region.height >= 6


@pytest.mark.parametrize("small", [(100, 30), (80, 24), (60, 18)])
async def test_panes_have_the_same_room_after_a_resize_under_a_dialog(
    tmp_path: Path, small: tuple[int, int]
) -> None:
    found = []
    for covered in (True, False):
        app: Any = make_app(tmp_path)
        async with app.run_test(size=(120, 40) if covered else small) as pilot:
            app.open_run(EXAMPLE)
            await settle(pilot)
            live = app.screen
            if covered:
                app.push_screen(Reading("Settings", "delta = 0.5"))
                await settle(pilot)
                await pilot.resize_terminal(*small)
                await settle(pilot)
                app.pop_screen()
                await settle(pilot)
            seen = [each for each in live.query("#panes *") if each.id and each.is_on_screen]
            found.append({each.id: each.outer_size for each in seen})
    assert found[0] == found[1]
