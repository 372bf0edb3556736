"""The run that the setup form describes: own data, mistakes at their fields, and calibration."""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.config import own_data
from calisr_engine.config.describe import all_fields, by_key
from calisr_engine.config.load import Base, load
from calisr_engine.forecast import before_start
from calisr_engine.methods.catalog import METHODS
from calisr_engine.preview import guess
from calisr_engine.tasks import own_files
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.formats import read_table
from calisr_tui import data_source, form
from calisr_tui.draft import OWN, Draft
from tests.tasks.test_hub_parquet import cache, stored

__all__ = ["cache"]


def write_reviews(path: Path) -> None:
    """500 rows with quoted commas, emoji and two more columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "review", "shop", "verdict"])
        for number in range(500):
            word, label = ("lovely 😀", "good") if number % 2 else ("awful 😡", "bad")
            writer.writerow([number, f'Soup {number}, "warm", was {word}', "Pho 9", label])


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one file in it."""
    monkeypatch.chdir(tmp_path)
    write_reviews(Path("reviews.csv"))
    return Path("reviews.csv")


def read(draft: Draft) -> None:
    """What the screen does in the background."""
    asked = draft.asked
    if asked is not None:
        assert draft.take(data_source.read(asked))


def wrong(draft: Draft) -> dict[str, str]:
    """What stands at the fields."""
    return form.marks(draft.problems, draft.method)


def own(**settings: str) -> Draft:
    """A draft of own data, with settings of [task]."""
    draft = Draft(Path("runs"), None)
    draft.choose_task(OWN)
    for key, text in settings.items():
        draft.change(f"task.{key}", text)
        read(draft)
    return draft


def test_one_file_is_enough_and_the_run_is_that_of_the_command_line(reviews: Path) -> None:
    draft = own()
    assert list(wrong(draft)) == ["task.train_file"]
    draft.change("task.train_file", "reviews.csv")
    older = draft.asked
    assert older is not None
    assert draft.resolved is None  # nothing is known of it yet
    read(draft)
    assert draft.good
    assert draft.facts() == (450, 2)
    shown = draft.shown(by_key()["task.text_column"])
    assert shown.text == "review"
    assert "words in the mean" in shown.why
    options: dict[str, Any] = {
        "task.train_file": Path("reviews.csv"),
        "method.name": "lora",
        "calibration.variant": "S",
    }
    _, guessed = own_data.guess(Base(), [], options)
    assert draft.resolved is not None
    assert draft.resolved.config == load(None, [], options, guessed=guessed, examples=500).config
    epochs = draft.resolved.config.training.epochs
    draft.change("training.learning_rate", "0.001")  # the rest still fits
    options["training.learning_rate"] = 0.001
    assert draft.resolved.config == load(None, [], options, guessed=guessed, examples=500).config
    assert draft.resolved.config.training.epochs == epochs > 3
    draft.change("training.learning_rate", "")
    # What was read of an older choice is dropped.
    draft.change("task.label_column", "shop")
    assert not draft.take(data_source.read(older))
    read(draft)
    assert list(wrong(draft)) == ["task.label_column", "task.kind"]
    assert wrong(draft)["task.kind"] == 'see "label"'
    # The columns of one file are not those of another.
    draft.change("task.train_file", str(reviews.absolute()))
    assert "task.label_column" not in draft.changes
    # Another task keeps none of it, and own data comes back as it was.
    draft.choose_task("rte")
    assert draft.good
    assert draft.resolved is not None
    assert draft.resolved.config.task.train_file is None
    draft.choose_task(OWN)
    read(draft)
    assert draft.good


def test_another_file_than_the_base_has_is_guessed_anew(reviews: Path) -> None:
    """As of a run like an existing one: its columns, kind and name are those of its own file."""
    Path("old.toml").write_text(
        'method.name = "lora"\n[task]\nname = "reviews"\ntrain_file = "reviews.csv"\n'
        'text_column = "review"\nlabel_column = "verdict"\nkind = "classification"\n'
    )
    Path("other.csv").write_text(
        "remark;stars\n" + "".join(f"a remark of {n} words;{n / 7}\n" for n in range(40))
    )
    Path("bare.tsv").write_text("".join(f"{n / 7}\ta text of {n} words\n" for n in range(40)))

    def columns(draft: Draft) -> list[str]:
        keys = ("name", "text_column", "label_column", "kind")
        return [draft.shown(by_key()[f"task.{key}"]).text for key in keys]

    draft = Draft(Path("runs"), None)
    draft.begin("old.toml")
    read(draft)
    assert columns(draft) == ["reviews", "review", "verdict", "classification"]
    draft.change("task.train_file", str(Path("reviews.csv").absolute()))  # the same one
    read(draft)
    assert columns(draft) == ["reviews", "review", "verdict", "classification"]
    draft.change("task.train_file", "other.csv")
    read(draft)
    assert draft.problems == ()
    assert columns(draft) == ["other", "remark", "stars", "regression"]
    assert draft.resolved is not None
    line = draft.resolved.command_line()
    assert "--text remark --label stars --kind regression" in line
    draft.change("task.label_column", "remark")  # what is typed counts
    read(draft)
    assert draft.changes["task.label_column"] == "remark"
    draft.change("task.train_file", "bare.tsv")  # without a header
    read(draft)
    assert draft.problems == ()
    assert columns(draft)[1:] == ["column 2", "column 1", "regression"]
    draft.change("task.train_file", "")  # back to its own
    draft.change("task.train_file", "reviews.csv")
    read(draft)
    assert columns(draft) == ["reviews", "review", "verdict", "classification"]


