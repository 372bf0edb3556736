"""The list of runs: filter, order, columns, tree, notes, and what it remembers."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import Input

from calisr_engine.events.log import EventWriter, last_attempt
from calisr_engine.events.types import Evaluated
from calisr_engine.runs import store
from calisr_engine.runs.about import LONGEST_NOTES, About, read_about, write_about
from calisr_engine.runs.arrange import Group
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui.app import CalisrApp
from calisr_tui.feed import RunFeed
from calisr_tui.widgets.run_curves import RunCurves
from calisr_tui.widgets.run_list import RunList
from tests.tui.example import copy_runs, lines_on, make_app, settle


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five runs in runs/, run-5 the newest and the worst; run-3 of another task and rank."""
    monkeypatch.chdir(tmp_path)
    third = copy_runs(tmp_path / "runs", 5)[2] / "events.jsonl"
    text = third.read_text().replace('{"name": "demo",', '{"name": "rte",', 1)
    third.write_text(text.replace('"rank": 8', '"rank": 16'))
    return tmp_path


async def press(pilot: Any, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def listed(app: CalisrApp) -> str:
    rows = app.screen.query_one(RunList).rows
    return " ".join(r.path[-1] + ":" if isinstance(r, Group) else r.run_id[-1] for r in rows)


def under_cursor(app: CalisrApp) -> str:
    row = app.screen.query_one(RunList).chosen
    return ".".join(row.path) if isinstance(row, Group) else row.run_id if row else ""


def footer(app: CalisrApp) -> list[str]:
    """The words of the footer."""
    shown = [each.binding for each in app.screen.active_bindings.values() if each.binding.show]
    return list(dict.fromkeys(each.description for each in shown))


def line(app: CalisrApp, name: str) -> str:
    return str(app.screen.query_one(name).render())


async def test_a_filter_narrows_as_it_is_typed_and_a_mistake_stands_below_it(folder: Path) -> None:
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "slash", *"run")
        assert listed(app) == "5 4 3 2 1"
        field = app.screen.query_one(Input)
        for text in ("best>", "best>0", "best>0.9"):
            field.value = text
            await settle(pilot)
        assert listed(app) == "4 3 2 1"
        field.value += " bset=1"
        await settle(pilot)
        assert "bset=1" in line(app, "#runs-columns")
        assert "did you mean best?" in line(app, "#runs-columns")
        assert listed(app) == "4 3 2 1"  # as it was
        field.value = "rank=8 -seed=42"
        await settle(pilot)
        assert "created▼" in line(app, "#runs-columns")
        assert listed(app) == "5 4 2"
        await press(pilot, "escape")
        assert listed(app) == "5 4 3 2 1"


async def test_a_filter_that_cannot_be_used_leaves_the_list_and_says_why(folder: Path) -> None:
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "slash", *"zzz", "enter")
        assert (listed(app), under_cursor(app)) == ("", "")
        assert "No run matches" in line(app, "#run-detail")
        curves = app.screen.query_one(RunCurves)
        assert "no run is chosen" in curves.plots[0].empty
        assert footer(app) == ["Group", "Compare", "Filter", "Help", "Quit"]
        await press(pilot, "escape", "slash", *"-run-5 bset>0.8", "enter")
        assert listed(app) == "4 3 2 1"
        assert "4 of 5" in line(app, "#runs-head")
        assert "bset>0.8: did you mean best?" in line(app, "#runs-columns")
        assert "run-4" in str(curves.border_title)
        assert footer(app)[:3] == ["Try", "Errors", "Export"]


async def test_a_group_is_told_with_its_states_best_and_mean(folder: Path) -> None:
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "g", *"task", "enter", "escape", "home")
        said = line(app, "#run-detail")
        assert "4 runs · matthews best 0.9321, mean 0.9121 ± 0.0183 of 4 complete" in said
        assert "best: run-1" in said
        assert footer(app) == ["Group", "Compare", "Filter", "Help", "Quit"]
        assert "no run is chosen" in app.screen.query_one(RunCurves).plots[0].empty


