"""`calisr predict`: texts in by each door, predictions out by each, and mistakes in words."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from calisr_engine.process.execute import execute
from calisr_engine.results.predictor import Prediction, Predictor, Text
from calisr_engine.tasks.formats import read_table
from calisr_tui.cli.app import run_command_line
from tests.training.more_kinds import write_choices
from tests.training.tiny_run import make_run, save_model

TEXTS = ["a day, or two", "what did the cat see?", "zebra \u2603", "", "a day, or two"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of single texts with classes, of pairs with values, and one without a best model."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    model = save_model(root / "tiny")
    lines = [f"word {row % 5},{'other' * (row % 4)} x,{row % 7 / 2}" for row in range(40)]
    (root / "own.csv").write_text("\n".join(["first,second,score", *lines]) + "\n")
    own = (
        "task.name=mine",
        f"task.train_file={root / 'own.csv'}",
        f"task.validation_file={root / 'own.csv'}",
        "task.text_column=first",
        "task.text_pair_column=second",
        "task.label_column=score",
        "task.kind=regression",
    )
    small = ("task.max_train_examples=32", "task.max_validation_examples=20", "training.epochs=1")
    file = write_choices(root / "copa.jsonl")
    columns = "text_column=premise text_pair_column=question label_column=label name=mine"
    choice = [f"task.{each}" for each in columns.split()]
    choice += [f"task.train_file={file}", "task.choice_columns=choice1,choice2", "task.kind=choice"]
    for name, sets in (("single", ()), ("pairs", own), ("choice", choice)):
        run = make_run(model, root, name, *small, "training.learning_rate=5e-2", *sets)
        assert execute(run, raise_errors=True) == 0
    make_run(model, root, "untrained", *small)
    return root


@pytest.fixture(scope="module")
def single(runs: Path) -> list[Prediction]:
    return list(Predictor(runs / "single", "cpu").predict(TEXTS))


def predict(runs: Path, run: str, *more: str) -> int:
    words = ["predict", run, *more, "--output-dir", str(runs), "--device", "cpu"]
    return run_command_line(words)


def check(rows: list[dict[str, Any]], expected: list[Prediction]) -> None:
    """Rows of a table, or JSON objects, against predictions."""
    assert len(rows) == len(expected)
    for row, each in zip(rows, expected, strict=True):
        shares = row.get("probabilities")
        if shares is None:
            names = each.probabilities or {}
            shares = {name: float(row[f"probability {name}"]) for name in names}
        found = row["prediction"]
        if each.probabilities is None:
            assert float(found) == pytest.approx(each.prediction, abs=1e-5)
        else:
            assert found == each.prediction
            assert shares == pytest.approx(each.probabilities, abs=1e-5)


def test_texts_as_arguments(
    runs: Path, single: list[Prediction], capfd: pytest.CaptureFixture[str]
) -> None:
    assert predict(runs, "single", *TEXTS, "--batch-size", "2") == 0
    out, _ = capfd.readouterr()
    rows = list(csv.DictReader(io.StringIO(out), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [row["text"] for row in rows] == TEXTS
    check(rows, single)
    assert predict(runs, "single", *TEXTS, "--json") == 0
    out, _ = capfd.readouterr()
    objects = [json.loads(line) for line in out.splitlines()]
    assert [each["text"] for each in objects] == TEXTS
    check(objects, single)


def test_a_text_may_be_long_or_the_name_of_a_file(
    runs: Path,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is looked for as a file, to say so, and is no path where it is too long for one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a day\n")
    assert predict(runs, "single", "A long day. " * 600 + "It ends.here", "in.txt", "--json") == 0
    out, said = capfd.readouterr()
    assert len(out.splitlines()) == 2
    assert "'in.txt' is taken as a text; --file reads" in said
    assert "A long day" not in said


def test_lines_of_stdin(
    runs: Path,
    single: list[Prediction],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A blank line is an empty text, so that each line of the input has one of the answer."""
    content = "\ufeff" + "\r\n".join(TEXTS)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode()), "ascii"))
    assert predict(runs, "single", "-", "--json") == 0
    out, _ = capfd.readouterr()
    objects = [json.loads(line) for line in out.splitlines()]
    assert [each["text"] for each in objects] == TEXTS
    check(objects, single)


