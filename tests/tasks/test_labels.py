"""A label is its text; the same cell is the same class in every file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from calisr_engine.errors import DataError
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.settings import TaskSettings


def write(path: Path, labels: list[Any]) -> Path:
    """A file of numbered texts with these labels, in the format of its ending."""
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table({"text": [r["text"] for r in rows], "label": labels}), path)
    else:
        comma = "\t" if path.suffix == ".tsv" else ","
        lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows)]
        path.write_text("\n".join(lines).replace(",", comma))
    return path


def task(train: Path, validation: Path) -> TaskData:
    return load_task(
        TaskSettings(
            name="mine",
            train_file=train,
            validation_file=validation,
            text_column="text",
            label_column="label",
            kind="classification",
        )
    )


def classes(data: TaskData) -> tuple[list[str], list[str]]:
    """The name of each row's class, of training and of validation."""
    names, sets = data.label_names, (data.train, data.validation["validation"])
    assert names is not None
    train, validation = ([names[int(label)] for label in each.label or ()] for each in sets)
    return train, validation


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_labels_that_look_like_one_number_stay_apart(ending: str, tmp_path: Path) -> None:
    labels = ["007", "7", "+7", "7.0", "7e0", "1_000", "1000", "1e3", "٧"]
    path = write(tmp_path / f"t.{ending}", labels)
    data = task(path, path)
    assert classes(data) == (labels, labels)
    assert any("'7e0' are 6 classes, since a label is its text" in note for note in data.notes)


def test_spaces_around_a_label_do_not_count(tmp_path: Path) -> None:
    train = write(tmp_path / "t.csv", [" pos", "neg ", "pos"])
    validation = write(tmp_path / "v.jsonl", ["\tpos ", "neg"])
    assert classes(task(train, validation)) == (["pos", "neg", "pos"], ["pos", "neg"])


def test_a_whole_number_is_the_text_of_its_digits(tmp_path: Path) -> None:
    train = write(tmp_path / "t.csv", ["10", "9", "-3"])
    for labels in ([9, 10, -3], [9, "10", "-3 "]):
        data = task(train, write(tmp_path / "v.jsonl", labels))
        assert data.label_names == ("-3", "9", "10")
        assert classes(data)[1] == ["9", "10", "-3"]


def test_one_and_one_point_zero_are_one_class_where_all_is_numbers(tmp_path: Path) -> None:
    reals = write(tmp_path / "t.parquet", [1.0, 0.0, 10.0])
    wholes = write(tmp_path / "v.jsonl", [0, 1, 10.0])
    assert classes(task(reals, wholes)) == (["1", "0", "10"], ["0", "1", "10"])
    assert task(reals, wholes).label_names == task(wholes, reals).label_names == ("0", "1", "10")
    with pytest.raises(DataError, match=r"line 2, column 'label': unknown label '0'") as caught:
        task(reals, write(tmp_path / "v.csv", ["0", "1"]))
    assert "did you mean '0.0'? Write it alike in all files" in caught.value.hint
    written = write(tmp_path / "v.csv", ["0.0", "1.0"])
    assert classes(task(reals, written)) == (["1.0", "0.0", "10.0"], ["0.0", "1.0"])


def test_booleans_of_all_formats_meet(tmp_path: Path) -> None:
    typed = write(tmp_path / "t.jsonl", [True, False, "TRUE"])
    for path in (
        write(tmp_path / "v.parquet", [False, True]),
        write(tmp_path / "v.csv", ["False", "True"]),
        write(tmp_path / "v.tsv", ["FALSE", "true"]),
    ):
        data = task(typed, path)
        assert data.label_names == task(path, typed).label_names == ("false", "true")
        assert classes(data) == (["true", "false", "true"], ["false", "true"])
    texts = write(tmp_path / "t.csv", ["True", "False"])
    assert task(texts, texts).label_names == ("False", "True")


def test_minus_one_as_a_mark_of_no_label_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "t.csv", ["0", "1", "2"])
    marked = write(tmp_path / "v.parquet", [0, 1, 2, -1, -1])
    for train, validation in ((marked, good), (good, marked)):
        with pytest.raises(
            DataError, match=r"v\.parquet, row 4, column 'label': the label -1"
        ) as no:
            task(train, validation)
        assert "2 of 5 rows" in no.value.message
        assert "another name" in no.value.hint


def test_minus_one_beside_zero_and_one_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ["0", "1", "-1", "-1"])
    data = task(path, path)
    assert data.label_names == ("-1", "0", "1")
    assert any("2 of 4 rows have the label -1" in note for note in data.notes)


def test_minus_one_of_sentiment_is_a_class(tmp_path: Path) -> None:
    for labels in (["1", "-1"], ["-2", "-1", "0", "1", "2"], ["-1", "pos", "0"]):
        path = write(tmp_path / "t.csv", labels)
        data = task(path, path)
        assert len(data.label_names or ()) == len(labels)
        assert not any("-1" in note for note in data.notes)


def test_validation_whose_labels_are_hidden_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "t.parquet", [0, 1])
    with pytest.raises(DataError, match="unknown label '-1'") as caught:
        task(train, write(tmp_path / "v.parquet", [-1, -1]))
    assert "public data sets mark rows without a label so" in caught.value.hint


def test_labels_that_are_no_class(tmp_path: Path) -> None:
    good = write(tmp_path / "t.csv", ["a", "b"])
    for label, message in [
        (1e300, "1e+300 is no class"),
        (float("inf"), "inf is no class"),
        (0.5, "0.5 is no class"),
        ("half \ud83d", r"the label 'half \ud83d' holds half of a character"),
        ({"a": 1}, "an object where a label is expected"),
        (" ", "the label is empty"),
    ]:
        with pytest.raises(DataError) as caught:
            task(good, write(tmp_path / "v.jsonl", ["a", label]))
        assert f"v.jsonl, line 2, column 'label': {message}" in caught.value.message
        assert caught.value.hint


