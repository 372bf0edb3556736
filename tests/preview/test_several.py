"""Guesses about own data whose rows have several labels, a tag a word, or alternatives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.preview.guess import guess, lacking
from calisr_engine.preview.look import look
from calisr_engine.tasks.settings import TaskSettings
from tests.preview.test_guess import COUNT, csv_cell, lines, said
from tests.training.more_kinds import write_words


def rows_of(name: str, folder: Path) -> Path:
    """Files with more than one label a row."""
    texts = [said(row) for row in range(COUNT)]
    sets = [
        [t for t, on in zip("abc", f"{row % 8:03b}", strict=True) if on == "1"]
        for row in range(COUNT)
    ]
    path = folder / (
        "data.csv" if name in ("joint", "flags", "one name", "named") else "data.jsonl"
    )
    if name == "joint":
        body = lines("text,topics", lambda n: f"{csv_cell(texts[n])},{'; '.join(sets[n])}")
    elif name == "one name":  # a comma in the name of a class
        body = lines(
            "text;category", lambda n: f"{csv_cell(texts[n])};{('Arts, Crafts', 'Food')[n % 2]}"
        )
    elif name in ("flags", "named"):
        head = "text,rude,spam,ad" + (",label" if name == "named" else "")
        more = [f",{n % 2}" if name == "named" else "" for n in range(COUNT)]
        body = lines(
            head,
            lambda n: (
                f"{csv_cell(texts[n])}," + ",".join(str(int(t in sets[n])) for t in "abc") + more[n]
            ),
        )
    elif name == "lists":
        body = "\n".join(
            json.dumps({"text": t, "labels": s}) for t, s in zip(texts, sets, strict=True)
        )
    else:
        words = [text.split() for text in texts]
        tags = [["B-X" if w == "the" else "O" for w in row] for row in words]
        body = "\n".join(
            json.dumps({"id": n, "pos": [w[0] for w in row], "tokens": row, "ner_tags": tags[n]})
            for n, row in enumerate(words)
        )
    path.write_text(body, encoding="utf-8")
    return path


SEVERAL: dict[str, dict[str, Any]] = {
    "joint": {"kind": "multi_label", "label_column": "topics", "label_separator": ";"},
    "lists": {"kind": "multi_label", "label_column": "labels"},
    "flags": {"kind": "multi_label", "label_columns": ("rude", "spam", "ad")},
    "named": {"kind": "classification", "label_column": "label"},
    "one name": {"kind": "classification", "label_column": "category"},
    "words": {"kind": "token", "text_column": "tokens", "label_column": "ner_tags"},
}


@pytest.mark.parametrize("name", list(SEVERAL))
def test_more_than_one_label_a_row(name: str, tmp_path: Path) -> None:
    found = guess({"train_file": rows_of(name, tmp_path)})
    expected = {"text_column": "text", **SEVERAL[name]}
    keys = {*expected, "label_columns", "label_separator", "label_column"}
    values = {key: value for key, value in found.values.items() if key in keys}
    assert values == expected
    assert all(found.why[key] for key in values)
    task = TaskSettings.model_validate({**found.values, "train_file": tmp_path / found.table.path})
    seen = look(task, found)
    assert seen.problem is None
    assert seen.sets[0].labels


def choices_of(name: str, folder: Path) -> Path:
    """Forty rows as COPA, PIQA, HellaSwag or a pair of answers has them."""
    texts = [f"the man number {n} went home" for n in range(40)]
    own = {
        "copa": ("premise", ("choice1", "choice2"), {"question": ["cause", "effect"]}),
        "piqa": ("goal", ("sol1", "sol2"), {}),
        "letters": ("context", ("answerA", "answerB", "answerC"), {"question": texts}),
        "names": ("ctx", ("ending0", "ending1"), {}),
        "many": ("text", ("option_a", "option_b"), {}),
    }
    text, columns, more = own[name]
    rows = []
    for n, each in enumerate(texts):
        row: dict[str, Any] = {text: each, **{c: f"{c} says so {n}" for c in columns}}
        row |= {key: values[n % len(values)] for key, values in more.items()}
        label: Any = n % len(columns)
        label = f"ending{label}" if name == "names" else n % 5 if name == "many" else label
        rows.append(row | {"id": f"x{n}", "label": label})
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


CHOICES: dict[str, dict[str, Any]] = {
    "copa": {"text_column": "premise", "text_pair_column": "question"},
    "piqa": {"text_column": "goal"},
    "letters": {"text_column": "context", "text_pair_column": "question"},
    "names": {"text_column": "ctx"},
}


@pytest.mark.parametrize("name", list(CHOICES))
def test_alternatives_in_columns_that_count_them(name: str, tmp_path: Path) -> None:
    found = guess({"train_file": choices_of(name, tmp_path)})
    known = [each for each in found.columns if each.name.startswith(("cho", "sol", "ans", "end"))]
    columns = tuple(each.name for each in known)
    wanted = {"kind": "choice", "choice_columns": columns, "label_column": "label"}
    keys = {*wanted, "text_column", "text_pair_column"}
    values = {key: value for key, value in found.values.items() if key in keys}
    assert values == wanted | CHOICES[name]
    assert all(found.why[key] for key in values)
    seen = look(TaskSettings.model_validate(found.values | {"train_file": found.table.path}), found)
    assert seen.problem is None
    assert seen.lengths is not None
    assert seen.lengths.rows == len(columns) * seen.sets[0].rows
    assert [each["role"] for each in seen.columns].count("choice") == len(columns)


def test_labels_that_are_no_alternatives_are_classes(tmp_path: Path) -> None:
    path = choices_of("many", tmp_path)
    assert guess({"train_file": path}).values["kind"] == "classification"
    asked = guess({"train_file": path, "kind": "choice"}).values
    assert asked["choice_columns"] == ("option_a", "option_b")
    named = {"train_file": path, "choice_columns": ("option_a", "text"), "text_column": "option_b"}
    assert guess(named).values["kind"] == "choice"


def test_one_wrong_label_among_alternatives_is_told_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    rows = [f"what {n},the cat {n},the dog {n},{n % 2}" for n in range(9)]
    path.write_text("\n".join(["text,choice1,choice2,label", *rows, "what,a,b,7"]) + "\n")
    found = guess({"train_file": path})
    assert found.values["kind"] == "choice"
    seen = look(TaskSettings.model_validate(found.values | {"train_file": path}), found)
    assert seen.problem is not None
    assert "line 11" in seen.problem.message


def test_a_choice_without_columns_that_count_says_how_to_name_them(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,good,bad,label\n" + "a b c,d,e,0\nf g h,i,j,1\n" * 5)
    found = guess({"train_file": path, "kind": "choice"})
    told = lacking({"kind": "choice", **found.values}, found.columns, path)
    assert told is not None
    assert "no column looks like an alternative" in told.message
    assert told.hint.startswith("name it with --choices; columns: 'text', 'good'")


def test_a_file_in_the_format_of_conll(tmp_path: Path) -> None:
    path = write_words(tmp_path / "train.txt")
    (tmp_path / "README.txt").write_text("Words about the data.\n")
    found = guess({"train_file": tmp_path})
    wanted = {"text_column": "column 1", "label_column": "column 2", "kind": "token"}
    assert wanted.items() <= found.values.items()
    assert found.values["train_file"] == path


@pytest.mark.parametrize(
    ("count", "start", "label"),
    [(2, 1, lambda n: n % 2 + 1), (2, 0, lambda n: "AB"[n % 2]), (12, 0, lambda n: n % 12)],
)
def test_alternatives_are_never_left_out_without_a_word(
    count: int, start: int, label: Any, tmp_path: Path
) -> None:
    """Labels that count from 1, or are letters, are refused when they are read; ten and more
    alternatives have numbers of two digits."""
    names = [f"choice{place}" for place in range(start, start + count)]
    path = tmp_path / "a.csv"
    path.write_text(
        lines(
            ",".join(["premise", *names, "label"]),
            lambda n: ",".join(
                [csv_cell(said(n)), *[f"as it was {n} {name}" for name in names], str(label(n))]
            ),
        )
    )
    found = guess({"train_file": path}).values
    assert found["kind"] == "choice"
    assert found["choice_columns"] == tuple(names)
    assert found["label_column"] == "label"


@pytest.mark.parametrize("fraction", [",0", ",5", ",25", "", ",125"])
def test_decimals_with_a_comma_are_not_two_labels(fraction: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        lines(
            "text;score", lambda n: f"{csv_cell(said(n))};{n % 4}{(f',{n % 3}', fraction)[n % 2]}"
        )
    )
    found = guess({"train_file": path}).values
    assert (found["kind"], found["label_column"]) == ("regression", "score")
    assert guess({"train_file": path, "kind": "multi_label"}).values["label_separator"] == ","
    path.write_text(path.read_text().replace("score", "labels"))
    assert guess({"train_file": path}).values["kind"] == "multi_label"
    path.write_text(lines("text;topics", lambda n: f"{csv_cell(said(n))};{n % 4}{',7' * (n % 3)}"))
    assert guess({"train_file": path}).values["kind"] == "multi_label"


def test_numbered_tags_of_texts_of_one_length_are_tags_where_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"tokens": said(n).split()[:4], "ner_tags": [0, n % 3, 0, 1]} for n in range(COUNT)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = guess({"train_file": path, "kind": "token"}).values
    assert (found["text_column"], found["label_column"]) == ("tokens", "ner_tags")
