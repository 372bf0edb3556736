"""The grid that marked settings make, held against the runs that the form would start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calisr_engine.config.describe import by_key
from calisr_engine.grid import expand_grid
from calisr_tui import marked_grid, several
from calisr_tui.draft import Draft
from tests.tui.example import light_checks
from tests.tui.test_draft import own, reviews

__all__ = ["light_checks", "reviews"]


def mark(draft: Draft, **values: str) -> Draft:
    """Mark settings and type their values; two underscores stand for the dot."""
    for key, text in values.items():
        info = by_key(draft.method)[key.replace("__", ".")]
        draft.mark(info.key)
        draft.change(info.key, text)
    return draft


def expanded(draft: Draft, folder: Path) -> list[Any]:
    """The settings of the runs of the draft's grid file, but for what each run is given anyhow."""
    asked = marked_grid.marked(draft)
    outlook = marked_grid.check(asked, None, draft.data)
    file = folder / "grid.toml"
    file.write_text(outlook.toml)
    found = [run.resolved.config for run in expand_grid(file, folder).runs]
    one_by_one = [marked_grid.settings_of(asked, words).config for words in asked.combinations]
    assert {compared(each) for each in found} == {compared(each) for each in one_by_one}
    assert len(found) == outlook.runs
    return found


def compared(config: Any) -> str:
    output = config.output.model_copy(update={"dir": None, "name": None})
    training = config.training.model_copy(update={"threads": None})
    return repr(config.model_copy(update={"output": output, "training": training}))


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("training.seed", "1, 2,2 ,3", "1 2 3"),
        ("training.seed", "1..4", "1 2 3 4"),
        ("training.seed", "1..3, 10..30:3", "1 2 3 10 20 30"),
        ("training.learning_rate", "1e-5..1e-3:3, 0.0001", "1e-5 0.0001 1e-3"),
        # Ends are those that were typed, and what is between them is between them.
        ("training.learning_rate", "1.23456e-4..9.8e-4:3", "1.23456e-4 0.0005517 9.8e-4"),
        ("training.learning_rate", "1.23456e-4..1.23458e-4:3", "1.23456e-4 0.000123457 1.23458e-4"),
        ("calibration.delta", "0.3..0.7:3", "0.3 0.5 0.7"),
        ("method.name", "lora, mpop", "lora mpop"),
    ],
)
def test_values_and_ranges(key: str, text: str, values: str) -> None:
    assert several.several(by_key()[key], text) == tuple(values.split())


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("training.seed", " , ", "no value is given"),
        ("training.seed", "5..1", "smaller than the second"),
        ("training.seed", "1..1e9", "from 2 to 100"),
        ("training.seed", "1.5..3.5", "whole numbers"),
        ("training.learning_rate", "1e-5..1e-3", "say how many values, such as 1e-5..1e-3:3"),
        ("training.learning_rate", "a..b:3", "no range of numbers"),
        ("training.seed", "1..60, 101..160", "100 are the most"),
    ],
)
def test_what_is_no_range_is_said(key: str, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        several.several(by_key()[key], text)


@pytest.mark.usefixtures("light_checks")
def test_each_run_is_the_one_that_the_form_would_start(tmp_path: Path) -> None:
    draft = mark(Draft(tmp_path, None), training__seed="1, 2", calibration__delta="0.4, 0.6")
    runs = expanded(draft, tmp_path)
    assert [(each.training.seed, each.calibration.delta) for each in runs] == [
        (1, 0.4),
        (1, 0.6),
        (2, 0.4),
        (2, 0.6),
    ]
    # Methods bring their own rates; what cannot be calibrated is not, and comes once.
    draft = Draft(tmp_path, None)
    draft.change("method.rank", "4")
    for name in ("lora", "mpop", "fft"):
        draft.mark_choice("method.name", name)
    runs = expanded(mark(draft, calibration__variant="S, D, off", training__seed="1, 2"), tmp_path)
    assert len(runs) == 14
    assert {each.method.rank for each in runs if each.method.name == "lora"} == {4}
    assert {each.calibration.variant for each in runs if each.method.name == "fft"} == {"off"}
    rates = {(each.method.name, each.training.learning_rate) for each in runs}
    assert len(rates) > 2
    # A rate that is marked leaves the light rate to the method's own, as for a single run.
    draft = mark(Draft(tmp_path, None), training__learning_rate="1e-4..1e-2:3")
    draft.begin("demo")
    expanded(mark(draft, training__learning_rate="1e-4..1e-2:3"), tmp_path)


@pytest.mark.usefixtures("light_checks")
def test_a_grid_of_own_data(reviews: Path, tmp_path: Path) -> None:
    draft = mark(own(train_file="reviews.csv"), training__seed="1..3", method__rank="2, 4")
    asked = marked_grid.marked(draft)
    runs = expanded(draft, tmp_path)
    assert len(runs) == 6
    assert {each.task.train_file for each in runs} == {reviews.absolute()}
    found = marked_grid.check(asked, None, draft.data)
    assert found.folder == Path("runs/reviews-seed-rank")
    found.folder.mkdir(parents=True)
    (found.folder / marked_grid.FILE).write_text(found.toml)
    assert marked_grid.check(asked, None, draft.data) == found  # it is gone on with
    (found.folder / marked_grid.FILE).write_text("another")
    again = marked_grid.check(asked, None, draft.data)
    assert again.folder == Path("runs/reviews-seed-rank-2")
    assert found.problems == ()
    assert found.cpu_seconds is not None
    assert found.cpu_seconds > 0
    assert draft.may_mark(by_key()["task.text_column"])


@pytest.mark.usefixtures("light_checks")
def test_runs_that_cannot_begin_are_named_with_their_values(tmp_path: Path) -> None:
    draft = mark(Draft(tmp_path, None), training__seed="1, 2", calibration__delta="0.4, 7")
    (problem,) = marked_grid.check(marked_grid.marked(draft), None, None).problems
    assert problem.keys == ("calibration.delta",)
    assert problem.message.startswith("2 of 4 runs (seed 1, delta 7; seed 2, delta 7): expected")
    draft = Draft(tmp_path, None)
    for name in ("demo", "rte"):
        draft.mark_choice("task.name", name)
    (problem,) = marked_grid.check(marked_grid.marked(draft), None, None).problems
    assert "1 of 2 runs (task rte): " in problem.message
    many = dict.fromkeys(("training__epochs", "method__rank", "training__batch_size"), "1..100")
    mark(draft, training__seed="1..100", **many)  # too many to look at them
    (problem,) = marked_grid.check(marked_grid.marked(draft), None, None).problems
    assert "1,000 are the most" in problem.message


def test_a_mark_goes_as_it_came(tmp_path: Path) -> None:
    draft = Draft(tmp_path, None)
    seed = by_key()["training.seed"]
    before = draft.resolved
    draft.mark(seed.key)
    assert draft.marked == {"training.seed": "42, "}
    draft.change("training.seed", "5..7")
    assert draft.runs == 3
    assert draft.resolved is not None
    assert draft.resolved.config.training.seed == 5
    for typed in ("5.", "5..", "5..4"):  # one mistake is told once, whatever was typed before it
        draft.change("training.seed", typed)
        assert [each.keys for each in draft.problems] == [("training.seed",)]
    draft.change("training.seed", "5..8")
    draft.mark(seed.key)
    assert draft.resolved == before
    assert draft.runs == 1
    draft.mark(seed.key)  # the same key brings it back
    assert draft.shown(seed).text == "5..8"
    draft.mark_choice("method.name", "mpop")
    assert draft.method == "mpop"
    draft.clear_marks()
    assert draft.resolved == before


def test_the_settings_of_each_run_are_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    load = marked_grid.settings_of

    def counted(asked: Any, words: Any) -> Any:
        loaded.append(words)
        return load(asked, words)

    monkeypatch.setattr(marked_grid, "settings_of", counted)
    asked = marked_grid.marked(
        mark(Draft(tmp_path, None), training__seed="1..3", calibration__delta="0.4, 0.6")
    )
    assert marked_grid.check(asked, None, None).runs == 6
    assert loaded == asked.combinations