def test_a_file_is_read_once_for_the_guess_the_look_and_the_check(
    reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def counted(path: Path, *more: Any) -> Any:
        opened.append(path)
        return read_table(path, *more)

    for module in (guess, own_files):
        monkeypatch.setattr(module, "read_table", counted)
    monkeypatch.setattr(before_start, "look", partial(before_start.look, with_torch=False))
    draft = own(train_file="reviews.csv")
    unchecked = draft.unchecked
    assert unchecked is not None
    checked = data_source.check(unchecked.config, None, draft.data)
    assert opened == [reviews]
    assert checked.data == load_task(unchecked.config.task)
    assert checked.problems == ()


MISTAKES: list[tuple[dict[str, str], str, str]] = [
    ({"task.train_file": "review.csv"}, "task.train_file", "did you mean reviews.csv?"),
    ({"task.train_file": "notes.docx"}, "task.train_file", "are not read"),
    ({"task.train_file": "folder"}, "task.train_file", "no training file in it"),
    ({"task.label_column": "shop"}, "task.label_column", "all 500 rows have the label 'Pho 9'"),
    (
        {"task.label_column": "verdict", "task.text_column": "verdict"},
        "task.label_column",
        '"text" and "label" are the same',
    ),
    ({"task.label_column": "stars"}, "task.label_column", "there is no column 'stars'"),
    ({"task.kind": "regression"}, "task.label_column", "is not a number to learn"),
    ({"task.metric": "pearson"}, "task.metric", "accuracy"),
    ({"task.validation_file": "dev.csv"}, "task.validation_file", "there is no such file"),
    ({"task.validation_share": "0"}, "task.validation_share", "expected a number above 0"),
    ({"training.epochs": "0"}, "training.epochs", "expected a whole number"),
    ({"training.learning_rate": "fast"}, "training.learning_rate", "expected a number"),
    (
        {"calibration.every_steps": "5", "calibration.samples_per_epoch": "5"},
        "calibration.samples_per_epoch",
        '"samples per epoch" or "every steps"',
    ),
    ({"schedule.switch_at": "0.5"}, "schedule.switch_at", '"calibration" = "off"'),
    ({"calibration.control": "matched"}, "calibration.matched_to", 'set "matched to"'),
    ({"output.name": "a/b"}, "output.name", "letters, digits"),
]


def test_each_mistake_stands_at_its_field_in_the_words_of_the_form(reviews: Path) -> None:
    Path("folder").mkdir()
    Path("notes.docx").touch()
    for changes, key, words in MISTAKES:
        draft = own(train_file="reviews.csv")
        assert draft.good
        for each, text in changes.items():
            draft.change(each, text)
            read(draft)
        assert draft.resolved is None or draft.problems, changes
        said = wrong(draft)
        assert words in said.get(key, ""), (changes, said)
        assert not re.search(r"--[a-z]|\b(task|training|calibration)\.\w", said[key]), said[key]
        assert form.first_page(draft.problems[0])[0], changes


def test_mistakes_about_a_data_set_of_the_hub_stand_at_their_fields(cache: Path) -> None:
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/*\n"
        for name in ("small", "large")
    )
    rows = {"small/a.parquet": range(40), "large/b.parquet": range(80)}
    stored(cache, "owner/reviews", {"README.md": f"{card}---\n", **rows})
    mistakes = [
        ({"dataset": "owner/reviews"}, "dataset", "name one, such as owner/reviews:small"),
        ({"dataset": "owner/reviews:smal"}, "dataset", "did you mean owner/reviews:small?"),
        ({"dataset": "owner/nowhere"}, "dataset", "HF_HUB_OFFLINE"),
        ({"dataset": "../up"}, "dataset", 'for files of your own use "file or folder"'),
        ({"dataset": "owner/reviews:small", "train_split": "x"}, "train_split", "splits: train"),
        ({"dataset": "owner/reviews:small", "test_split": "x"}, "test_split", "splits: train"),
    ]
    for settings, key, words in mistakes:
        said = wrong(own(**settings))
        assert list(said) == [f"task.{key}"], settings
        assert words in said[f"task.{key}"]
    draft = own(train_file="a.csv", validation_file="b.csv", dataset="owner/reviews:small")
    assert draft.good  # the data set takes the place of the files
    assert draft.facts() == (36, 2)


def test_a_method_without_calibration_turns_it_off_and_another_brings_it_back() -> None:
    draft = Draft(Path("runs"), None)
    refused = [name for name, each in METHODS.items() if each.calibration_refused]
    assert "fft" in refused
    for name in refused:
        draft.change("method.name", name)
        assert draft.good
        assert draft.value("calibration.variant") == "off"
        assert METHODS[name].calibration_refused in draft.calibration_refused
    draft.change("method.name", "mpop")
    assert draft.value("calibration.variant") == "S"
    assert draft.calibration_refused == ""


def test_an_emptied_field_takes_back_the_default_or_the_presets_value() -> None:
    draft = Draft(Path("runs"), None)
    assert draft.shown(by_key()["training.seed"]).default == "default: 42"
    rate = by_key()["training.learning_rate"]
    fitted = draft.shown(rate)
    assert fitted.text == ""
    assert draft.resolved is not None
    assert fitted.why == draft.resolved.reasons["training.learning_rate"]
    draft.change("training.learning_rate", "0.001")
    assert draft.shown(rate).text == "0.001"
    assert draft.shown(rate).default == fitted.default
    draft.change("training.learning_rate", "")
    assert draft.shown(rate).text == ""
    draft.begin("demo")
    assert draft.shown(rate).text == "0.0005"
    threads = by_key()["training.threads"]
    assert draft.shown(threads).text == "1"
    draft.change("training.threads", "")
    assert draft.resolved is not None
    assert draft.resolved.config.training.threads is None
    # Nothing of a preset is left for the next one.
    draft.begin("")
    assert draft.resolved is not None
    assert draft.resolved.config.training.learning_rate == load(None).config.training.learning_rate


@pytest.mark.parametrize("method", ["lora", "fft"])
def test_every_setting_stands_on_one_page_and_own_data_has_a_page_of_its_own(method: str) -> None:
    stands: dict[str, list[str]] = {}
    for page in form.PAGES:
        for group in form.groups(page, method):
            for info in group.infos:
                stands.setdefault(info.key, []).append(page)
    chosen = {"notes", "method.name", "calibration.variant"}
    assert {info.key for info in all_fields(method)} - chosen == set(stands)
    both = {"task.max_length", "task.metric", "task.max_train_examples"}
    both |= {"task.max_validation_examples"}
    assert {key for key, pages in stands.items() if len(pages) > 1} == both


def test_options_of_a_tuner_are_fields_of_their_own(tmp_path: Path) -> None:
    draft = Draft(tmp_path, None)
    draft.change("method.name", "peft")
    draft.change("method.tuner", "loha")
    assert "method.options.rank_dropout" in draft.known
    titles = {group.title: group for group in form.groups("method", "peft", draft.entries)}
    shown = [info.key for info in titles[""].infos]
    assert "method.tuner" in shown
    assert "method.options" not in shown  # its fields stand in its place
    rank = draft.known["method.options.r"]
    assert (rank.kind, draft.shown(rank).text, draft.shown(rank).default) == (
        "int",
        "",
        "default: 8",
    )
    draft.change("method.options.r", "4")
    draft.change("method.options.rank_dropout", "0.1")
    assert draft.resolved is not None
    assert draft.resolved.config.method.options == "r=4, rank_dropout=0.1"  # type: ignore[attr-defined]
    assert draft.shown(rank).text == "4"
    assert "several values in a grid file" in draft.may_mark(rank)
    draft.change("method.options.r", "four")
    assert draft.resolved is None
    marks = form.marks(draft.problems, "peft")
    assert "expects a whole number" in marks["method.options.r"]
    draft.change("method.tuner", "ia3")  # has neither
    assert not [key for key in draft.changes if key.startswith("method.options")]
    assert draft.resolved is not None


def test_options_of_a_preset_are_shown_and_can_be_emptied(tmp_path: Path) -> None:
    draft = Draft(tmp_path, None)
    draft.begin("published/vera-roberta-base-mrpc")
    start = draft.known["method.options.d_initial"]
    rank = draft.known["method.options.r"]
    assert (draft.shown(rank).text, draft.shown(start).text) == ("8", "")  # 0.1 is peft's own
    draft.change("method.options.r", "")
    assert draft.resolved is not None
    assert draft.resolved.config.method.options == "d_initial=0.1"  # type: ignore[attr-defined]


def test_a_number_is_shown_with_all_its_digits() -> None:
    long = 0.00012345678901234
    for value, text in ((long, repr(long)), (2e-5, "2e-5"), (1e16, "1e16"), (0.5, "0.5")):
        assert form.written_as(value) == text
        assert float(text) == value


def test_the_usual_metric_is_told_once_the_labels_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of tags that mark entities it is not that of classes, and cannot be told of too few rows."""
    monkeypatch.chdir(tmp_path)
    info = by_key()["task.metric"]
    told, offered = {}, []
    for rows in (2, 40):
        sentences = (f"Ada{n} B-PER\nwrote{n} O\n" for n in range(rows))
        Path(f"{rows}.conll").write_text("\n".join(sentences))
        draft = own(train_file=f"{rows}.conll")
        assert draft.data is not None
        told[rows] = draft.shown(info).default
        offered.append(draft.data.choices("task.metric", "token"))
    assert told == {2: "default: goes by the labels", 40: "default: span_f1"}
    assert offered[0] == offered[1]
    assert ("span_f1", "") in offered[0]
