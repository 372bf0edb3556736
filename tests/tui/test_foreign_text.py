"""Text of others on every screen: as it was typed, and nothing of it is obeyed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.segment import Segment
from textual.color import Color

from calisr_engine.errors import CalisrError
from calisr_engine.grid import expand_grid
from calisr_engine.grid.folders import write_record
from calisr_engine.plain_words import shown
from calisr_engine.runs.layout import RunPaths
from calisr_tui.app import CalisrApp
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Answer, Picking, Question, Typing
from calisr_tui.feed import EXAMPLE
from calisr_tui.widgets.verbatim import Unsteered
from tests.tui.example import light_checks, make_app, settle

__all__ = ["light_checks"]
from tests.tui.grids import write_run

STEERING = "\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202e\u2066\x7f"
"""Clipboard, clear screen, colour by C1, reading direction, delete."""
MARKUP = "[red]x[/red][/][link=a:b]l[@click=app.quit]y"


def hostile(name: str) -> str:
    return f"{name}{MARKUP}{STEERING}"


def lines_of(app: CalisrApp) -> list[str]:
    """The screen's lines as they go to the terminal; fails where one of them would steer it."""
    found = []
    for strip in app.screen._compositor.render_strips():
        text = ""
        for segment in strip:
            assert "@click" not in str(segment.style.meta if segment.style else "") or (
                "app.quit" not in str(segment.style.meta)
            )
            assert not (segment.style and segment.style.link)
            text += segment.text
        assert text == shown(text)
        assert not {"\n", "\t"} & set(text)
        found.append(text)
    return found


def foreign_run(folder: Path, end: str) -> Path:
    """The recorded run with foreign text wherever a log has text that is no fixed word."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f"# {hostile('note')}\n".encode(errors="replace").decode())
    renamed = {"query": hostile("q"), "key": hostile("k")}

    def strange(value: Any) -> Any:
        if isinstance(value, dict):
            return {renamed.get(k, k): strange(v) for k, v in value.items()}
        if isinstance(value, list):
            return [strange(each) for each in value]
        return renamed.get(value, value) if isinstance(value, str) else value

    records = [strange(json.loads(line)) for line in (EXAMPLE / "events.jsonl").open()]
    for record in records:
        for key in ("message", "hint", "why", "metric", "device", "precision", "model_summary"):
            if key in record:
                record[key] = hostile(key)
        if record["type"] == "run_created":
            record["run_id"] = hostile(folder.name)
            config = record["config"]
            config["model"]["name"] = hostile("model")
            config["task"]["name"] = hostile("task")
            config["method"]["name"] = hostile("method")
            config["output"]["tags"] = [hostile("tag")]
        if record["type"] == "completed":
            record["summary"]["metric"] = hostile("metric")
            if end == "failed":
                head = {key: record[key] for key in ("v", "seq", "attempt", "time", "step")}
                words = {key: hostile(key) for key in ("message", "hint", "traceback")}
                record.clear()
                record.update(head, type="failed", **words)
    (folder / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return folder


NAME = "[red]r[@click=app.quit]\x1b[2J\u202e"
TYPED = f"{MARKUP}␛]52;c;aGk=␇␛[2J\\x9b31m\\u202e\\u2066␡"
"""How `MARKUP` and `STEERING` are to be read on a screen."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of foreign text in a folder of a foreign name, which is the current one."""
    root = tmp_path / "[bold]runs\x1b[2J"
    foreign_run(root / f"a{NAME}", "completed")
    foreign_run(root / f"b{NAME}", "failed")
    monkeypatch.chdir(root)
    return root


async def journey(app: CalisrApp, pilot: Any, keys: str) -> str:
    """All that the screens have shown, before the first key and after each."""
    seen = lines_of(app)
    for key in keys.split():
        await pilot.press(key)
        await pilot.pause(0.02)
        await settle(pilot)
        seen += lines_of(app)
    assert app.is_running
    return "\n".join(seen)


RUN_NAME = "[red]r[@click=app.quit]␛[2J\\u202e"
JOURNEYS = {
    # keys -> what the screens on the way must have shown as it was typed
    "f4 y space down space": [
        "[bold]runs␛[2J",
        "copied: ",
        f"b{RUN_NAME}",
        f"task{TYPED}",
        f"model{TYPED}",
    ],
    "f4 d escape x escape o": [f"b{RUN_NAME}", "Delete this run?", f"note{MARKUP}"],
    "f4 space down space c m m m a": [f"a{RUN_NAME}", "Settings that differ"],
}


@pytest.mark.parametrize("keys", list(JOURNEYS))
async def test_lists_and_dialogs(keys: str, runs: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path, output_dir=runs)
    async with app.run_test(size=(240, 50), notifications=True) as pilot:
        seen = await journey(app, pilot, f"{keys} escape ctrl+r")
    for each in JOURNEYS[keys]:
        assert each in seen


@pytest.mark.parametrize("end", ["a", "b"])
async def test_a_run_as_it_was(end: str, runs: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path, output_dir=runs, run_dir=runs / f"{end}{NAME}")
    async with app.run_test(size=(240, 60), notifications=True) as pilot:
        await pilot.pause(0.5)
        seen = lines_of(app)
        keys = "escape " if end == "b" else ""
        seen = "\n".join(seen) + await journey(app, pilot, keys + "c g g i escape y 6 f f 5 o")
        if end == "b":
            await pilot.press("escape")
            seen += await journey(app, pilot, "t")
    wanted = [f"task{TYPED}", f"message{MARKUP}", f"Stable rank · q{MARKUP}", f"note{MARKUP}"]
    for each in wanted + ([f"hint{MARKUP}", f"traceback{TYPED}"] if end == "b" else []):
        assert each in seen


