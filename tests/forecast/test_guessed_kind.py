"""Rules over the kind of task hold for a kind that is guessed from the data, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.config.load import load
from calisr_engine.config.own_data import resolve
from calisr_engine.errors import ConfigError, Problem
from calisr_engine.tasks.settings import TaskSettings
from calisr_tui import data_source
from calisr_tui.draft import OWN, Draft

ROWS: dict[str, list[dict[str, Any]]] = {
    "token": [
        {"words": ["Anna", "sees", "Rome"], "tags": ["B-X", "O", "B-X"]},
        {"words": ["she", "sees", "Paris"], "tags": ["O", "O", "B-X"]},
    ],
    "multi_label": [
        {"words": "a fine day", "tags": ["warm", "dry"]},
        {"words": "a day of rain", "tags": ["wet"]},
        {"words": "a day of warm rain", "tags": ["wet", "warm"]},
    ],
    "classification": [
        {"words": "a fine day", "tags": "good"},
        {"words": "a day of rain", "tags": "bad"},
    ],
}
SMART = ("regularizer.name", "smart", "the one answer of each text")
FIRST_TOKEN = ("training.last_layer", "first_token", "reads every token")

cases = pytest.mark.parametrize(
    ("kind", "key", "value", "why"),
    [("token", *SMART), ("multi_label", *SMART), ("token", *FIRST_TOKEN)],
)


@pytest.fixture
def file(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = []
    for number in range(20):
        for row in ROWS[kind]:
            words = row["words"]
            words = [f"{words[0]}{number}", *words[1:]] if kind == "token" else f"{words} {number}"
            lines.append(json.dumps({**row, "words": words}) + "\n")
    path.write_text("".join(lines))
    return path


def asked(file: Path, *more: str) -> list[str]:
    columns = ("task.text_column=words", "task.label_column=tags")
    return [f"task.train_file={file}", *columns, *more]


def problems(caught: pytest.ExceptionInfo[ConfigError]) -> list[Problem]:
    return [each for each in caught.value.problems if "task.kind" in each.keys]


@cases
def test_on_the_command_line(kind: str, key: str, value: str, why: str, file: Path) -> None:
    guessed, _ = resolve(None, asked(file), {})
    assert guessed.config.task.kind == kind
    with pytest.raises(ConfigError) as found:
        resolve(None, asked(file, f"{key}={value}"), {})
    with pytest.raises(ConfigError) as given:
        load(None, asked(file, f"task.kind={kind}", f"{key}={value}"))
    assert problems(found) == problems(given)
    (problem,) = problems(found)
    assert why in problem.message
    assert problem.mend
    assert problem.keys[0] == key
    assert problem.place is not None
    assert problem.place.source == f"--set {key}={value}"


@cases
def test_in_the_setup(kind: str, key: str, value: str, why: str, file: Path) -> None:
    draft = Draft(file.parent, None)
    draft.choose_task(OWN)
    draft.change(key, value)
    draft.change("task.train_file", str(file))
    request = draft.asked
    assert request is not None
    assert draft.take(data_source.read(request))
    assert [each.keys[0] for each in draft.problems] == [key]
    assert why in draft.problems[0].message


@pytest.mark.parametrize("kind", ["classification"])
@pytest.mark.parametrize(("key", "value", "why"), [SMART, FIRST_TOKEN])
def test_one_class_a_text_is_fine(key: str, value: str, why: str, file: Path) -> None:
    resolve(None, asked(file, f"{key}={value}"), {})


@pytest.mark.parametrize(
    ("name", "kind"), [("demo", "classification"), ("sts-b", "regression"), ("no such", None)]
)
def test_what_a_task_known_by_name_is(name: str, kind: str | None) -> None:
    assert TaskSettings.model_construct(name=name, kind="token").data_kind == kind