def test_a_terminal_gets_a_table_that_fits(
    runs: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert predict(runs, "single", "a day", "much " * 40, "\x1b[31mred\nline", "\u6f22" * 60) == 0
    out, _ = capfd.readouterr()
    head, *rows = out.splitlines()
    assert head.split() == ["prediction", "unacceptable", "acceptable", "text"]
    assert len(rows) == 4
    from rich.cells import cell_len

    assert max(map(cell_len, rows)) <= 70
    assert rows[1].endswith("…")
    assert "\x1b" not in out
    assert "red\\nline" in rows[2]


FORMS = [
    ("in.csv", "out.jsonl"),
    ("in.tsv", "out.csv"),
    ("in.jsonl", "out.tsv"),
    ("in.parquet", ""),
]


def test_alternatives_as_arguments_lines_and_columns(
    runs: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"premise": "It fell.", "question": "cause", "choice1": "He slipped.", "choice2": "No."}
    text = "It fell. What was the cause of this?"
    expected = list(Predictor(runs / "choice", "cpu").predict([(text, "He slipped.", "No.")]))
    asked = [text, "--choice", "He slipped.", "--choice", "No."]
    assert predict(runs, "choice", *asked, "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert list(found) == ["text", "choice 1", "choice 2", "prediction", "probabilities"]
    check([found], expected)
    line = f"{text}\tHe slipped.\tNo.\n".encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line)))
    assert predict(runs, "choice", "-", "--json") == 0
    assert json.loads(capfd.readouterr().out) == found
    file, out = tmp_path / "new.jsonl", tmp_path / "out.csv"
    file.write_text(json.dumps(row) + "\n")
    assert predict(runs, "choice", "--file", str(file), "--out", str(out)) == 0
    with out.open(newline="") as opened:
        written = list(csv.DictReader(opened))
    check(written, expected)
    heads = ["text", "choice 1", "choice 2", "prediction"]
    assert list(written[0]) == [*heads, "probability choice1", "probability choice2"]
    assert [written[0][each] for each in heads[:3]] == [text, "He slipped.", "No."]