async def test_a_replay(runs: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path, output_dir=runs, replay=runs / f"a{NAME}")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        seen = await journey(app, pilot, "end n tab i escape 6 3 5 4 c")
    assert "[red]x[/red][/]" in seen


@pytest.mark.usefixtures("light_checks")
async def test_settings_that_are_typed(runs: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path, output_dir=runs)
    async with app.run_test(size=(160, 50), notifications=True) as pilot:
        await pilot.pause(0.3)
        screen: Any = app.screen
        for key in ("model.name", "model.revision", "task.name", "task.train_file"):
            screen.draft.change(key, f"[red]\x1b[2J\x9b{key}")
            await screen._show_page()
            await settle(pilot)
            lines_of(app)
        seen = await journey(app, pilot, "ctrl+n ctrl+n ctrl+s [ / ] x enter ctrl+r f9")
        seen += await journey(app, pilot, "escape escape")
    assert "[red]␛[2J" in seen


@pytest.mark.slow
@pytest.mark.usefixtures("light_checks")
async def test_own_data_and_its_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = "[red]\x1b[2J\x9b"
    rows = [f"{odd} word {n} of a text,{odd}{n % 2}" for n in range(60)]
    monkeypatch.chdir(tmp_path)
    Path(f"{odd}.csv").write_text("\n".join([f"{odd}text,{odd}label", *rows]), encoding="utf-8")
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        keys = (
            "enter down enter ctrl+l enter down ctrl+l escape down down right ctrl+t escape ctrl+r"
        )
        seen = await journey(app, pilot, f"{keys} escape ctrl+r")
        assert app.screen.draft.data.look is not None
    assert "[red]␛[2J" in seen


def test_the_last_sieve_keeps_the_width_of_a_line() -> None:
    line = [Segment("名[red]\x1b[2J"), Segment("\u202e\ta\n"), Segment("plain"), Segment("é")]
    sifted = Unsteered().apply(line, Color.parse("black"))
    assert [each.text for each in sifted] == ["名[red]␛[2", "\\", "plain", "é"]
    assert Segment.get_line_length(sifted) == Segment.get_line_length(line)


async def test_every_kind_of_message(runs: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path, output_dir=runs)
    async with app.run_test(size=(200, 60), notifications=True) as pilot:
        for severity in ("information", "warning", "error"):
            app.notify(hostile(severity), title="[b]t[/]\x1b[2J", severity=severity, markup=True)
            app.screen.notify(hostile("screen"))
        await pilot.pause(0.3)
        seen = "\n".join(lines_of(app))
        app.show_error("[i]title\x1b[2J", CalisrError(hostile("error"), hint=hostile("hint")))
        await pilot.pause(0.3)
        seen += "\n".join(lines_of(app))
        answers = [Answer("no", "[b]No\x1b[2J", hostile("refused")), Answer("yes", "[/]Yes")]
        app.push_screen(Question("[/]sure\x9b?", hostile("question"), answers))
        await pilot.pause(0.3)
        seen += "\n".join(lines_of(app))
        app.push_screen(
            Picking("[/]which", [Choice(str(i), f"[i]{i}\x1b", "[b]n") for i in range(9)])
        )
        await pilot.pause(0.3)
        seen += "\n".join(lines_of(app))
        app.push_screen(Typing("[/]type", "[b]what\x1b", "v[red]\x1b[2J\u202e", "[b]"))
        await pilot.pause(0.3)
        seen += "\n".join(lines_of(app))
        svg = app.export_screenshot()
        assert svg == shown(svg)
    for each in (
        *("warning[red]x[/red]", "[b]t[/]", "error[red]x", "[i]title␛[2J", "[b]No␛[2J", "[/]Yes"),
        *("[/]sure", "[/]which", "[i]3␛  [b]n", "[/]type", "[b]what␛"),
        *("hint[red]x[/red]", "refused[red]x[/red]", "v[red]␛[2"),
    ):
        assert each in seen


GRID = """
[grid]
name = "study"
title = {title}
extends = "demo"

[settings]
"output.export" = false

[axes]
"model.name" = [{models}]
"training.seed" = [1, 2]
"""


@pytest.mark.slow
async def test_a_grid_its_report_and_its_figures(tmp_path: Path) -> None:
    quoted = [json.dumps(hostile(name)) for name in ("one", "two")]
    path = tmp_path / "study.toml"
    path.write_text(GRID.format(title=json.dumps(hostile("title")), models=", ".join(quoted)))
    grid = expand_grid(path, tmp_path / "runs")
    grid.folder.mkdir(parents=True)
    write_record(grid)
    for number, (run, state) in enumerate(zip(grid.runs, ("completed", "failed"), strict=False)):
        events = RunPaths(write_run(grid.folder, run, state, number)).events
        text = events.read_text().replace('"the loss is', f"{json.dumps(hostile('fault'))[:-1]} is")
        events.write_text(text)
    app = make_app(tmp_path, output_dir=tmp_path / "runs", start="grid")
    async with app.run_test(size=(200, 50), notifications=True) as pilot:
        await settle(pilot)
        seen = await journey(app, pilot, "enter escape tab s escape y o escape t")
        seen += await journey(app, pilot, "m m m m a escape p y w escape escape f")
    for each in (f"one{TYPED}", f"title{MARKUP}", f"fault{TYPED}"):
        assert each in seen
