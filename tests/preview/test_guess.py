"""Guesses about own data: files of many kinds, each with what a person would say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.errors import DataError
from calisr_engine.preview.guess import guess, lacking
from calisr_engine.preview.look import look, warnings
from calisr_engine.tasks.settings import TaskSettings

SAID = (
    "the soup came cold and nobody said sorry",
    "a quiet evening, lovely staff 🙂",
    'they said "never again" and left',
    "not worth the long way",
    "we come here every week",
)
COUNT = 40


def said(row: int) -> str:
    return f"{SAID[row % 5]} (visit {row})"


def lines(header: str, line: Any, count: int = COUNT) -> str:
    return "\n".join([header, *(line(row) for row in range(count))]) + "\n"


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


# id: file, content, what is guessed (beside the name)
FILES: dict[str, tuple[str, str | bytes, dict[str, Any]]] = {
    "semicolons and an id": (
        "a.csv",
        lines("id;label;text", lambda n: f"{n};{'pos' if n % 3 else 'neg'};{csv_cell(said(n))}"),
        {"text_column": "text", "label_column": "label", "kind": "classification"},
    ),
    "bars": (
        "a.csv",
        lines("stars|review", lambda n: f"{n % 5 + 1}|{csv_cell(said(n))}"),
        {"text_column": "review", "label_column": "stars", "kind": "classification"},
    ),
    "a mark and the label first": (
        "a.csv",
        "\ufeff" + lines("y,comment", lambda n: f"{n % 2},{csv_cell(said(n))}"),
        {"text_column": "comment", "label_column": "y", "kind": "classification"},
    ),
    "no header": (
        "a.csv",
        lines(f"neg,{csv_cell(said(0))}", lambda n: f"{'pn'[n % 2]},{csv_cell(said(n))}")
        .replace("p,", "pos,")
        .replace("\nn,", "\nneg,"),
        {
            "header": False,
            "text_column": "column 2",
            "label_column": "column 1",
            "kind": "classification",
        },
    ),
    "no header, a number first": (
        "a.tsv",
        lines(f"0.5\t{said(0)}", lambda n: f"{n / 7:.3f}\t{said(n)}"),
        {
            "header": False,
            "text_column": "column 2",
            "label_column": "column 1",
            "kind": "regression",
        },
    ),
    "two texts and targets": (
        "a.tsv",
        lines("sentence1\tsentence2\tscore", lambda n: f"{said(n)}\t{said(n + 1)}\t{n % 9 / 2}"),
        {
            "text_column": "sentence1",
            "text_pair_column": "sentence2",
            "label_column": "score",
            "kind": "regression",
        },
    ),
    "a pair in the other order": (
        "a.tsv",
        lines(
            "hypothesis\tgold\tpremise", lambda n: f"{said(n)}\t{'enc'[n % 3]}\t{said(n) + SAID[0]}"
        ),
        {
            "text_column": "premise",
            "text_pair_column": "hypothesis",
            "label_column": "gold",
            "kind": "classification",
        },
    ),
    "many whole numbers": (
        "a.csv",
        lines("text,age", lambda n: f"{csv_cell(said(n))},{20 + n * 7 % 50}"),
        {"text_column": "text", "label_column": "age", "kind": "regression"},
    ),
    "nested values, booleans": (
        "a.jsonl",
        "\n".join(
            json.dumps({"meta": {"text": n}, "body": said(n), "tags": ["x"], "spam": n % 3 == 0})
            for n in range(COUNT)
        ),
        {"text_column": "body", "label_column": "spam", "kind": "classification"},
    ),
    "names, users and one class in most rows": (
        "a.csv",
        lines(
            "user,created,comment,toxic",
            lambda n: f"u{n:06d},2024-01-{n % 28 + 1:02d},{csv_cell(said(n))},{int(n % 10 == 0)}",
        ),
        {
            "text_column": "comment",
            "label_column": "toxic",
            "kind": "classification",
            "metric": "macro_f1",
        },
    ),
    "not UTF-8": (
        "a.csv",
        lines("texte,classe", lambda n: f"{n} cafés près d'ici,{'oui' if n % 2 else 'été'}").encode(
            "cp1252"
        ),
        {
            "encoding": "cp1252",
            "text_column": "texte",
            "label_column": "classe",
            "kind": "classification",
        },
    ),
    "UTF-16": (
        "a.csv",
        lines("text,label", lambda n: f"{csv_cell(said(n))},{n % 2}").encode("utf-16"),
        {"text_column": "text", "label_column": "label", "kind": "classification"},
    ),
    "huge cells": (
        "a.csv",
        lines("label,text", lambda n: f"{n % 2},{'word ' * (90_000 if n == 3 else 9)}{n}"),
        {"text_column": "text", "label_column": "label", "kind": "classification"},
    ),
}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("case", FILES)
def test_what_a_person_would_say_is_guessed_and_can_be_read(case: str, tmp_path: Path) -> None:
    name, content, expected = FILES[case]
    path = written(tmp_path, name, content)
    found = guess({"train_file": path})
    assert found.values == {"name": "a", **expected}
    assert all(found.why[key] for key in found.values)
    seen = look(TaskSettings(train_file=path, **found.values), found)
    assert seen.problem is None
    rows = COUNT + (1 if "header" in expected else 0)
    assert sum(each.rows for each in seen.sets) == rows
    assert len(seen.head) == 20
    roles = {each["role"]: each["name"] for each in seen.columns if each["role"]}
    assert roles["text"] == expected["text_column"]
    assert roles.get("pair") == expected.get("text_pair_column")
    assert roles["label"] == expected["label_column"]
    json.dumps(seen.to_dict())


def test_what_is_given_stays(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a.csv",
        lines("title,review,stars,genre", lambda n: f"t {n},{csv_cell(said(n))},{n % 5},{n % 2}"),
    )
    given = {"train_file": path, "label_column": "genre", "text_column": "title", "name": "mine"}
    found = guess(given)
    assert found.values == {"kind": "classification"}
    with pytest.raises(DataError, match="no column 'gnre'") as caught:
        guess({"train_file": path, "label_column": "gnre"})
    assert "did you mean 'genre'?" in caught.value.hint


def test_a_folder_gives_its_files(tmp_path: Path) -> None:
    content = lines("text,label", lambda n: f"{csv_cell(said(n))},{n % 2}")
    train = written(tmp_path, "reviews-train.csv", content)
    dev = written(tmp_path, "reviews_dev.csv", content)
    written(tmp_path, "notes.txt", "not data")
    found = guess({"train_file": tmp_path})
    assert found.values["train_file"] == train
    assert found.values["validation_file"] == dev
    assert "test_file" not in found.values
    seen = look(TaskSettings(**found.values), found)
    assert seen.overlap == {"validation": COUNT}
    assert any("40 of 40 validation rows are also in the" in each for each in warnings(seen))
    written(tmp_path, "train.jsonl", "{}")
    with pytest.raises(DataError, match=r"several files could be the training data: rev.*train\.j"):
        guess({"train_file": tmp_path})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no CSV, TSV, JSONL or Parquet file at all"):
        guess({"train_file": tmp_path / "empty"})


def test_what_is_odd_is_told(tmp_path: Path) -> None:
    rows = [f"{csv_cell(said(n))},{n % 2}" for n in range(COUNT)]
    rows += [rows[0], rows[0], f"{csv_cell(said(1))},0", '"",1', '"",0', f"{csv_cell('rare')},7"]
    path = written(tmp_path, "a.csv", "text,label\n" + "\n".join(rows) + "\n")
    found = guess({"train_file": path})
    task = TaskSettings(train_file=path, validation_file=path, max_length=8, **found.values)
    count = lambda text, pair: [len(each.split()) for each in text]  # noqa: E731
    seen = look(task, found, count)
    train = seen.sets[0]
    assert dict(train.labels) == {"0": 24, "1": 21, "7": 1}
    assert (train.duplicates, train.conflicts, train.empty) == (2, 2, 2)
    measured = seen.lengths
    assert measured is not None
    assert (measured.unit, sum(measured.counts)) == ("tokens", len(rows))
    assert measured.cut == pytest.approx(sum(len(r.split()) > 8 for r in task_texts(rows)) / 46)
    told = "\n".join(warnings(seen))
    for words in (
        "46 of 46 validation rows",
        "2 texts come with different labels",
        "2 rows come twice",
        "2 rows have an empty text",
        "longer than max_length = 8",
        "fewer than 5 training rows have the label '7'",
    ):
        assert words in told


def task_texts(rows: list[str]) -> list[str]:
    return [row.rpartition(",")[0].strip('"').replace('""', '"') for row in rows]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na b c,x\nd e,y\n", "too few to set some aside"),
        (lines("text,label", lambda n: f"words of {n},x"), "have the label 'x'"),
        (
            lines("text,label", lambda n: f"words of {n},{n % 2 or ''}"),
            "the label is empty",
        ),
    ],
)
def test_what_training_would_refuse_is_the_problem(
    content: str, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "a.csv", content)
    found = guess({"train_file": path})
    task = TaskSettings(train_file=path, **found.values)
    seen = look(task, found)
    assert seen.problem is not None
    assert words in seen.problem.message
    assert seen.head


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.csv", b"text,label\n", "no row of data below the header"),
        ("a.csv", b"text,label\nab\0c,1\n", "NUL byte"),
        ("a.xlsx", b"PK\3\4", "files ending in .xlsx are not read"),
        ("a.json", b'{\n"text": "a"}', "one JSON object over several lines"),
        ("a.parquet", b"PAR0", "not a readable Parquet file"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        guess({"train_file": path})
    assert words in caught.value.message
    assert str(path) in caught.value.message


def test_a_name_of_several_columns_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,text,label\n" + "one day,two days,a\nmore days,no day,b\n" * 20)
    found = guess({"train_file": path})
    refused = lacking({"train_file": path} | found.values, found.columns, path)
    assert refused is not None
    assert "several are named 'text'" in refused.message
    assert "rename" in refused.hint


def test_an_object_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines("", lambda n: json.dumps({"text": {"a": said(n)}, "label": n % 2})))
    assert guess({"train_file": path}).columns[0].example == "an object"


def test_a_label_is_no_text_for_want_of_another(tmp_path: Path) -> None:
    rows = [{"doc": {"text": f"film {at}"}, "label": "pq"[at % 2]} for at in range(30)]
    nested = tmp_path / "nested.jsonl"
    nested.write_text("\n".join(map(json.dumps, rows)))
    sentences = tmp_path / "lines.txt"
    sentences.write_text("\n".join(f"the film number {at}" for at in range(30)))
    for file, told in ((nested, "'doc' holds lists or objects"), (sentences, "whole texts belong")):
        found = guess({"train_file": file})
        error = lacking(found.values, found.columns, file)
        assert error is not None
        assert error.message.endswith("no column looks like a text")
        assert told in error.hint
