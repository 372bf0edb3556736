"""What is written of predictions reads back, whatever the texts and the names of classes hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from calisr_engine.analysis.error_report import Mistake
from calisr_engine.errors import ConfigError
from calisr_engine.results.prediction_files import check_classes, write_mistakes, write_predictions
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
