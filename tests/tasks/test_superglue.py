"""SuperGLUE from its official folder and the hub; XNLI and PAWS-X by language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from calisr_engine.errors import DataError, UnavailableError
from calisr_engine.tasks import glue, hub_parquet
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.superglue import TASKS

COPA = {"premise": "He broke his toe.", "choice1": "It hurt.", "choice2": "A hammer fell on it."}
WIC = {"word": "bank", "start1": 4, "end1": 8, "start2": 0, "end2": 5}
ROWS: dict[str, list[dict[str, Any]]] = {
    "boolq": [
        {"question": "is it so", "passage": "It is.", "label": True},
        {"question": "is it not", "passage": "It is.", "label": False},
    ],
    "cb": [
        {"premise": "p", "hypothesis": "h", "label": label}
        for label in ("neutral", "entailment", "contradiction")
    ],
    "copa": [
        {**COPA, "question": "cause", "label": 1},
        {**COPA, "question": "effect", "label": 0},
    ],
    "wic": [
        {"sentence1": "the bank is old", "sentence2": "Banks lend", "label": True, **WIC},
        {"sentence1": "the bank of it", "sentence2": "Banks lend", "label": False, **WIC},
    ],
}
LANGUAGES = [task for task in TASKS if task.languages]


def folder(tmp_path: Path, name: str) -> Path:
    """The official folder of a task, in small."""
    place = tmp_path / glue.find(name).folder
    place.mkdir()
    lines = "\n".join(json.dumps({**row, "idx": n}) for n, row in enumerate(ROWS[name]))
    for file in ("train.jsonl", "val.jsonl"):
        (place / file).write_text(lines)
    (place / "test.jsonl").write_text(lines.replace('"label"', '"hidden"'))
    return tmp_path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub whose data sets are files here."""

    def find(name: str) -> hub_parquet.HubData:
        repository, _, config = name.partition(":")
        task = next(each for each in TASKS if each.hub_id == repository and _is(each, config))
        if task.languages:
            one, other = task.hub_columns
            rows = [{one: f"{config} {n}", other: "x", "label": n % 2} for n in range(4)]
        else:
            rows = [{**row, "label": _number(task, row["label"])} for row in ROWS[task.name]]
        path = tmp_path / f"{task.name}-{config}.parquet"
        parquet.write_table(pa.Table.from_pylist(rows), path)
        return hub_parquet.HubData(name, {"train": (path,), "validation": (path,)})

    monkeypatch.setattr(hub_parquet, "find", find)


def _is(task: Any, config: str) -> bool:
    return config in task.languages or config == task.name


def _number(task: Any, label: Any) -> int:
    return task.file_labels.index(str(label).lower())


@pytest.mark.parametrize("name", list(ROWS))
def test_folder_and_hub_say_the_same(name: str, tmp_path: Path, hub: None) -> None:
    of_folder = load_task(TaskSettings(name=name, data_dir=folder(tmp_path, name)))
    of_hub = load_task(TaskSettings(name=name))
    assert of_folder.fingerprint == of_hub.fingerprint
    assert len(of_folder.test["test"]) == len(ROWS[name])
    assert of_folder.label_names == glue.find(name).label_names
    named = [of_folder.label_names[label] for label in of_folder.train.label or ()]
    wanted = {"boolq": ["yes", "no"], "wic": ["same", "different"]}
    wanted["copa"] = ["choice2", "choice1"]
    assert named == wanted.get(name, [row["label"] for row in ROWS[name]])


def test_copa_asks_its_question_behind_the_premise(tmp_path: Path) -> None:
    data = load_task(TaskSettings(name="COPA", data_dir=folder(tmp_path, "copa")))
    assert data.kind == "choice"
    cause, effect = ("What was the cause of this?", "What happened as a result?")
    assert data.train.text == tuple(f"{COPA['premise']} {each}" for each in (cause, effect))
    assert data.test["test"].choices == ((COPA["choice1"], COPA["choice2"]),) * 2


def test_an_alternative_of_copa_that_is_not_there(tmp_path: Path) -> None:
    root = folder(tmp_path, "copa")
    rows = [ROWS["copa"][0], {**ROWS["copa"][1], "choice2": ""}]
    (root / "COPA" / "val.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="line 2, column 'choice2': the alternative is empty"):
        load_task(TaskSettings(name="copa", data_dir=root))


def test_the_word_of_wic_is_marked_in_both_sentences(tmp_path: Path) -> None:
    data = load_task(TaskSettings(name="WiC", data_dir=folder(tmp_path, "wic")))
    assert data.train.text[0] == "the * bank * is old"
    assert data.train.text_pair == ("* Banks * lend",) * 2


@pytest.mark.parametrize(
    ("places", "column", "said"),
    [
        ({"end1": 16}, "end1", "'16' is no place in the 14 characters of 'the bank of it'"),
        ({"end1": 0, "start1": 0}, "end1", "'0' is no place"),
        ({"start1": -1}, "start1", "'-1' is no place"),
        ({"start1": 15, "end1": 15}, "start1", "'15' is no place"),
        ({"start1": "4"}, "start1", "'4' is no place"),
        ({"start1": None}, "start1", "'None' is no place"),
        ({"start2": True}, "start2", "'True' is no place"),
        ({"start1": 8}, "end1", "ends at 8 and begins at 8"),
    ],
)
def test_the_word_of_wic_lies_in_its_sentence(
    places: dict[str, Any], column: str, said: str, tmp_path: Path
) -> None:
    root = folder(tmp_path, "wic")
    good, row = ROWS["wic"]
    lines = [json.dumps(good), json.dumps({**row, **places})]
    (root / "WiC" / "val.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        load_task(TaskSettings(name="WiC", data_dir=root))
    assert f"val.jsonl, line 2, column '{column}': " in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint.startswith("write ")


def test_the_last_word_of_a_sentence_is_in_it(tmp_path: Path) -> None:
    root = folder(tmp_path, "wic")
    line = json.dumps({**ROWS["wic"][1], "start1": 12, "end1": 14})
    (root / "WiC" / "val.jsonl").write_text(line)
    data = load_task(TaskSettings(name="WiC", data_dir=root))
    assert data.validation["validation"].text == ("the bank of * it *",)


@pytest.mark.parametrize("task", LANGUAGES, ids=lambda task: task.name)
def test_languages_train_and_validate(task: Any, hub: None) -> None:
    def loaded(**more: Any) -> TaskData:
        return load_task(TaskSettings(name=task.name, **more))

    usual = loaded()
    assert usual.train.text[0] == "en 0"
    assert list(usual.validation) == ["validation"]
    other = loaded(train_language="de", eval_languages=("fr", "zh"))
    assert other.train.text[0] == "de 0"
    assert [rows.text[0] for rows in other.validation.values()] == ["fr 0", "zh 0"]
    assert any("de trains, fr, zh validates" in note for note in other.notes)


@pytest.mark.parametrize(
    ("name", "said"), [("xnli", "XNLI has no language 'xx'"), ("rte", "RTE has no language 'xx'")]
)
def test_a_language_that_there_is_not(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TaskSettings(name=name, eval_languages=("xx",))


def test_a_folder_without_the_task(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no folder of CB in it"):
        load_task(TaskSettings(name="cb", data_dir=tmp_path))


def test_submissions_are_of_glue_alone() -> None:
    assert not {task.name for task in TASKS} & set(glue.names())
    assert {task.name for task in TASKS} < set(glue.known())