async def test_a_curve_that_comes_late_is_not_drawn_over_another_run_s(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(folder)
    reading, go_on = threading.Event(), threading.Event()
    poll = RunFeed.poll

    def slow(self: RunFeed) -> bool:
        if self.run_dir.name == "run-4":
            reading.set()
            go_on.wait(10)
        return poll(self)

    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4")
        monkeypatch.setattr(RunFeed, "poll", slow)
        curves = app.screen.query_one(RunCurves)
        await pilot.press("down")
        while not reading.is_set():
            await pilot.pause(0.02)
        await press(pilot, "down")
        assert "run-3" in str(curves.border_title)
        go_on.set()
        await app.workers.wait_for_complete()
        await settle(pilot)
        assert "run-3" in str(curves.border_title)


async def test_a_note_is_gone_on_with_and_cut_where_it_is_too_long(folder: Path) -> None:
    write_about(folder / "runs" / "run-5", About(notes="again"))
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "i", *" and again", "enter")
        assert read_about(folder / "runs" / "run-5").notes == "again and again"
        write_about(folder / "runs" / "run-5", About(notes="two\nlines"))
        await press(pilot, "u", "i")
        app.screen.query_one(Input).post_message(events.Paste(", one\nmore"))
        await settle(pilot)
        await press(pilot, "enter")
        assert read_about(folder / "runs" / "run-5").notes == "two\nlines, one\nmore"
        await press(pilot, "i")
        assert app.screen.query_one(Input).value == "two ⏎ lines, one ⏎ more"
        app.screen.query_one(Input).value = "x" * 5000
        await settle(pilot)
        assert len(app.screen.query_one(Input).value) == LONGEST_NOTES
        await press(pilot, "enter")
        assert read_about(folder / "runs" / "run-5").notes == "x" * LONGEST_NOTES


async def test_all_screens_read_one_history(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = store.summarise
    monkeypatch.setattr(store, "summarise", lambda path: read.append(path.name) or whole(path))
    app = make_app(folder, start="home")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "f4", "space", "space", "c", "a")
    assert sorted(read) == [f"run-{number}" for number in range(1, 6)]


async def test_the_cursor_stays_on_its_run(folder: Path) -> None:
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "down")
        assert under_cursor(app) == "run-4"
        await press(pilot, "S")
        assert (listed(app), under_cursor(app)) == ("1 2 3 4 5", "run-4")
        for _ in range(12):  # by each column that is seen
            await press(pilot, "s")
            assert under_cursor(app) == "run-4"
        await press(pilot, "slash", *"-run-4")
        assert under_cursor(app) != "run-4"


async def test_columns_of_any_setting_and_what_is_remembered(folder: Path) -> None:
    app = make_app(folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "f4")
        assert "rank" not in line(app, "#runs-columns")
        await press(pilot, "k", *"method.rank", "enter", "escape", "s")
        assert "rank▼" in line(app, "#runs-columns")
        assert listed(app)[0] == "3"
        await press(pilot, "g", *"method.rank", "enter", "escape")
    kept = json.loads((folder / "keys" / "runs.json").read_text())
    assert kept["columns"][0] == "method.rank"
    assert (kept["sort"], kept["down"], kept["groups"]) == ("method.rank", True, ["method.rank"])
    app = make_app(folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "f4")
        assert listed(app).startswith("8: ")
        await press(pilot, "k", "enter")  # the usual ones
        assert "rank" not in line(app, "#runs-columns")


@pytest.mark.parametrize("text", ["{", "[]", '{"columns": 5, "sort": "x", "groups": ["x", 3]}'])
async def test_odd_preferences_are_the_usual_ones(text: str, folder: Path) -> None:
    (folder / "keys").mkdir()
    (folder / "keys" / "runs.json").write_text(text)
    app = make_app(folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "f4")
        assert listed(app) == "5 4 3 2 1"


async def test_groups_are_a_tree_that_folds(folder: Path) -> None:
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "g", *"task", "enter", "escape")
        assert listed(app) == "demo: 5 4 2 1 rte: 3"
        await press(pilot, "home", "enter")
        assert (listed(app), under_cursor(app)) == ("demo: rte: 3", "demo")
        await press(pilot, "enter", "down", "down")
        assert (listed(app), under_cursor(app)) == ("demo: 5 4 2 1 rte: 3", "run-4")
        await press(pilot, "g", *"method.rank", "enter", "escape")
        assert listed(app) == "demo: 8: 5 4 2 1 rte: 16: 3"
        await press(pilot, "G")
        assert listed(app) == "demo: 8: rte: 16:"
        await press(pilot, "G")
        assert listed(app) == "demo: 8: 5 4 2 1 rte: 16: 3"


async def test_names_notes_tags_and_pins_are_written_and_seen(folder: Path) -> None:
    app = make_app(folder)
    runs = folder / "runs"
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "down", "n", *"good", "enter", "i", *"again", "enter", "p")
        assert read_about(runs / "run-4") == About("good", "again", (), True)
        assert listed(app) == "4 5 3 2 1"  # pinned
        assert under_cursor(app) == "run-4"
        await press(pilot, "home", "space", "space", "t", *"base old", "enter")
        assert read_about(runs / "run-4").tags == read_about(runs / "run-5").tags == ("base", "old")
        await press(pilot, "home", "space", "t", *"-old", "enter")  # run-5 alone is marked
        assert read_about(runs / "run-4").tags == ("base", "old")
        assert read_about(runs / "run-5").tags == ("base",)
        await press(pilot, "home", "n", *["backspace"] * 4, "enter")
        assert read_about(runs / "run-4").name == ""
        await press(pilot, "t", *"a=b", "enter")
        assert "cannot be a tag" in "\n".join(
            s.text for s in app.screen._compositor.render_strips()
        )


