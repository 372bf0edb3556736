"""A choice between alternatives: what files may look like, what is refused, what becomes tokens."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from calisr_engine.errors import ConfigError, DataError
from calisr_engine.tasks.batches import collate, tokenize
from calisr_engine.tasks.choices import asked
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.split import split_rows
from tests.training.more_kinds import choice_rows
from tests.training.tiny_run import tokenizer

NAMES = ("choice1", "choice2")
Row = dict[str, Any]


def settings(path: Path, **more: Any) -> TaskSettings:
    own: dict[str, Any] = {
        "name": "mine",
        "train_file": path,
        "kind": "choice",
        "text_column": "premise",
        "text_pair_column": "question",
        "choice_columns": NAMES,
        "label_column": "label",
    }
    return TaskSettings.model_validate(own | more)


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            form = "excel-tab" if path.suffix == ".tsv" else "excel"
            writer = csv.DictWriter(file, list(rows[0]), dialect=form)
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("named", [False, True], ids=["numbers", "names"])
def test_all_formats_and_both_kinds_of_label_say_the_same(named: bool, tmp_path: Path) -> None:
    rows = [row | ({"label": NAMES[int(row["label"])]} if named else {}) for row in choice_rows()]
    found: list[TaskData] = []
    for ending in ("jsonl", "csv", "tsv", "parquet"):
        found.append(load_task(settings(write(tmp_path / f"data.{ending}", rows))))
    assert len({each.fingerprint for each in found}) == 1
    data = found[0]
    assert (data.kind, data.label_names, data.metrics) == ("choice", NAMES, ("accuracy",))
    train = data.train
    assert train.index is not None
    first = choice_rows()[int(train.index[0])]
    question = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}
    assert train.text[0] == f"{first['premise']} {question[str(first['question'])]}"
    assert train.choices is not None
    assert train.choices[0] == (first["choice1"], first["choice2"])
    plain = load_task(settings(tmp_path / "data.csv", text_pair_column=None))
    assert plain.train.text[0] in {row["premise"] for row in choice_rows()}


def test_a_question_of_other_words_is_taken_as_it_is() -> None:
    assert asked("It fell. ", " Why?") == "It fell. Why?"
    assert asked("It fell.", "") == "It fell."


def changed(**cells: Any) -> list[Row]:
    """Twelve rows, the third with other cells; None takes a column away."""
    rows: list[Row] = [dict(row) for row in choice_rows(12)]
    for name, cell in cells.items():
        for row in rows:
            if cell is None:
                del row[name]
        if cell is not None:
            rows[2][name] = cell
    return rows


MISTAKES: dict[str, tuple[list[Row], dict[str, Any], str, str, str]] = {
    "beyond the last": (
        changed(label=2),
        {},
        "line 3, column 'label': the label '2' is none of the 2 alternatives",
        "from 0 to 1, or the name of its column; alternatives: 'choice1', 'choice2'",
        "task.label_column",
    ),
    "counted from 1": (
        [row | {"label": int(row["label"]) + 1} for row in choice_rows(12)],
        {},
        "the label '2' is none of the 2 alternatives",
        "subtract 1, so that they are 0 to 1",
        "task.label_column",
    ),
    "no label": (
        changed(label=-1),
        {},
        "the label '-1' is none of the 2 alternatives",
        "mark rows without a label so",
        "task.label_column",
    ),
    "an empty alternative": (
        changed(choice2=" "),
        {},
        "line 3, column 'choice2': the alternative is empty",
        "every row has all alternatives",
        "task.choice_columns",
    ),
    "a column that is not there": (
        changed(choice2=None),
        {},
        "there is no column 'choice2'",
        "did you mean 'choice1'?",
        "task.choice_columns",
    ),
    "a list": (
        changed(choice1=["a", "b"]),
        {},
        "line 3, column 'choice1': a list where a text is expected",
        "write a string there",
        "task.choice_columns",
    ),
    "always the first": (
        [row | {"label": 0} for row in choice_rows(12)],
        {},
        "the right alternative of all 12 rows is 'choice1'",
        "shuffle the alternatives of each row",
        "task.label_column",
    ),
}


@pytest.mark.parametrize("case", list(MISTAKES))
def test_data_that_cannot_be_learned(case: str, tmp_path: Path) -> None:
    rows, more, said, mend, key = MISTAKES[case]
    path = write(tmp_path / "data.jsonl", rows)
    with pytest.raises(DataError) as caught:
        load_task(settings(path, validation_file=path, **more))
    assert said in caught.value.message
    assert mend in caught.value.hint
    assert key in caught.value.keys


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"choice_columns": None}, "a choice needs choice_columns"),
        ({"choice_columns": ("choice1",)}, "choice_columns has one column only"),
        ({"choice_columns": ("choice1", "choice1")}, "stands in the list twice"),
        ({"choice_columns": ("choice1", "label")}, "label_column is one of choice_columns"),
        ({"kind": "classification"}, "choice_columns is for a choice between alternatives"),
        ({"label_separator": "|"}, "label_separator is for several labels a text"),
    ],
)
def test_settings_that_exclude_each_other(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(Path("x.csv"), **more)


def test_a_metric_that_does_not_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", choice_rows(20))
    with pytest.raises(ConfigError, match="f1 does not fit data with a choice") as caught:
        load_task(settings(path, metric="f1"))
    assert caught.value.hint == "metrics that fit: accuracy"


def test_rows_with_the_same_alternatives_in_any_order_stay_together() -> None:
    pairs = [(f"right {n}", f"wrong {n}") for n in range(20)]
    rows = Examples(
        ("always this",) * 40,
        label=(0,) * 20 + (1,) * 20,
        choices=(*pairs, *((b, a) for a, b in pairs)),
    )
    split = split_rows(rows, 2, 0.25, 0)
    assert {row % 20 for row in split.train}.isdisjoint({row % 20 for row in split.validation})


def test_each_alternative_is_the_second_of_a_pair() -> None:
    rows = Examples(("ab", "c"), label=(1, 0), choices=(("d", "ef g", "h"), ("i", "j", "k")))
    data = tokenize(rows, tokenizer(), 64, keep=False)
    assert (len(data), data.choices, data.answers, data.terms()) == (2, 3, 2, [1, 1])
    assert data.lengths() == [8, 5]
    batch = collate(data, [1, 0], 0)
    shapes = {name: tuple(each.shape) for name, each in batch.items()}
    assert shapes == {"input_ids": (2, 3, 8), "attention_mask": (2, 3, 8), "labels": (2,)}
    assert batch["labels"].tolist() == [0, 1]
    plain = tokenizer()(["c", "c", "c", "ab", "ab", "ab"], ["i", "j", "k", "d", "ef g", "h"])
    for row, flat in zip(plain["input_ids"], batch["input_ids"].flatten(0, 1), strict=True):
        assert flat.tolist() == row + [0] * (8 - len(row))
    assert torch.equal(batch["attention_mask"].sum(-1), torch.tensor([[5, 5, 5], [6, 8, 6]]))
