"""Several labels a text: what the files may hold, and what is refused where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_engine.errors import CalisrError, DataError
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.label_sets import as_list
from calisr_engine.tasks.settings import TaskSettings
from tests.training.more_kinds import label_rows, write_labels

NAMES = ("food", "price", "service")


def settings(path: Path, **more: object) -> TaskSettings:
    given = {"label_column": "topics", "text_column": "review", **more}
    return TaskSettings.model_validate(
        {"name": "t", "train_file": path, "kind": "multi_label", **given}
    )


def expected() -> list[tuple[int, ...]]:
    return [tuple(int(name in labels) for name in NAMES) for _, labels in label_rows()]


def rows_of(task: TaskSettings) -> dict[str, tuple[int, ...]]:
    data = load_task(task)
    assert data.label_names is not None
    order = [data.label_names.index(name) for name in NAMES]
    found = {}
    for side in (data.train, data.validation["validation"]):
        for text, label in zip(side.text, side.label or (), strict=True):
            assert isinstance(label, tuple)
            found[text] = tuple(label[place] for place in order)
    return found


@pytest.mark.parametrize("form", ["bars", "json", "python", "lists", "columns", "booleans"])
def test_every_form_says_the_same(form: str, tmp_path: Path) -> None:
    rows = label_rows()
    more: dict[str, object] = {}
    path = tmp_path / "a.jsonl"
    if form == "bars":
        path = write_labels(tmp_path / "a.csv")
        more = {"label_separator": "|"}
    elif form in ("json", "python", "lists"):
        write = {"json": json.dumps, "python": repr, "lists": list}[form]
        lines = [json.dumps({"review": t, "topics": write(labels)}) for t, labels in rows]
        path.write_text("\n".join(lines))
    else:
        flag = bool if form == "booleans" else int
        lines = [
            json.dumps({"review": t, **{n: flag(n in labels) for n in NAMES}}) for t, labels in rows
        ]
        path.write_text("\n".join(lines))
        more = {"label_column": None, "label_columns": NAMES}
    task = settings(path, **more)
    assert rows_of(task) == dict(zip([text for text, _ in rows], expected(), strict=True))
    data = load_task(task)
    assert data.metrics == ("micro_f1", "macro_f1", "subset_accuracy")
    assert any("rows have no label" in note for note in data.notes)
    assert all(data.validation["validation"].classes()[n] for n in range(3))


def test_the_set_that_is_set_aside_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.csv")
    task = settings(path, label_separator="|")
    before = set(load_task(task).validation["validation"].text)
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *reversed(lines)]))
    assert set(load_task(task).validation["validation"].text) == before


BROKEN: dict[str, tuple[str, dict[str, object], str, str]] = {
    "a separator that never comes": (
        "review,topics\na,x|y\nb,x\n",
        {"label_separator": ";"},
        "a.csv, column 'topics': the separator ';' comes in none of its 2 cells",
        "did you mean task.label_separator = '|'?",
    ),
    "no list and no separator": (
        "review,topics\na,x|y\n",
        {},
        "a.csv, line 2, column 'topics': 'x|y' is no list of labels",
        "task.label_separator",
    ),
    "a flag that is none": (
        "review,p,q\na,1,0\nb,2,1\n",
        {"label_column": None, "label_columns": ("p", "q")},
        "a.csv, line 3, column 'p': '2' where 0 or 1 is expected",
        "write 1 where the row has the label",
    ),
    "labels that tell nothing": (
        "review,p,q\na,1,0\nb,1,0\n",
        {"label_column": None, "label_columns": ("p", "q")},
        "each label is that of all rows or of none",
        "add rows",
    ),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_mistakes_name_file_line_and_mend(name: str, tmp_path: Path) -> None:
    content, more, said, mend = BROKEN[name]
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        load_task(settings(path, **more))
    assert said in caught.value.message
    assert mend in caught.value.hint
    assert caught.value.keys


def test_a_label_that_only_the_validation_data_has(tmp_path: Path) -> None:
    train = write_labels(tmp_path / "a.csv")
    other = tmp_path / "v.csv"
    other.write_text("review,topics\nfine,food\nodd,food|foood\n")
    with pytest.raises(DataError) as caught:
        load_task(settings(train, label_separator="|", validation_file=other))
    assert "v.csv, line 3, column 'topics': unknown label 'foood'" in caught.value.message
    assert "did you mean 'food'?" in caught.value.hint


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"label_columns": ("a", "b")}, "label_columns and label_column exclude each other"),
        ({"label_column": None, "label_columns": ("a",)}, "one column only"),
        ({"label_column": None, "label_columns": ("a", "review")}, "is one of label_columns"),
        ({"kind": "classification", "label_separator": "|"}, "label_separator is for several"),
        ({"kind": "token", "text_pair_column": "b"}, "there are two texts"),
        ({"label_column": None}, "own data needs label_column"),
    ],
)
def test_settings_that_exclude_each_other(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(Path("a.csv"), **more)


def test_a_metric_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.csv")
    with pytest.raises(CalisrError, match="accuracy does not fit data with several labels"):
        load_task(settings(path, label_separator="|", metric="accuracy"))


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("['food' 'price']", ["food", "price"]),
        ("['food'\n 'it\\'s' \"that's\"]", ["food", "it's", "that's"]),
        ('["food", "it\'s", "that\'s"]', ["food", "it's", "that's"]),
        ("['food']", ["food"]),
        ("['food' 'price', 'service']", None),
        ("['food''price']", None),
    ],
)
def test_texts_side_by_side_are_never_put_together(cell: str, read: list[str] | None) -> None:
    """numpy writes its lists without commas; where some have one, one was forgotten."""
    assert as_list(cell) == read
