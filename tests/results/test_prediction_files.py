"""What is written of predictions reads back, whatever the texts and the names of classes hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import parquet

from calisr_engine.analysis.error_report import Mistake
from calisr_engine.errors import ConfigError
from calisr_engine.results.prediction_files import check_classes, write_mistakes, write_predictions
from calisr_engine.results.prediction_parquet import GROUP
from calisr_engine.results.predictor import Prediction, TaggedWord
from calisr_engine.results.run_task import RunTask
from calisr_engine.tasks import tagged
from calisr_engine.tasks.formats import read_table

SINGLE = RunTask("mine", "classification", False, (("text",),))
WORDS = RunTask("mine", "token", False, (("text",),))
ODD = ["tab\there", "two\nlines", "old\rmac", 'say "no", he', "a\u2028b", "  ", "last"]


def test_texts_of_a_csv_file_read_back(tmp_path: Path) -> None:
    """A carriage return, too, which a plain csv.writer leaves outside quotes."""
    said = Prediction("a,b", {"a,b": 0.75, "c": 0.25})
    write_predictions(tmp_path / "o.csv", [(t, said) for t in ODD], SINGLE, ["a,b", "c"])
    table = read_table(tmp_path / "o.csv", None)
    assert list(table.column("text")) == ODD
    assert set(table.column("prediction")) == {"a,b"}
    rows = [Mistake(str(n), "x", "y", 0.5, 0.5, None, (t,)) for n, t in enumerate(ODD)]
    write_mistakes(tmp_path / "m.csv", rows)
    assert list(read_table(tmp_path / "m.csv", None).column("text")) == ODD


def test_a_parquet_file_holds_numbers_and_lists_as_such(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    said = Prediction("a,b", {"a,b": 0.75, "c": 0.25})
    assert write_predictions(out, [(t, said) for t in ODD], SINGLE, ["a,b", "c"]) == len(ODD)
    assert parquet.read_table(out).to_pydict() == {
        "text": ODD,
        "prediction": ["a,b"] * len(ODD),
        "probability a,b": [0.75] * len(ODD),
        "probability c": [0.25] * len(ODD),
    }
    write_predictions(
        out, [("x", Prediction(1.5, None)), ("y", Prediction(2.0, None))], SINGLE, None
    )
    assert parquet.read_table(out).column("prediction").to_pylist() == [1.5, 2.0]
    labels = [(), *[("a", "b")] * GROUP]  # the first says nothing of its entries
    several = [("x", Prediction(each, {"a": 0.5, "b": 0.5})) for each in labels]
    assert write_predictions(out, several, SINGLE, ["a", "b"]) == GROUP + 1
    assert parquet.read_table(out).column("prediction").to_pylist() == [*map(list, labels)]


def test_a_parquet_file_of_words_reads_back(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    texts, tags = [["it", "rains"], ["New York", "is"]], [["O", "O"], ["B-city", "O"]]
    rows = [
        (words, Prediction(tuple(own), None, tuple(map(TaggedWord, words, own, [0.5, 0.25]))))
        for words, own in zip(texts, tags, strict=True)
    ]
    write_predictions(out, rows, WORDS, ["O", "B-city"])
    found = parquet.read_table(out).to_pylist()
    assert [each["words"] for each in found] == texts
    assert [each["prediction"] for each in found] == tags
    assert found[0]["entities"] == []
    assert found[1]["entities"] == [
        {"type": "city", "start": 0, "end": 1, "text": "New York", "probability": 0.5}
    ]
    assert tagged.without_tags(read_table(out, ["words"]), "words").words == (*map(tuple, texts),)


def test_mistakes_as_parquet_have_empty_cells_where_a_row_has_no_such_column(
    tmp_path: Path,
) -> None:
    rows = [
        Mistake("0", "x", "y", 0.5, 0.25, None, ("one",)),
        Mistake("1", "x", "y", 0.5, 0.25, 3, ("two", "pair")),
    ]
    write_mistakes(tmp_path / "m.parquet", rows)
    found = parquet.read_table(tmp_path / "m.parquet").to_pylist()
    assert [each["text_pair"] for each in found] == [None, "pair"]
    assert [type(each["index"]) for each in found] == [str, str]
    assert write_mistakes(tmp_path / "none.parquet", []) == 0


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_words_and_tags_with_blanks_read_back(form: str, tmp_path: Path) -> None:
    texts = [["New York", "is", "big"], ["it", "rains"], ["[", "1", "]"]]
    tags = [["B-a city", "O", "O"], ["O", "O"], ["O", "O", "O"]]
    rows = [
        (words, Prediction(tuple(own), None, tuple(map(TaggedWord, words, own, [0.5] * 3))))
        for words, own in zip(texts, tags, strict=True)
    ]
    write_predictions(tmp_path / f"o.{form}", rows, WORDS, ["O", "B-a city"])
    table = read_table(tmp_path / f"o.{form}", None)
    assert list(tagged.without_tags(table, "text").words or ()) == list(map(tuple, texts))
    assert list(tagged.without_tags(table, "prediction").words or ()) == list(map(tuple, tags))
    assert table.column("prediction")[1] == "O O"


@pytest.mark.parametrize(
    ("form", "name", "mend"),
    [
        (".tsv", "a\tb", "name a .jsonl or .csv file"),
        (".tsv", "a\u2028b", "name a .jsonl or .csv file"),
        (".conll", "B-a city", "name a .jsonl file"),
        (".jsonl", "half \ud83d", "train the run anew"),
    ],
)
def test_a_class_that_a_file_cannot_hold_is_refused(form: str, name: str, mend: str) -> None:
    """Of models of earlier versions; `.csv` holds all but half a character."""
    with pytest.raises(ConfigError) as caught:
        check_classes(form, ["plain", name])
    assert mend in caught.value.hint
    assert repr(name) in caught.value.message
    if "\ud83d" not in name:
        check_classes(".csv", ["plain", name])
