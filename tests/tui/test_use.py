"""From a run in the list to what its model says, where it is wrong, and a run like it, by keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from textual.widgets import Footer

from calisr_engine.config.load import Base
from calisr_engine.process.execute import execute
from calisr_engine.results.predictor import Predictor
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui import data_source
from calisr_tui.dialogs import Reading
from calisr_tui.form import written_as
from calisr_tui.screens import export
from calisr_tui.screens.errors import ErrorsScreen
from calisr_tui.screens.export import ExportScreen
from calisr_tui.screens.setup import SetupScreen
from calisr_tui.screens.try_it import TryScreen
from tests.training.more_kinds import write_choices
from tests.training.tiny_run import make_run, save_model
from tests.tui.example import lines_on, make_app, settle, type_keys, workplace

__all__ = ["workplace"]


async def until(pilot: Any, reached: Callable[[], bool]) -> None:
    for _ in range(3000):
        if reached():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came to that")


def footer(app: Any) -> list[str]:
    """What the footer offers, in its order."""
    return [key.description for key in app.screen.query_one(Footer).query("FooterKey")]


def shown(app: Any) -> str:
    return "\n".join(lines_on(app))


async def test_a_finished_run_is_used_by_keys(tmp_path: Path, workplace: Path) -> None:
    torch.set_num_threads(1)
    model = save_model(tmp_path / "tiny")
    small = ("task.max_train_examples=32", "task.max_validation_examples=20", "training.epochs=1")
    sets = (*small, "training.learning_rate=5e-2", "method.name=lora", "method.rank=3")
    run = make_run(model, tmp_path / "mine", "first", *sets)
    assert execute(run, raise_errors=True) == 0
    app = make_app(workplace, output_dir=tmp_path / "mine")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: footer(app)[:4] == ["Try", "Errors", "Export", "New like it"])

        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, TryScreen))
        screen: Any = app.screen
        for letter in "a [b]cat":
            await pilot.press({" ": "space", "[": "left_square_bracket"}.get(letter, letter))
        typed = screen.query_one("#try-0").value
        await until(pilot, lambda: bool(screen.newest) and screen.newest.texts == (typed,))
        (alone,) = Predictor(run, "cpu").predict([typed])
        assert screen.newest.found.prediction == alone.prediction
        assert screen.newest.found.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
        await pilot.press("enter")
        await pilot.pause()
        assert screen.kept == [screen.newest]
        best = max((alone.probabilities or {}).values())
        assert f"{best:.4f} {alone.prediction}  a [b" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: not screen._asking._thread.is_alive())

        await pilot.press("E")
        await settle(pilot)
        assert isinstance(app.screen, ErrorsScreen)
        wrong = app.screen.report.wrong  # type: ignore[union-attr]
        assert f"{wrong} of 20 rows are wrong" in shown(app)
        assert all(each.texts for each in app.screen.rows)
        assert len(app.screen.rows) == wrong
        await pilot.press("enter")
        await pilot.pause()
        assert (app.screen_stack[-2].rows[0].texts or ("",))[0] in shown(app)  # type: ignore[attr-defined]
        await pilot.press("escape", "p", "down", "enter")
        await settle(pilot)
        assert app.screen.predicted == "unacceptable"
        assert {each.prediction for each in app.screen.rows} <= {"unacceptable"}
        await pilot.press("escape", "X")
        await settle(pilot)
        assert isinstance(app.screen, ExportScreen)
        folder = app.screen.folder
        assert folder == Path("first-model")
        assert app.screen.command == f"calisr export {run} first-model"
        await pilot.press("enter")
        await until(pilot, lambda: "written in" in shown(app))
        weights = "model.safetensors"
        assert (folder / weights).read_bytes() == (run / "model" / weights).read_bytes()
        await pilot.press("escape", "N")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        setup: Any = app.screen
        await until(pilot, lambda: bool(setup.draft.base.name) and bool(setup.draft.resolved))
        config = setup.draft.resolved.config
        assert (config.method.name, config.method.rank) == ("lora", 3)
        assert (config.training.learning_rate, config.output.name) == (5e-2, None)
        assert setup.draft.changes == {"output.name": "none"}
        assert not setup.draft.resolved.warnings


async def test_a_run_that_chooses_is_tried_and_its_mistakes_seen(
    tmp_path: Path, workplace: Path
) -> None:
    torch.set_num_threads(1)
    file = write_choices(tmp_path / "copa.jsonl")
    read = data_source.read(data_source.request(Base(), {"task.train_file": str(file)}))
    assert read.look is not None
    assert (read.problems, read.usual_metric, read.classes) == ((), "accuracy", 2)
    found = [f"{key}={written_as(value)}" for key, value in read.values.items()]
    assert "task.choice_columns=choice1,choice2" in found
    sets = (f"task.train_file={file}", "training.epochs=1", *found)
    run = make_run(save_model(tmp_path / "tiny"), tmp_path / "mine", "first", *sets)
    assert execute(run, raise_errors=True) == 0
    app = make_app(workplace, output_dir=tmp_path / "mine")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: footer(app)[:1] == ["Try"])
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, TryScreen))
        screen: Any = app.screen
        await until(pilot, lambda: "type a text for choice2" in shown(app))
        await pilot.press("a", "enter", "b", "enter")
        assert screen.newest is None
        await pilot.press("c")
        await until(pilot, lambda: bool(screen.newest))
        (alone,) = Predictor(run, "cpu").predict([("a", "b", "c")])
        assert screen.newest.found == alone
        await pilot.press("enter")
        await pilot.pause()
        assert f"{alone.prediction}  a | b | c" in shown(app)
        await pilot.press("escape", "E")
        await until(pilot, lambda: isinstance(app.screen, ErrorsScreen))
        await settle(pilot)
        assert isinstance(app.screen, ErrorsScreen)
        wrong = app.screen.report.wrong  # type: ignore[union-attr]
        assert f"{wrong} of 6 rows are wrong · accuracy" in shown(app)


ENDS: dict[str, tuple[dict[str, Any], str]] = {
    "paused": ({}, "Go on Stop+save Switch Freeze Full Help Quit"),
    "completed": ({"summary": {}}, "Try Errors Compare Export New like it Full Help Quit"),
    "stopped": (
        {"reason": "asked", "saved": True},
        "Resume Try Errors New like it Full Help Quit",
    ),
    "failed": ({"message": "it broke"}, "Edit settings Resume Traceback Try Help Quit"),
}
"""State -> fields of the last event, words of the footer."""


@pytest.mark.parametrize("state", list(ENDS))
async def test_the_footer_of_the_live_screen_follows_the_run(state: str, workplace: Path) -> None:
    log = workplace / "runs" / "run-1" / "events.jsonl"
    *lines, last = log.read_text().splitlines()
    end, words = ENDS[state]
    kept = {key: value for key, value in json.loads(last).items() if key != "summary"}
    log.write_text("\n".join([*lines, json.dumps({**kept, "type": state, **end})]) + "\n")
    app = make_app(workplace, run_dir=log.parent)
    held = RunLock(RunPaths(log.parent)) if state == "paused" else nullcontext()
    with held:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(
                pilot, lambda: getattr(app.screen, "view", None) is not None or state == "failed"
            )
            await pilot.pause(0.3)
            if state == "failed":
                assert "N edits the settings for a new run" in " ".join(shown(app).split())
                await pilot.press("escape")
            await until(pilot, lambda: " ".join(footer(app)) == words)


async def test_an_export_that_fails_says_why_in_a_dialog(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tells = "import sys; sys.exit(sys.argv[4] + ' is full [bold]of it[/]')"
    monkeypatch.setattr(
        export, "process_words", lambda words: [sys.executable, "-c", tells, *words]
    )
    app = make_app(workplace)
    async with app.run_test(size=(80, 24)) as pilot:
        await type_keys(pilot, "f4")  # the list is read first
        await type_keys(pilot, "X")
        assert "calisr export runs/run-2 run-2-model" in shown(app)
        await type_keys(pilot, "down", "right")
        assert "calisr export runs/run-2 run-2-model --onnx" in shown(app)
        await type_keys(pilot, "up", *["backspace"] * 11, *"runs")
        assert "runs exists already" in shown(app)
        await type_keys(pilot, "enter")
        assert app.started.exports == []
        await type_keys(pilot, "x", "f8", "enter")
        assert app.clipboard == "calisr export runs/run-2 runsx --onnx"
        await until(pilot, lambda: isinstance(app.screen, Reading))
        await until(pilot, lambda: "--onnx is full [bold]of it[/]" in shown(app))
        await type_keys(pilot, "escape")
        assert "the export failed" in shown(app)


async def test_errors_without_answers_say_why_and_what_to_do(workplace: Path) -> None:
    """They showed an empty table, and keys that do nothing."""
    run = workplace / "runs" / "run-1"
    kept = workplace / "kept"
    (run / "predictions").rename(kept)
    app = make_app(workplace, run_dir=run)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("E")
        await settle(pilot)
        said = " ".join(" ".join(lines_on(app)).split())
        assert "There are no answers to look at: run-1 has no" in said
        assert "What to do: " in said
        assert not app.screen.query_one("#errors-rows").display
        assert footer(app) == ["Read again", "Back", "Help", "Quit"]
        kept.rename(run / "predictions")
        await pilot.press("u")
        await settle(pilot)
        assert app.screen.query_one("#errors-rows").has_focus
        assert "Next view" in footer(app)
