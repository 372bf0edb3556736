from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from calisr_engine.errors import CalisrError, ConfigError, DataError
from calisr_engine.tasks import own_files
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.formats import Form, read_table
from calisr_engine.tasks.settings import TaskSettings

GOOD = "text,label\nfine day,pos\nbad day,neg\n"


def settings(train: Path, validation: Path, **more: Any) -> TaskSettings:
    keys: dict[str, Any] = {
        "name": "mine",
        "text_column": "text",
        "label_column": "label",
        "kind": "classification",
    }
    return TaskSettings(train_file=train, validation_file=validation, **(keys | more))


def load(folder: Path, name: str, content: str | bytes, **more: Any) -> TaskData:
    """The task of one file, used both to train and to validate."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    task = settings(path, path, **more)
    data = load_task(task)
    whole = read_table(path, None, Form(task.encoding, task.header))
    assert own_files.read(task, whole) == own_files.read(task)  # handed on, or read again
    return data


def parquet(folder: Path, **columns: Any) -> Path:
    import pyarrow as pa
    from pyarrow import parquet as pq

    path = folder / "data.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_csv_quoting(tmp_path: Path) -> None:
    content = 'label,text\r\nb,"one, two"\r\na,"said ""no""\nand left"\r\nb,plain\r\n'
    data = load(tmp_path, "t.csv", content)
    assert data.train.text == ("one, two", 'said "no"\nand left', "plain")
    assert data.label_names == ("a", "b")
    assert data.train.label == (1, 0, 1)
    assert data.metrics == ("accuracy", "f1")


def test_csv_with_semicolons_and_mark(tmp_path: Path) -> None:
    data = load(tmp_path, "t.csv", "\ufefftext;label\na, b;1\nc;0\n")
    assert data.train.text == ("a, b", "c")


def test_tsv_quotes_are_plain_unless_the_header_is_quoted(tmp_path: Path) -> None:
    plain = load(tmp_path, "t.tsv", 'text\tlabel\n"open\t1\nb ""\t0\n')
    assert plain.train.text == ('"open', 'b ""')
    quoted = load(tmp_path, "q.tsv", '"text"\t"label"\n"a\tb"\t"1"\n"c"\t"0"\n')
    assert quoted.train.text == ("a\tb", "c")


def test_rare_line_separators_do_not_cut_rows(tmp_path: Path) -> None:
    data = load(tmp_path, "t.tsv", "text\tlabel\na\u2028b\x85c\t1\nd\t0\n")
    assert data.train.text == ("a\u2028b\x85c", "d")


def test_jsonl_types(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": True}, {"label": False, "text": "b", "more": [1]}]
    data = load(tmp_path, "t.jsonl", "\n\n".join(map(json.dumps, rows)))
    assert data.label_names == ("false", "true")
    assert data.train.label == (1, 0)


def test_parquet_with_numbers(tmp_path: Path) -> None:
    path = parquet(tmp_path, text=["a", "b", "c"], label=[10, 2, -1])
    data = load_task(settings(path, path))
    assert data.label_names == ("-1", "2", "10")
    assert data.metrics == ("accuracy", "macro_f1")


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    data = load(tmp_path, "t.csv", "text,label\na,10\nb,9\nc,-1.0\n")
    assert data.label_names == ("-1.0", "9", "10")
    mixed = load(tmp_path, "t.csv", "text,label\na,10\nb,9\nc,x\n")
    assert mixed.label_names == ("10", "9", "x")


def test_regression_and_pairs(tmp_path: Path) -> None:
    content = "text,other,label\na,x,0.5\nb,y,-2\n"
    more = {"kind": "regression", "text_pair_column": "other"}
    data = load(tmp_path, "t.csv", content, **more)
    assert data.label_names is None
    assert data.train.label == (0.5, -2.0)
    assert data.train.text_pair == ("x", "y")
    assert data.metric == "spearman"
    table = data.prediction_table("validation", torch.tensor([[0.25], [1.5]]))
    assert table == "index\tlabel\tprediction\n0\t0.5\t0.25\n1\t-2.0\t1.5\n"


def test_scores_and_prediction_table(tmp_path: Path) -> None:
    data = load(tmp_path, "t.csv", GOOD)
    logits = torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    assert data.score("validation", logits)["accuracy"] == 0.5
    assert data.score_notes("validation", logits) == []
    correlated = load(tmp_path, "t.csv", GOOD, metric="matthews")
    (note,) = correlated.score_notes("validation", logits)
    assert "all predictions are equal (1), so Matthews correlation is not defined" in note
    assert data.prediction_table("validation", logits) == (
        "index\tlabel\tprediction\tlogit neg\tlogit pos\n"
        "0\tpos\tpos\t0.0\t1.0\n1\tneg\tpos\t0.0\t2.0\n"
    )
    with pytest.raises(CalisrError, match="not finite"):
        data.score("validation", logits / 0.0)


def test_test_file_needs_no_labels(tmp_path: Path) -> None:
    extra = tmp_path / "test.csv"
    extra.write_text("text\nnew one\n")
    data = load(tmp_path, "t.csv", GOOD, test_file=extra)
    assert data.test["test"].text == ("new one",)
    table = data.prediction_table("test", torch.tensor([[1.0, 0.0]]), "test")
    assert table.splitlines()[1] == "0\tneg\t1.0\t0.0"


def test_notes_on_overlap_empty_texts_and_absent_classes(tmp_path: Path) -> None:
    train, validation = tmp_path / "a.csv", tmp_path / "b.csv"
    train.write_text(GOOD + '"",pos\n')
    validation.write_text("text,label\nfine day,pos\n")
    notes = load_task(settings(train, validation)).notes
    assert any("1 of 1 validation rows are also in the training data" in note for note in notes)
    assert any("1 of 3 texts are empty, the first in line 4" in note for note in notes)
    assert any("no row with the label 'neg'" in note for note in notes)


def test_subsampling_is_a_fixed_choice(tmp_path: Path) -> None:
    content = "text,label\n" + "".join(f"t{n},{n % 2}\n" for n in range(100))
    small = load(tmp_path, "t.csv", content, max_train_examples=20)
    again = load(tmp_path, "t.csv", content, max_train_examples=20)
    larger = load(tmp_path, "t.csv", content, max_train_examples=40)
    assert small.train == again.train
    assert small.fingerprint == again.fingerprint != larger.fingerprint
    assert set(small.train.text) < set(larger.train.text)
    assert len(small.validation["validation"]) == 100
    assert any("20 of 100 training rows" in note for note in small.notes)
    limited = load(tmp_path, "t.csv", content, max_validation_examples=7)
    assert len(limited.validation["validation"]) == 7


def test_metric_by_name(tmp_path: Path) -> None:
    data = load(tmp_path, "t.csv", GOOD, metric="matthews")
    assert data.metrics == ("matthews", "accuracy", "f1")
    with pytest.raises(ConfigError, match="pearson does not fit"):
        load(tmp_path, "t.csv", GOOD, metric="pearson")


REG = {"kind": "regression"}
PAIR = {"text_pair_column": "other"}
# name -> (file name, content, settings, words of the message, words of the hint)
BAD: dict[str, tuple[str, str | bytes, dict[str, Any], str, str]] = {
    "empty csv": ("t.csv", "", {}, "t.csv: the file is empty", "data"),
    "blank csv": ("t.csv", "\n \n\n", {}, "the file is empty", "data"),
    "mark only": ("t.csv", b"\xef\xbb\xbf", {}, "the file is empty", "data"),
    "header only csv": ("t.csv", "text,label\n", {}, "no row of data below the header", "rows"),
    "header only tsv": ("t.tsv", "text\tlabel\n", {}, "no row of data below the header", "rows"),
    "text column": (
        "t.csv",
        "Txet,label\na,b\nc,d\n",
        {},
        "no column 'text'",
        "did you mean 'Txet'?",
    ),
    "label column": ("t.csv", "text,lable\na,b\n", {}, "no column 'label'", "'lable'"),
    "pair column": ("t.csv", GOOD, PAIR, "no column 'other'", "columns: 'text', 'label'"),
    "two columns": ("t.csv", "text,label,label\na,b,c\n", {}, "2 columns named 'label'", "rename"),
    "latin-1": ("t.csv", GOOD.encode() + b"caf\xe9,pos\n", {}, "line 4: byte 4 (0xe9)", "UTF-8"),
    "bad after mark": ("t.csv", b"\xef\xbb\xbfte\xffxt\n", {}, "line 1: byte 6 (0xff)", "UTF-8"),
    "half of utf-16": (
        "t.csv",
        GOOD.encode("utf-16") + b"\0",
        {},
        "begins as UTF-16, and byte",
        "save it as UTF-8",
    ),
    "nul": ("t.csv", GOOD + "a\0b,pos\n", {}, "line 4: there is a NUL byte", "text"),
    "few fields": ("t.csv", GOOD + "alone\n", {}, "line 4: 1 field where the header has 2", "com"),
    "more fields": ("t.csv", GOOD + "a,b,c\n", {}, "line 4: 3 fields", "need quotes"),
    "ragged tsv": ("t.tsv", "text\tlabel\na\tb\nc\n", {}, "line 3: 1 field", "tabs"),
    "open quote": ("t.csv", GOOD + '"never closed,pos\nx,neg\n', {}, "line 4: the quoting", '""'),
    "text after quote": ("t.csv", GOOD + '"a"b,pos\n', {}, "line 4: the quoting is broken", '""'),
    "row after break": (
        "t.csv",
        'text,label\n"a\nb",pos\nc,\n',
        {},
        "line 4, column 'label': the label is empty",
        "fill it in",
    ),
    "empty label": ("t.csv", GOOD + "c,\n", {}, "line 4, column 'label': the label is empty", ""),
    "nan label": ("t.csv", GOOD + "c,NaN\n", {}, "line 4, column 'label': the label is NaN", ""),
    "fraction": ("t.jsonl", '{"text": "a", "label": 0.5}', {}, "0.5 is no class", "regression"),
    "one class": ("t.csv", "text,label\na,x\nb,x\n", {}, "all 2 rows have the label 'x'", "class"),
    "all classes": (
        "t.csv",
        "text,label\n" + "".join(f"t,{n}.5\n" for n in range(99)),
        {},
        "99 different labels in 99 rows",
        "regression",
    ),
    "all texts empty": ("t.csv", 'text,label\n"",a\n"",b\n', {}, "every text is empty", "column"),
    "word as target": ("t.csv", GOOD, REG, "line 2, column 'label': 'pos' is not a number", "kind"),
    "comma": ("t.csv", 'text,label\na,"1,500"\n', REG, "'1,500' is not a number", "a point"),
    "comma and point": ("t.csv", 'text,label\na,"1,5"\nb,1.5', REG, "'1,5' is not a", "a point"),
    "empty target": ("t.csv", "text,label\na,1\nb,\n", REG, "line 3, column 'label': the la", ""),
    "nan target": ("t.csv", "text,label\na,nan\n", REG, "line 2, column 'label': the label", ""),
    "infinite target": ("t.csv", "text,label\na,inf\n", REG, "line 2, column 'label': 'inf'", ""),
    "one value": ("t.csv", "text,label\na,2\nb,2\n", REG, "every row has the value 2.0", "one"),
    "json list": ("t.jsonl", '["a", 1]\n', {}, "line 1: a string where an object", "a line"),
    "json number": ("t.jsonl", '{"text": "a", "label": 1}\n7', {}, "line 2: a number", "object"),
    "json pretty": ("t.json", '{\n"text": "a"\n}', {}, "one JSON object over several", "a list"),
    "json late": ("t.json", '\n\n{\n"text": "a"\n}', {}, "one JSON object over several", "a list"),
    "json open": ("t.json", '[\n{"text": "a"}\n', {}, "line 3: not valid JSON", "one JSON object"),
    "json comma": ("t.json", '[{"text": "a"},\n]', {}, "line 2: not valid JSON", "one JSON object"),
    "json between": ("t.json", '[{"text": "a"}\n{}]', {}, "line 2: not valid JSON", "a list"),
    "json behind": ("t.json", '[{"text": "a"}]\n{}', {}, "line 1: not valid JSON", "a list"),
    "json null": ("t.json", '[{"text": "a"},\n null]', {}, "line 2: null where an obj", "object"),
    "json cell": ("t.json", '[{"text": "a", "label": 1},\n{}]', {}, "line 2, column 'label'", ""),
    "json broken": ("t.jsonl", '{"text": "a", "label": 1}\n{"te', {}, "line 2: not valid", "obj"),
    "json deep": (
        "t.jsonl",
        "[" * 200_000,
        {},
        "line 1: not valid JSON for this program: nested",
        "obj",
    ),
    "json no label": (
        "t.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b"}',
        {},
        "line 2, column 'label': the label is empty",
        "",
    ),
    "json nan": (
        "t.jsonl",
        '{"text": "a", "label": NaN}',
        {},
        "line 1, column 'label': the label is NaN",
        "",
    ),
    "json label list": ("t.jsonl", '{"text": "a", "label": [1]}', {}, "a list where a label", ""),
    "json text list": (
        "t.jsonl",
        '{"text": ["a"], "label": 1}\n{"text": "b", "label": 0}',
        {},
        "line 1, column 'text': a list where a text is expected",
        "string",
    ),
    "json text null": (
        "t.jsonl",
        '{"text": null, "label": 1}\n{"text": "b", "label": 0}',
        {},
        "line 1, column 'text': there is no text",
        "",
    ),
    "empty parquet": ("t.parquet", b"", {}, "the file is empty", "data"),
    "not parquet": ("t.parquet", GOOD, {}, "not a readable Parquet file", "anew"),
    "unknown ending": ("t.xlsx", GOOD, {}, "files ending in .xlsx are not read", "CSV, TSV"),
    "no ending": ("data", GOOD, {}, "files ending in nothing are not read", "CSV, TSV"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_with_place_and_mend(case: str, tmp_path: Path) -> None:
    name, content, more, message, hint = BAD[case]
    with pytest.raises(DataError) as caught:
        load(tmp_path, name, content, **more)
    assert message in caught.value.message
    assert str(tmp_path / name) in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_targets_with_decimal_commas(tmp_path: Path) -> None:
    """Where each cell of the column is such a number; what may be thousands is refused."""
    cells = ["1,5", "-2,25", " 3 ", "0,125", "12,125"]
    rows = "".join(f"text {n};{cell}\n" for n, cell in enumerate(cells))
    source = load(tmp_path, "t.csv", f"text;label\n{rows}", **REG)
    assert source.train.label == (1.5, -2.25, 3.0, 0.125, 12.125)
    assert any("3,5 is read as 3.5" in note for note in source.notes)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(GOOD)
    cases = [
        (tmp_path / "trian.csv", "there is no such file", "did you mean train.csv?"),
        (tmp_path / "no" / "train.csv", "there is no such file", "does not exist either"),
    ]
    for wrong, message, hint in cases:
        with pytest.raises(DataError, match=message) as caught:
            load_task(settings(wrong, path))
        assert hint in caught.value.hint
    for ending in (".csv", ".parquet"):
        folder = tmp_path / f"folder{ending}"
        folder.mkdir()
        with pytest.raises(DataError, match="this is a folder, not a file"):
            load_task(settings(folder, path))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GOOD)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match="no permission to read it") as caught:
        load_task(settings(path, path))
    assert "chmod" in caught.value.hint


def test_a_label_that_training_does_not_know(tmp_path: Path) -> None:
    train, validation = tmp_path / "a.csv", tmp_path / "b.csv"
    train.write_text("text,label\na,sports\nb,politics\n")
    validation.write_text("text,label\na,sports\n\nb,sport\n")
    with pytest.raises(DataError) as caught:
        load_task(settings(train, validation))
    assert f"{validation}, line 4, column 'label': unknown label 'sport'" in caught.value.message
    assert "did you mean 'sports'?" in caught.value.hint


def test_a_null_in_parquet_names_its_row(tmp_path: Path) -> None:
    path = parquet(tmp_path, text=["a", "b"], label=[1, None])
    with pytest.raises(DataError, match="row 2, column 'label': the label is empty"):
        load_task(settings(path, path))


def test_a_choice_that_leaves_one_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all of one class"):
        load(tmp_path, "t.csv", GOOD, max_train_examples=1)


def test_settings_without_effect_are_said(tmp_path: Path) -> None:
    data = load_task(TaskSettings(name="demo", data_dir=tmp_path, text_column="text"))
    assert any("task.data_dir has no effect" in note for note in data.notes)
    assert any("task.text_column has no effect" in note for note in data.notes)