def write(path: Path, columns: dict[str, list[str]]) -> None:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            tabs = path.suffix == ".tsv"
            writer = csv.DictWriter(file, columns, delimiter="\t" if tabs else ",")
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize(("given", "wanted"), FORMS)
def test_pairs_from_a_file_to_a_file(
    given: str, wanted: str, runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [("one", "two, or"), ("\u00e9t\u00e9", "x"), ("a a a a", "b")]
    first, second = (list(column) for column in zip(*pairs, strict=True))
    write(tmp_path / given, {"other": first, "second": second, "said": first})
    words = ["--file", str(tmp_path / given), "--text", "said"]
    out = tmp_path / wanted
    if wanted:
        out.write_text("old")
        words += ["--out", str(out)]
    assert predict(runs, "pairs", *words) == 0
    said, _ = capfd.readouterr()
    if not wanted:
        out = tmp_path / "stdout.tsv"
        out.write_text(said)
    else:
        assert said.strip() == str(out)
        assert {each.name for each in tmp_path.iterdir()} == {given, wanted}
    table = read_table(out, ["text", "text_pair", "prediction"])
    rows = [
        dict(zip(table.columns, cells, strict=True))
        for cells in zip(*table.columns.values(), strict=True)
    ]
    assert [(row["text"], row["text_pair"]) for row in rows] == pairs
    expected: list[Text] = [*pairs]
    check(rows, list(Predictor(runs / "pairs", "cpu").predict(expected)))


def test_an_argument_that_is_not_utf8(runs: Path, tmp_path: Path) -> None:
    for name in ("out.csv", "out.tsv", "out.jsonl"):
        out = tmp_path / name
        assert predict(runs, "single", "bad \udcff byte", "--out", str(out)) == 0
        assert read_table(out, ["text"]).column("text")[0] == "bad \ufffd byte"


def test_breaks_in_a_text_break_no_table(runs: Path, tmp_path: Path) -> None:
    odd = ["two\nlines", "a\ttab", 'a "quote', "\u2028"]
    write(tmp_path / "in.jsonl", {"sentence": odd})
    for name in ("out.csv", "out.tsv", "out.jsonl"):
        out = tmp_path / name
        assert predict(runs, "single", "-f", str(tmp_path / "in.jsonl"), "-o", str(out)) == 0
        kept = list(read_table(out, ["text"]).column("text"))
        assert kept == (["two lines", "a tab", 'a "quote', " "] if name == "out.tsv" else odd)


MISTAKES: dict[str, tuple[list[str], bytes, int, str]] = {
    "nothing": (["single"], b"", 2, "there is nothing to predict"),
    "no run": (["nobody", "a"], b"", 4, "nobody"),
    "no best model": (["untrained", "a"], b"", 4, "no best model yet"),
    "no such column": (
        ["single", "-f", "{}/in.csv", "--text", "frist"],
        b"",
        3,
        "did you mean 'first'",
    ),
    "no column of the run's": (["pairs", "-f", "{}/one.csv"], b"", 3, "no column 'second'"),
    "no row": (["single", "-f", "{}/none.csv"], b"", 3, "no row of data"),
    "no file": (["single", "-f", "{}/in.cvs"], b"", 3, "not read"),
    "empty stdin": (["single", "-"], b"", 3, "stdin is empty"),
    "not UTF-8": (["single", "-"], b"a\n\xff\n", 3, "stdin, line 2: byte 1"),
    "a pair without its second": (["pairs", "a"], b"", 2, "1 texts and 0 --pair"),
    "too few alternatives": (["choice", "a", "--choice", "b"], b"", 2, "1 texts and 1 --choice"),
    "a line with too many": (["choice", "-"], b"a\tb\tc\td\n", 3, "line 1: 3 alternatives in"),
    "an alternative for a text": (["single", "a", "--choice", "b"], b"", 2, "no alternatives"),
    "alternatives beside a file": (
        ["choice", "-f", "{}/in.csv", "--choice", "b"],
        b"",
        2,
        "a file has columns",
    ),
    "no column of alternatives": (
        ["choice", "-f", "{}/in.csv", "--text", "first", "--text-pair", "second"],
        b"",
        3,
        "no column 'choice1'",
    ),
    "a line without its second": (["pairs", "-"], b"a\tb\nc\n", 3, "stdin, line 2: 'c' has no"),
    "a pair for a text": (["single", "a", "--pair", "b"], b"", 2, "single texts, not pairs"),
    "a second column": (["single", "-f", "{}/in.csv", "--text-pair", "b"], b"", 2, "--text-pair"),
    "two sources": (["single", "a", "-f", "{}/in.csv"], b"", 2, "not both"),
    "a column of no file": (["single", "a", "--text", "b"], b"", 2, "add --file"),
    "stdin and more": (["single", "-", "a"], b"", 2, "stands alone"),
    "unknown form": (["single", "a", "-o", "{}/out.xlsx"], b"", 2, "out.xlsx"),
    "over its input": (["single", "-f", "{}/in.csv", "-o", "{}/in.csv"], b"", 2, "another file"),
    "no such device": (["single", "a", "--device", "gpu"], b"", 2, "'gpu' is not on this machine"),
    "no batch": (["single", "a", "--batch-size", "0"], b"", 2, "batch-size"),
}


@pytest.mark.parametrize("case", list(MISTAKES))
def test_mistakes(
    case: str,
    runs: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words, stdin, status, expected = MISTAKES[case]
    (tmp_path / "in.csv").write_text("first,second\na,b\n")
    (tmp_path / "one.csv").write_text("first\na\n")
    (tmp_path / "none.csv").write_text("sentence\n")
    files = sorted(tmp_path.iterdir())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    more = [word.format(tmp_path) for word in words]
    assert run_command_line(["predict", *more, "--output-dir", str(runs)]) == status
    _, told = capfd.readouterr()
    assert expected in told
    assert "Traceback" not in told
    assert sorted(tmp_path.iterdir()) == files


def test_a_failure_midway_leaves_no_half_file(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.csv").write_text("old")
    stdin = io.TextIOWrapper(io.BytesIO(b"a\n" * 200 + b"\xff\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    out = str(tmp_path / "out.csv")
    assert predict(runs, "single", "-", "--out", out, "--batch-size", "1") == 3
    assert (tmp_path / "out.csv").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]