async def test_a_heading_stands_for_its_runs(folder: Path) -> None:
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "g", *"task", "enter", "escape", "home", "t", "x", "enter")
    tagged = {
        run.name for run in (folder / "runs").iterdir() if run.is_dir() and read_about(run).tags
    }
    assert tagged == {"run-1", "run-2", "run-4", "run-5"}


@pytest.mark.parametrize("name", ["list.csv", "list.json", "list.txt"])
async def test_the_list_is_saved_as_it_is_seen(name: str, folder: Path) -> None:
    write_about(folder / "runs" / "run-2", About(tags=("x", "y")))
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4", "slash", *"seed<44", "enter", "w")
        app.screen.query_one(Input).value = name
        await press(pilot, "enter")
    if name == "list.csv":
        rows = list(csv.DictReader((folder / name).open()))
        assert [(row["run"], row["tags"]) for row in rows] == [("run-2", "x y"), ("run-1", "")]
    elif name == "list.json":
        found = json.loads((folder / name).read_text())
        assert [run["run_id"] for run in found] == ["run-2", "run-1"]
    else:
        assert not (folder / name).exists()


@pytest.mark.parametrize("size", [(200, 60), (120, 40), (120, 30), (80, 24)])
async def test_a_short_list_leaves_its_room_to_the_curves(
    size: tuple[int, int], folder: Path
) -> None:
    """Five runs, then fifteen; a filter changes nothing, so that no pane jumps as one types."""
    app = make_app(folder)
    compact = size[1] < 30
    async with app.run_test(size=size) as pilot:
        await press(pilot, "f4")
        table, curves = app.screen.query_one(RunList), app.screen.query_one(RunCurves)
        few = table.region.height
        assert few >= 8 if compact else few == 14
        assert compact or curves.region.height >= size[1] - 14 - 5
        for number in range(10):
            shutil.copytree(folder / "runs/run-1", folder / f"runs/more-{number}")
        await press(pilot, "u")
        assert len(table.rows) == 15
        many = table.region.height
        assert many == few if compact else many >= few
        await press(pilot, "slash", *"rte")
        assert (len(table.rows), table.region.height) == (1, many)


async def test_curves_follow_the_cursor_the_marks_and_runs_in_training(folder: Path) -> None:
    app = make_app(folder)
    paths = RunPaths(folder / "runs" / "run-5")
    lines = paths.events.read_text().splitlines(keepends=True)
    paths.events.write_text("".join(lines[:-1]))
    with RunLock(paths):
        async with app.run_test(size=(120, 40)) as pilot:
            await press(pilot, "f4")
            curves = app.screen.query_one(RunCurves)
            assert "run-5" in str(curves.border_title)
            before = len(curves.plots[0].lines[0].x)
            with EventWriter(paths.events, last_attempt(paths.events)) as writer:
                value = dict.fromkeys(("value", "best", "epoch"), 0.5)
                value |= {"metric": "matthews", "metrics": {}, "best_step": 1, "is_best": False}
                writer.write(1000, Evaluated(**value))
            curves.on_tick(2.0)
            await settle(pilot)
            assert len(curves.plots[0].lines[0].x) == before + 1
            await press(pilot, "down")
            assert "run-4" in str(curves.border_title)
            await press(pilot, "space", "space")
            assert "2 marked runs" in str(curves.border_title)
            assert {each.role for each in curves.plots[0].lines} == {"run1", "run2"}
            await press(pilot, "M")
            assert "marked" not in line(app, "#runs-head")
            assert {each.role for each in curves.plots[0].lines} == {"metric"}


async def test_thousands_of_lines_draw_those_that_are_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.runs.summaries import summary

    runs = [summary(f"run-{number}", created=float(number)) for number in range(3000)]
    monkeypatch.setattr("calisr_engine.runs.store.History.read", lambda self: runs)
    drawn: list[int] = []
    draw = RunList.render_line
    monkeypatch.setattr(RunList, "render_line", lambda self, y: drawn.append(y) or draw(self, y))
    app = make_app(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "f4")
        height = app.screen.query_one(RunList).size.height
        drawn.clear()
        await press(pilot, "end")
        assert under_cursor(app) == "run-0"
        assert max(drawn) < height
        assert "run-0" not in line(app, "#runs-head")
        texts = lines_on(app)
        await press(pilot, "home", "pagedown")
        assert under_cursor(app) == f"run-{2999 - height + 1}"
    assert any("3,000 of 3,000" in text for text in texts)
