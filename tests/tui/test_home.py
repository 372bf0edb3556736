"""The home screen: which runs it names, and where Enter goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calisr_engine import doctor
from calisr_engine.runs.store import RunSummary, list_runs
from calisr_tui.charts.home_text import run_line
from calisr_tui.screens import home
from tests.tui.example import lines_on, make_app, settle, workplace

__all__ = ["workplace"]


def run(name: str, state: str, updated: float, best: float | None = None, task: str = "RTE") -> Any:
    return RunSummary(
        name, f"runs/{name}", state, task=task, metric="accuracy", best=best, updated=updated
    )


def named(runs: list[RunSummary]) -> dict[str, list[str]]:
    return {
        title: [line.run.run_id for line in lines if line.run]
        for title, lines in home.sections(runs)
    }


def test_what_is_worth_a_line() -> None:
    runs = [
        run("a", "completed", 1, 0.7),
        run("b", "completed", 2, 0.6),
        run("c", "stopped", 3, 0.65),
        run("d", "running", 4, None),
        run("e", "failed", 5, None),
        run("f", "completed", 0, 0.9, task="CoLA"),
        run("g", "unreadable", 6, 0.99),
        run("h", "interrupted", 2.5, None),
        run("i", "stopped", 0.5, None),
    ]
    assert named(runs) == {
        "Trains now": ["d"],
        "Go on with": ["c", "h"],
        "Last run": ["e"],
        "Best of its task": ["a", "f"],
        "Begin": [],
    }
    assert list(named([])) == ["Begin"]


STYLES = dict.fromkeys(("good", "warn", "bad", "dim"), "")


@pytest.mark.parametrize("name", ["a", "cola-MiniLM-L6-H384-uncased-lora-S-s42-261201-033501"])
@pytest.mark.parametrize("room", [40, 66, 90])
def test_a_line_has_the_name_of_its_run_and_no_half_of_a_figure(name: str, room: int) -> None:
    for state in ("running", "completed"):
        one = replace(run(name, state, 1, 0.7), method="lora", step=230, total_steps=1000)
        said = str(run_line(one, room, STYLES))[:room]
        assert name[: room - 2] in said
        assert ("0.70" in said) == ("accuracy 0.7000  " in said)
        assert ("step" in said) == ("step 230/1000" in said)
        assert ("step 230/1000" in said) == (state == "running" and len(name) + 35 < room)
        assert "RTE · l" not in said or said.index(name) < said.index("RTE")
    assert "RTE · lora" in str(run_line(replace(one, run_id="b" * 20), 66, STYLES))


async def test_names_are_whole_after_the_screen_became_smaller(workplace: Path) -> None:
    long = "cola-MiniLM-L6-H384-uncased-lora-S-s42-261201-033501"
    (workplace / "runs" / "run-2").rename(workplace / "runs" / long)
    app = make_app(workplace, start="home")
    async with app.run_test(size=(120, 40)) as pilot:
        screen: Any = app.screen
        while screen._shown is None:
            await pilot.pause(0.05)
        await settle(pilot)
        last = next(line for line in lines_on(app) if long in line)
        assert "matthews 0.9221" in last
        await pilot.resize_terminal(70, 24)
        await settle(pilot)
        last = next(line for line in lines_on(app) if long in line)
        assert "matthews" not in last
        assert "…" not in last


def test_the_load_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = doctor.load_now(tmp_path / "not" / "yet" / "there")
    assert load.disk_free
    assert 0 < load.memory_free <= load.memory_total
    gpu = doctor.Gpu("H9000", 42.0, 10 * 10**9, 40 * 10**9)
    shown = str(home.machine(doctor.Load(8, 3.2, 10**9, 2 * 10**9, None, (gpu,))))
    assert "8 cores 3% busy" in shown
    assert "H9000 42% busy, 10 GB of 40 GB free" in shown


async def test_by_keys(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(workplace, start="home")
    begun: list[Path] = []
    monkeypatch.setattr(app, "start_training", begun.append)
    async with app.run_test(size=(100, 30)) as pilot:
        screen: Any = app.screen
        while screen._shown is None:
            await pilot.pause(0.05)
        listed = screen.query_one("#home-list")
        expected = home.sections(list_runs(app.output_dir))
        assert [title for title, _ in expected] == [title for title, _ in screen._shown]
        titles = [title for title, lines in expected for _ in lines]
        for title, goes in (("Go on with", None), ("Last run", "live"), ("Begin", "setup")):
            if title not in titles:
                continue
            app.action_jump("home")
            await settle(pilot)
            wanted = next(i for i, o in enumerate(listed.options) if (o.id or "").startswith(title))
            while listed.highlighted != wanted:
                await pilot.press("down" if (listed.highlighted or 0) < wanted else "up")
            await pilot.press("enter")
            await settle(pilot)
            if goes is None:
                assert begun
            else:
                assert app.current_mode == goes
        app.action_jump("home")
        await pilot.press("n")
        await pilot.press("H")
        assert app.current_mode == "home"


def test_over_ssh_runs_are_detached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    app = make_app(tmp_path)
    started: list[str] = []
    monkeypatch.setattr(app.started, "start", lambda path, checked: started.append("here"))
    monkeypatch.setattr(app.started, "start_detached", lambda path: started.append("detached"))
    monkeypatch.setattr(app, "open_run", lambda path: None)
    for variable in ("SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(variable, raising=False)
    app.start_training(tmp_path)
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 22")
    app.start_training(tmp_path)
    app.start_training(tmp_path, detached=False)
    assert started == ["here", "detached", "here"]


@pytest.mark.parametrize(("size", "there"), [((120, 50), True), ((80, 24), False)])
async def test_curves_stand_where_there_is_height_for_them(
    workplace: Path, size: tuple[int, int], there: bool
) -> None:
    app = make_app(workplace, start="home")
    async with app.run_test(size=size) as pilot:
        screen: Any = app.screen
        while screen._shown is None or not screen.idle:
            await pilot.pause(0.05)
        curves = screen.query_one("#home-curves")
        assert curves.display == there
        listed = screen.query_one("#home-list")
        assert listed.region.bottom <= screen.query_one("#home-machine").region.y
        if there:
            assert listed.region.bottom <= curves.region.y
