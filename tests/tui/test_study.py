"""Searching marked settings from the app, and the screen of a study."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import pytest
from textual.widgets import Footer

from calisr_engine.config.describe import by_key
from calisr_engine.config.load import Base
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_engine.tune.reading import StudyReader
from calisr_engine.tune.study import Plan, Study
from calisr_tui import marked_search, several
from calisr_tui.charts.home_text import study_line
from calisr_tui.cli.app import run_command_line
from calisr_tui.draft import Draft
from calisr_tui.screens import home
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.run_curves import RunCurves
from tests.tui.example import light_checks, make_app, settle, type_keys
from tests.tui.studies import TRIALS, make_study, write
from tests.tui.test_draft import own, reviews

__all__ = ["light_checks", "reviews"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a study in runs/."""
    monkeypatch.chdir(tmp_path)
    make_study(Path("runs"))
    return tmp_path


# Setup -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("training.learning_rate", "1e-5 .. 1e-3", "1e-05 to 0.001 (log scale)"),
        ("training.learning_rate", "1e-5..1e-3:linear", "1e-05 to 0.001"),
        ("training.learning_rate", "1e-5..1e-3:3", "one of 1e-5, 0.0001, 1e-3"),
        ("training.epochs", "2..5", "2 to 5"),
        ("method.name", "lora, mpop", "one of lora, mpop"),
    ],
)
def test_what_a_search_chooses_from(key: str, text: str, told: str) -> None:
    assert several.in_words(several.dimension(by_key()[key], text)) == told


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("training.seed", "1..5", "a seed is nothing to choose"),
        ("training.learning_rate", "1e-4, ", "one value is nothing to search"),
        ("training.learning_rate", "1e-3..1e-5", "smaller than the second"),
        ("training.learning_rate", "0..1:log", "above 0"),
        ("task.name", "rte, mrpc", "would not compare"),
    ],
)
def test_what_cannot_be_searched_is_said(key: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        several.dimension(by_key()[key], text)


def searching(draft: Draft, **values: str) -> Draft:
    """Mark settings, to be searched; two underscores stand for the dot."""
    draft.search(True)
    for key, text in values.items():
        draft.mark(key.replace("__", "."))
        draft.change(key.replace("__", "."), text)
    return draft


@pytest.mark.usefixtures("light_checks")
def test_the_command_of_a_search_is_that_very_search(
    reviews: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = own(train_file="reviews.csv")
    draft.change("training.epochs", "2")
    searching(draft, training__learning_rate="1e-4..1e-2", method__rank="2, 4")
    assert draft.searched
    assert draft.problems == ()
    asked = marked_search.searched(draft)
    found = marked_search.check(asked, None, draft.data)
    assert found.problems == ()
    plan = Plan((), trials=5, sampler="random", pruner="none", seeds=1, seed=3)
    words = found.command(plan, 2)
    assert "lft_learning_rate" not in shlex.join(words)
    seen: list[Any] = []
    monkeypatch.setattr("calisr_engine.tune.search.search", lambda study, *_: seen.append(study))
    monkeypatch.setattr("calisr_tui.cli.tune._show", lambda *_: None)
    monkeypatch.setattr("calisr_engine.tune.reading.StudyReader.read", lambda self: None)
    pytest.importorskip("optuna")
    run_command_line(words)
    (study,) = seen
    assert study.folder == found.folder == Path("runs/reviews-search-learning-rate-rank")
    assert study.plan == Plan(asked.space, 5, 1, "random", "none", 3)
    ours = Study(found.folder, Plan(asked.space), asked.settings)
    values: dict[str, float | str] = {"training.learning_rate": 1e-3, "method.rank": "4"}
    theirs, mine = study.settings(values).config, ours.settings(values).config
    assert theirs.training == mine.training
    assert (theirs.model, theirs.method, theirs.task) == (mine.model, mine.method, mine.task)
    assert theirs.calibration == mine.calibration
    # The same study is gone on with, another has a folder of its own.
    ours.begin()
    assert marked_search.check(asked, None, draft.data).folder == found.folder
    draft.change("training.epochs", "3")
    another = marked_search.check(marked_search.searched(draft), None, draft.data)
    assert another.folder == Path("runs/reviews-search-learning-rate-rank-2")


@pytest.mark.usefixtures("light_checks")
def test_trials_that_cannot_begin_are_named(tmp_path: Path) -> None:
    draft = searching(Draft(tmp_path, None), calibration__delta="0.4..7", method__rank="2, 4")
    (problem,) = marked_search.check(marked_search.searched(draft), None, None).problems
    assert problem.keys == ("calibration.delta",)
    assert problem.message.startswith("trials with delta 7.0: ")
    draft.clear_marks()
    searching(draft, model__name="demo-bert, ./nowhere")
    (problem,) = marked_search.check(marked_search.searched(draft), None, None).problems
    assert problem.message.startswith("trials with model ./nowhere: ")
    draft.clear_marks()
    searching(draft, training__seed="1..5")
    assert ["nothing to choose" in each.message for each in draft.problems] == [True]


async def press(pilot: Any, *keys: str) -> Any:
    await type_keys(pilot, *keys)
    return pilot.app.screen


@pytest.mark.usefixtures("light_checks")
async def test_marked_fields_are_searched_by_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(tmp_path)
    begun: list[Any] = []
    monkeypatch.setattr(app.started, "start_grid", lambda *given: begun.append(given))
    async with app.run_test(size=(80, 24)) as pilot:
        for key in (*["enter"] * 4, "down", "down", "ctrl+y", "f7", "ctrl+u"):
            screen = await press(pilot, key)
        await press(pilot, *"1e-5..1e-3")
        assert screen.draft.searched
        assert screen.draft.problems == ()
        await press(pilot, "f8")
        copied = app.clipboard
        assert copied.startswith("calisr tune --method lora --calibration S --search ")
        await press(pilot, "ctrl+r")
        dialog = await press(pilot, "4", "down", "right", "down", "down", "0")
        assert dialog.wrong == ""
        assert dialog.start.plan == Plan((), 4, 0, "random", "median", 0)
        dialog = await press(pilot, *["down"] * 2, "x")
        assert "a whole number from 1" in dialog.wrong
        await press(pilot, "enter")
        assert app.screen is dialog, "what is wrong does not start"
        await press(pilot, "backspace", "2", "enter")
        ((name, folder, words, kind, begin_in),) = begun
        assert (kind, begin_in) == ("study", None)
        assert folder == Path("runs/demo-search-learning-rate")
        assert folder.name == name
        assert shlex.join(["calisr", *words[3:]]) == copied.replace(
            "--trials 20 --seeds 3 --jobs 1",
            "--trials 4 --sampler random --seeds 0 --jobs 2",
        )
        assert app.current_mode == "study"
        app.action_jump("setup")
        await settle(pilot)
        assert screen.plan.trials == 4, "the form shows what was chosen"
        monkeypatch.setitem(__import__("sys").modules, "optuna", None)
        await press(pilot, "f7")
        assert not screen.draft.searched, "back is always possible"
        await press(pilot, "f7")
        assert not screen.draft.searched
        assert any("pip install 'calisr[tune]'" in each.message for each in app._notifications)


# The screen --------------------------------------------------------------------------------------


async def test_a_study_is_shown_and_used_by_keys(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(place, start="study")
    begun: list[Any] = []
    opened: list[Path] = []
    monkeypatch.setattr(app.started, "start_grid", lambda *given: begun.append(given))
    monkeypatch.setattr(app, "set_up_like", opened.append)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        screen: Any = app.screen
        table = screen.query_one("#study-table")
        rows = ["".join(str(cell) for cell in table.get_row_at(n)) for n in range(table.row_count)]
        assert len(rows) == len(TRIALS) + 2
        assert "★ 2" in rows[1]
        assert isinstance(screen.query_one(Footer), Keys)
        listed: list[bool] = []
        monkeypatch.setattr(
            "calisr_tui.screens.study.study_folders",
            lambda folder: listed.append(current_thread() is main_thread()) or [],
        )
        await press(pilot, "o")
        assert listed == [False], "folders are listed off the app's thread"
        assert "ended early" in rows[3]
        assert "seed 43" in rows[6]
        best = str(screen.query_one("#study-best").content)
        assert "trial 2, accuracy 0.8400 with learning rate 0.0031, rank 8" in best
        assert "With 2 other seeds: 0.8000 ± 0.0141" in best
        await press(pilot, "b")
        assert screen.at_hand == (Path("runs/rates/trial-002"), "completed")
        await press(pilot, "v")
        assert screen.at_hand == (Path("runs/rates/trial-002"), "completed")
        assert table.cursor_row == 0
        await press(pilot, "space", "space", "c")
        assert app.current_mode == "compare"
        assert [each.name for each in app.chosen_runs] == ["trial-002", "trial-005"]
        app.action_jump("study")
        await settle(pilot)
        await press(pilot, "B")
        assert opened == [Path("runs/rates/best.toml")]
        await press(pilot, "s", *"12", "enter")
        ((_, folder, words, _, begin_in),) = begun
        assert folder == Path("runs/rates")
        assert begin_in == place
        assert words[3:5] == ["tune", "demo"]
        assert words[-2:] == ["--trials", "12"]
        assert words.count("--trials") == 1
        await press(pilot, "b", "enter")
        assert app.current_mode == "live"
        await press(pilot, "escape")
        assert app.current_mode == "study"
        await press(pilot, "x")
        assert any("nothing of this study is in training" in n.message for n in app._notifications)


async def test_on_a_wide_screen_the_curves_stand_beside_the_table(place: Path) -> None:
    async with make_app(place, start="study").run_test(size=(200, 60)) as pilot:
        await settle(pilot)
        await press(pilot, "b")
        screen = pilot.app.screen
        table, curve = screen.query_one("#study-table"), screen.query_one("#study-curve")
        run = screen.query_one(RunCurves)
        assert table.region.width > table.virtual_size.width, "no column is cut"
        assert curve.region.x == run.region.x == table.region.right
        assert curve.region.right == 200
        assert curve.region.bottom == run.region.y
        assert "trial-002" in str(run.border_title)
        assert run.plots[0].lines
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert not run.display
        assert curve.region.y == table.region.bottom
        assert (table.region.width, curve.region.width) == (120, 120)
        await pilot.resize_terminal(120, 20)
        await settle(pilot)
        assert curve.region.height == 0, "few lines are the table's"


async def test_without_a_study_it_is_said_how_to_begin_one(tmp_path: Path) -> None:
    async with make_app(tmp_path, start="study").run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "Ctrl-Y" in str(pilot.app.screen.query_one("#study-totals").content)


def test_home_lists_studies(place: Path) -> None:
    folder = Path("runs/rates")
    halted = StudyReader(folder).read()
    found = dict(home.sections([], [halted]))
    assert [(line.goes, line.does) for line in found["Go on with"]] == [("resume", "resume")]
    text = str(study_line(halted, 100, dict.fromkeys(("warn", "dim", "good"), "")))
    assert "accuracy 0.84" in text
    assert "rates  5 of 8 trials  learning rate, rank" in text
    with RunLock(RunPaths(folder)):
        found = dict(home.sections([], [StudyReader(folder).read()]))
        assert [line.goes for line in found["Trains now"]] == ["open"]
        assert "Go on with" not in found


def test_home_sees_that_somebody_went_on_with_a_study_that_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = [(1e-4 * n, "4", "completed", 0.9 if n == 2 else 0.5) for n in range(1, 9)]
    study = make_study(Path("runs"), done, (0.8, 0.8, 0.8))
    screen = home.HomeScreen()
    (seen,) = screen._read_studies(Path("runs"))
    assert seen.complete
    assert screen._read_studies(Path("runs"))[0] is seen, "what is done is not read again"
    values: dict[str, float | str] = {"training.learning_rate": 2e-3, "method.rank": "8"}
    write(create_run(study.settings(values), study.folder, "trial-009"), "stopped", 0.4)
    study.begin()
    os.utime(study.folder / "tune.json", (1, 1))
    (seen,) = screen._read_studies(Path("runs"))
    assert len(seen.trials) == 9
    assert not seen.complete


def test_home_goes_on_with_a_study(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from calisr_tui.screens import study_training

    app = make_app(place)
    begun: list[Any] = []
    monkeypatch.setattr(app.started, "start_grid", lambda *given: begun.append(given))
    study = StudyReader(Path("runs/rates")).read()
    assert study_training.resume(app, study)
    assert begun[0][2][3:] == [*study.command.words]  # type: ignore[union-attr]
    assert study_training.without(["tune", "--jobs=2", "-x", "--jobs", "3", "y"], "--jobs") == [
        *("tune", "-x", "y")
    ]


def test_a_draft_that_begins_anew_searches_nothing(tmp_path: Path) -> None:
    draft = searching(Draft(tmp_path, None), method__rank="2, 4")
    draft.begin(Base())
    assert not draft.searched
