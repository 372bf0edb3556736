"""`calisr runs`, `show` and `compare` print the numbers that the app shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.runs.about import About, write_about
from calisr_engine.runs.columns import column
from calisr_tui.app import CalisrApp
from calisr_tui.cli.app import run_command_line
from tests.tui.example import copy_runs, lines_on, make_app, settle, workplace

__all__ = ["workplace"]

COLUMNS = ["run", "best", "last", "metric", "time", "share", "steps", "delta", "seed", "lr", "tags"]


def screen_text(app: CalisrApp) -> str:
    return "\n".join(lines_on(app))


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert run_command_line([*words, "--output-dir", "runs"]) == 0
    return capsys.readouterr().out.splitlines()


async def go(pilot: Any, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def test_lists(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_about(Path("runs/run-1"), About(tags=("a", "b")))
    printed = told(capsys, "runs", "--columns", ",".join(COLUMNS))
    (workplace / "keys").mkdir()
    names = ", ".join(f'"{column(name).name}"' for name in COLUMNS)
    (workplace / "keys" / "runs.json").write_text(f'{{"columns": [{names}]}}')
    app = make_app(workplace)
    async with app.run_test(size=(160, 40)) as pilot:
        await go(pilot, "f4")
        shown = screen_text(app).splitlines()
    for line in printed[1:]:
        assert any(line.split() == each.split()[: len(line.split())] for each in shown), line


async def test_groups(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Heading for heading, and what a script gets of them; the single run is that of `show`."""
    copy_runs(Path("runs/more"), 5)
    for number, run in enumerate(sorted(Path("runs/more").iterdir())):
        log = run / "events.jsonl"
        lines = log.read_text().replace('{"name": "demo",', '{"name": "rte",', 1).splitlines(True)
        log.write_text("".join(lines if number < 3 else lines[:-1]))
        run.rename(f"runs/rte-{number}")
    printed = told(capsys, "runs", "--group", "task,state", "--folded")
    assert len(printed) == 5
    (workplace / "keys").mkdir()
    (workplace / "keys" / "runs.json").write_text('{"groups": ["task", "state"]}')
    app = make_app(workplace)
    async with app.run_test(size=(160, 40)) as pilot:
        await go(pilot, "f4")
        shown = screen_text(app).splitlines()
    for line in printed:
        assert any(line.split() == each.split()[1:] for each in shown), line
    found = json.loads("\n".join(told(capsys, "runs", "--group", "task,state", "--json")))
    for group, line in zip(found, [printed[1], *printed[3:]], strict=True):
        assert f"{len(group['runs'])} run" in line
        assert f"{group['metric']} best {group['best']:.4f}" in line
        if group["complete"]:
            assert f"mean {group['mean']:.4f}" in line
            assert f"{group['complete']} complete" in line
        best = next(x for x in told(capsys, "show", group["best_run"]) if x.startswith("matthews"))
        assert f"best {group['best']:.4f}" in best


async def test_a_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts: dict[str, str] = {}
    for line in told(capsys, "show", "run-2"):
        facts.setdefault(line[:10].strip(), line[11:])
    app = make_app(workplace)
    async with app.run_test(size=(240, 60)) as pilot:
        await go(pilot, "f4")
        shown = screen_text(app)
    best, last = re.findall(r"\d\.\d+", facts["matthews"])
    assert f"best {best}, last {last}" in shown
    assert f"trains {facts['trainable'].rpartition('= ')[2]}" in shown
    assert f"took {facts['time']}" in shown


async def test_comparisons(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = [line.strip() for line in told(capsys, "compare", "run-2", "run-1")]
    app = make_app(workplace)
    async with app.run_test(size=(160, 60)) as pilot:
        await go(pilot, "f4", "space", "space", "c")
        shown = screen_text(app).splitlines()
    for name in ("run-1", "run-2"):
        row = next(line for line in printed if line.startswith(name)).split()[1:]
        assert any(row == each.split()[2 : 2 + len(row)] for each in shown if name in each), row
    seed = next(line for line in printed if line.startswith("training.seed")).split()
    assert any(seed == each.split()[1:4] for each in shown)
    spread = next(line for line in printed if "±" in line)
    mean, deviation = re.findall(r"0\.\d{4}", spread)
    assert any({mean, deviation} <= set(each.split()) for each in shown)