BAD_NAMES = [
    ("a\tc", "a tab, at which tables are cut"),
    ("a\nc", "a line break"),
    ("a\x85c", "a line break"),
    ("a\u2028c", "a line break"),
    ("a \ud83d", "half of a character"),
]


@pytest.mark.parametrize(("name", "why"), BAD_NAMES)
def test_a_name_that_no_table_can_hold_is_refused_where_it_stands(
    name: str, why: str, tmp_path: Path
) -> None:
    """Labels, several labels, tags of words and columns that are labels, by one rule."""
    path, shared = tmp_path / "t.jsonl", {"name": "mine", "train_file": tmp_path / "t.jsonl"}
    kinds = {
        "classification": ("label", ["a", name, "b"]),
        "multi_label": ("label", [["a"], ["a", name], ["b"]]),
        "token": ("tag", [["O"], [name], ["B-x"]]),
    }
    for kind, (what, cells) in kinds.items():
        rows = [{"text": ["w"] if kind == "token" else "w", "label": cell} for cell in cells]
        path.write_text("\n".join(map(json.dumps, rows)))
        columns = {"text_column": "text", "label_column": "label", "kind": kind}
        with pytest.raises(DataError, match=r"t\.jsonl, line 2, column 'label': the") as caught:
            load_task(TaskSettings.model_validate(shared | columns))
        assert f"the {what} {name!r} holds {why}" in caught.value.message
        assert caught.value.hint.startswith("write ")
    if why.startswith("half"):
        return  # no settings can hold it
    path.write_text("\n".join(json.dumps({"text": "w", "a": at, name: 1 - at}) for at in (0, 1)))
    columns = {"text_column": "text", "label_columns": ("a", name), "kind": "multi_label"}
    with pytest.raises(DataError, match=r"t\.jsonl, header: the label"):
        load_task(TaskSettings.model_validate(shared | columns))


def test_spaces_around_a_label_do_not_count_whatever_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", ["a\n", "\tb\u2028", "a"])
    assert task(path, path).label_names == ("a", "b")


# The rules once more, written from their definition.

NUMBERS = ["7", "007", "+7", "7.0", "7e0", "7_0", "70", " 7 ", "0", "0.0", "-7", "1e400", "٧"]
WORDS = ["x", "X", "true", "True", "TRUE", "false", " False"]
TEXTS = st.sampled_from([*NUMBERS, *WORDS])
COLUMNS = {
    "csv": st.lists(TEXTS, min_size=1, max_size=12),
    "tsv": st.lists(TEXTS, min_size=1, max_size=12),
    "parquet": st.one_of(
        st.lists(each, min_size=1, max_size=12)
        for each in (
            TEXTS,
            st.sampled_from([0, 7, 70, -7, 2**60]),
            st.sampled_from([0.0, 7.0, 70.0, -7.0]),
            st.booleans(),
        )
    ),
    "jsonl": st.lists(
        st.one_of(TEXTS, st.sampled_from([0, 7, 70, 7.0, 0.0, True, False, 10**30])),
        min_size=1,
        max_size=12,
    ),
}
COLUMN = st.sampled_from(sorted(COLUMNS)).flatmap(
    lambda ending: st.tuples(st.just(ending), COLUMNS[ending])
)
FOLDER = settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


def same_class(left: Any, right: Any, every: list[Any]) -> bool:
    """Are two cells one class, in a task whose files hold the cells `every`?"""

    def kind(cell: Any) -> str:
        return "truth" if isinstance(cell, bool) else "text" if isinstance(cell, str) else "number"

    kinds = {kind(cell) for cell in every}
    if kinds == {"number"}:
        return bool(left == right)
    words = [cell.strip() if isinstance(cell, str) else repr(cell) for cell in (left, right)]
    truths = [word.lower() for word in words]
    if "truth" in kinds and set(truths) <= {"true", "false"}:
        return truths[0] == truths[1]
    return words[0] == words[1]


@given(train=COLUMN, validation=COLUMN)
@FOLDER
def test_two_cells_are_one_class_as_defined(
    train: tuple[str, list[Any]], validation: tuple[str, list[Any]], tmp_path: Path
) -> None:
    every = [*train[1], *validation[1]]
    assume(not all(same_class(train[1][0], cell, every) for cell in train[1]))
    paths = [
        write(tmp_path / f"{name}.{ending}", cells)
        for name, (ending, cells) in (("t", train), ("v", validation))
    ]
    unknown = [
        cell
        for cell in validation[1]
        if not any(same_class(cell, known, every) for known in train[1])
    ]
    if unknown:
        with pytest.raises(DataError, match="unknown label"):
            task(*paths)
        return
    data = task(*paths)
    found = [name for part in classes(data) for name in part]
    for one, first in zip(found, every, strict=True):
        for two, second in zip(found, every, strict=True):
            assert (one == two) == same_class(first, second, every), (first, second)


@given(cells=st.lists(TEXTS, min_size=2, max_size=12), draw=st.randoms(use_true_random=False))
@FOLDER
def test_the_order_of_classes_depends_on_the_labels_alone(
    cells: list[str], draw: Any, tmp_path: Path
) -> None:
    assume(len({cell.strip() for cell in cells}) > 1)
    orders = set()
    for ending in COLUMNS:
        path = write(tmp_path / f"t.{ending}", draw.sample(cells, len(cells)))
        orders.add(task(path, path).label_names)
    assert len(orders) == 1
