"""The comparison: it grows with its runs, and names once what it cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calisr_engine.events.log import EventWriter, last_attempt
from calisr_engine.events.types import Evaluated
from calisr_engine.runs.layout import RunPaths
from calisr_tui.app import CalisrApp
from calisr_tui.screens.compare import CompareScreen
from tests.tui.example import copy_runs, lines_on, make_app, settle


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    copy_runs(tmp_path / "runs", 3)
    return [Path("runs") / f"run-{number}" for number in (1, 2, 3)]


async def compared(app: CalisrApp, pilot: Any, runs: list[Path]) -> CompareScreen:
    app.chosen_runs = runs
    app.action_jump("compare")
    await settle(pilot)
    assert isinstance(app.screen, CompareScreen)
    return app.screen


def shown(app: CalisrApp) -> str:
    return "\n".join(lines_on(app))


async def test_new_events_are_in_tables_and_curves_alike(tmp_path: Path, runs: list[Path]) -> None:
    """Also of a run that nobody trained as the screen was opened."""
    log = RunPaths(runs[0]).events
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await compared(app, pilot, runs[:2])
        chart = screen.query_one("#main-chart")
        before = len(chart.plots[0].lines[0].x)
        with EventWriter(log, last_attempt(log)) as writer:
            value = dict.fromkeys(("value", "best", "epoch"), 0.987)
            value |= {"metric": "matthews", "metrics": {}, "best_step": 1, "is_best": True}
            writer.write(1001, Evaluated(**value))
        screen.on_tick(2.0)
        await settle(pilot)
        assert len(chart.plots[0].lines[0].x) == before + 1
        assert screen.said is not None
        assert screen.said.results[0][0] == "0.9870"
        assert "0.9870" in shown(app)


async def test_a_run_that_cannot_be_read_is_named_once(
    tmp_path: Path, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    RunPaths(runs[2]).events.write_bytes(b"\x00\xff\n" * 9)
    told: list[str] = []
    app = make_app(tmp_path)
    monkeypatch.setattr(app, "notify", lambda text, **how: told.append(text))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await compared(app, pilot, [*runs, Path("runs/gone")])
        for _ in range(3):
            screen.on_tick(2.0)
            await settle(pilot)
        assert not told
        text = shown(app)
        assert text.count("run-3 is left out") == 1
        assert text.count("gone is left out: it is no run directory") == 1
        assert "2 runs" in text
