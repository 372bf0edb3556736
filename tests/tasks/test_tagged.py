"""Words with tags: formats, schemes, spans, and what is refused where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_engine.errors import CalisrError, DataError
from calisr_engine.tasks import metrics, tagged
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.formats import read_table
from calisr_engine.tasks.settings import TaskSettings
from tests.training.more_kinds import sentences, write_words


def settings(path: Path, **more: object) -> TaskSettings:
    jsonl = path.suffix in (".jsonl", ".parquet")
    columns = ("tokens", "ner_tags") if jsonl else ("column 1", "column 2")
    given = dict(zip(("text_column", "label_column"), columns, strict=True)) | more
    return TaskSettings.model_validate({"name": "t", "train_file": path, "kind": "token", **given})


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
def test_schemes_are_recognised_and_stated(scheme: str, tmp_path: Path) -> None:
    data = load_task(settings(write_words(tmp_path / "a.conll", scheme)))
    assert data.metric == "span_f1"
    assert data.label_names is not None
    assert data.label_names[0] == "O"
    assert any(f"the tags are {scheme}" in note and "LOC, PER" in note for note in data.notes)


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    one = load_task(settings(write_words(tmp_path / "a.conll")))
    other = load_task(settings(write_words(tmp_path / "a.jsonl")))
    assert one.fingerprint == other.fingerprint
    assert one.train.words is not None
    assert one.train.answers == sum(map(len, one.train.words))


def test_names_of_numbered_tags_come_from_the_parquet_file(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = sentences()
    names = sorted({tag for row in rows for _, tag in row})
    table = pa.table(
        {
            "tokens": [[word for word, _ in row] for row in rows],
            "ner_tags": [[names.index(tag) for _, tag in row] for row in rows],
        }
    )
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}
    told = {"info": {"features": {"ner_tags": feature}}}
    path = tmp_path / "a.parquet"
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(told)}), path)
    same = load_task(settings(write_words(tmp_path / "a.conll")))
    assert load_task(settings(path)).fingerprint == same.fingerprint


def test_entities_as_conlleval_reads_them() -> None:
    def found(*tags: str) -> list[tuple[str, int, int]]:
        return [(each.type, each.start, each.end) for each in tagged.entities(tags)]

    assert found("B-PER", "I-PER", "O", "B-LOC") == [("PER", 0, 2), ("LOC", 3, 4)]
    assert found("I-PER", "I-PER", "B-PER") == [("PER", 0, 2), ("PER", 2, 3)]
    assert found("S-LOC", "B-PER", "E-PER") == [("LOC", 0, 1), ("PER", 1, 3)]
    assert found("U-LOC", "B-PER", "I-PER", "L-PER") == [("LOC", 0, 1), ("PER", 1, 4)]
    assert found("I-PER", "I-LOC") == [("PER", 0, 1), ("LOC", 1, 2)]
    assert found("NOUN", "VERB") == []


def test_span_figures_by_hand() -> None:
    names = ("O", "B-PER", "I-PER", "B-LOC")
    true = [1, 2, 0, 3, 0]
    said = [1, 0, 0, 3, 3]  # PER too short; LOC right; one LOC too many
    tags = metrics.Tagged(names, [4, 1])
    found = metrics.compute(("span_f1", "span_precision", "span_recall"), said, true, tags)
    assert found == {
        "span_f1": pytest.approx(2 * 1 / (3 + 2)),
        "span_precision": pytest.approx(1 / 3),
        "span_recall": pytest.approx(1 / 2),
    }


def test_tags_without_entities_count_by_word(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("\n\n".join(f"a DET\ncat{n} NOUN\nsleeps VERB" for n in range(20)))
    data = load_task(settings(path))
    assert data.metrics == ("accuracy", "macro_f1")
    with pytest.raises(CalisrError, match="span_f1 does not fit data with tags of words that mark"):
        load_task(settings(path, metric="span_f1"))


def test_documents_comments_and_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("-DOCSTART- O\n\n# id 1 of 2\nEU B-ORG\n# O\n\n\nx O\n")
    table = read_table(path, None)
    assert table.columns["column 1"] == [["EU", "#"], ["x"]]
    assert table.at(0, 1) == f"{path}, line 5"


BROKEN: dict[str, tuple[str, str, str, str]] = {
    "a ragged line": (
        "a.conll",
        "EU B-ORG\nrejects O\ncall\n",
        "a.conll, line 3: 1 columns where the first token has 2: 'call'",
        "an empty line ends a sentence",
    ),
    "a text and no columns": (
        "a.txt",
        "wonderful\n\nawful\n",
        "a.txt: the first token has no second column: 'wonderful'",
        "write a token and its tag on each line",
    ),
    "a tag too few": (
        "a.jsonl",
        '{"tokens": ["a", "b"], "ner_tags": ["O", "B-X"]}\n{"tokens": ["a"], "ner_tags": []}\n',
        "a.jsonl, line 2, column 'ner_tags': 0 tags for 1 word of column 'tokens'",
        "give each word one tag",
    ),
    "one label a text": (
        "a.jsonl",
        '{"tokens": ["a", "b"], "ner_tags": 1}\n',
        "a.jsonl, line 1, column 'ner_tags': a number where a list of tags is expected",
        'task.kind = "classification"',
    ),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_mistakes_name_file_line_and_mend(name: str, tmp_path: Path) -> None:
    file, content, said, mend = BROKEN[name]
    path = tmp_path / file
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        load_task(settings(path))
    assert said in caught.value.message
    assert mend in caught.value.hint
    assert caught.value.keys


def test_a_tag_that_only_the_validation_data_has(tmp_path: Path) -> None:
    train, other = write_words(tmp_path / "a.conll"), tmp_path / "v.conll"
    other.write_text("Ada B-PER\n\nin O\nRome B-Loc\n")
    with pytest.raises(DataError) as caught:
        load_task(settings(train, validation_file=other))
    assert "v.conll, line 4, column 'column 2': unknown tag 'B-Loc'" in caught.value.message
    assert "did you mean 'B-LOC'?" in caught.value.hint


def test_words_for_a_task_of_texts(tmp_path: Path) -> None:
    path = write_words(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="a list where a label is expected") as caught:
        load_task(settings(path, kind="classification"))
    assert 'for a tag of each word "token"' in caught.value.hint
