"""Runs whose task says more than one thing of a text: resume, predictions, errors, export."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.analysis.mistakes import LabelSets, TaggedTexts, mistakes, report
from calisr_engine.errors import EXIT_STOPPED
from calisr_engine.process.execute import execute
from calisr_engine.results.answers import evaluated
from calisr_engine.results.export_run import export_run
from calisr_engine.results.predictor import Predictor
from calisr_engine.tasks.batches import IGNORED, collate, tokenize
from calisr_engine.tasks.examples import Examples
from tests.training.interrupt import kill_at, stop_at
from tests.training.more_kinds import write_labels, write_words
from tests.training.tiny_run import events, make_run, tokenizer

KINDS = ("multi_label", "token")
CALIBRATED = ("method.name=lora", "calibration.variant=S", "calibration.delta=0.2")


def start(model: Path, folder: Path, kind: str, *sets: str) -> Path:
    if kind == "multi_label":
        file = write_labels(folder / "data.csv")
        own = ["task.text_column=review", "task.label_column=topics", "task.label_separator=|"]
    else:
        file = write_words(folder / "data.conll")
        own = ["task.text_column=column 1", "task.label_column=column 2"]
    data = [f"task.train_file={file}", f"task.kind={kind}", "task.name=mine", *own]
    more = ["training.learning_rate=2e-2", "training.epochs=4", "output.checkpoint_every_steps=3"]
    return make_run(model, folder, "run", *data, *more, *CALIBRATED, *sets)


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, model: Path, tmp_path_factory: Any) -> tuple[str, Path]:
    made = start(model, tmp_path_factory.mktemp(request.param), request.param)
    assert execute(made, raise_errors=True) == 0
    return request.param, made


def answers_of(run: Path) -> LabelSets | TaggedTexts:
    found = evaluated(run).answers
    assert isinstance(found, LabelSets | TaggedTexts)
    return found


def shares_of_file(run: Path) -> np.ndarray:
    """Probabilities from the logits of the run's own evaluation, shape (answers, classes)."""
    with (run / "predictions" / "validation.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = [name for name in rows[0] if name.startswith("logit ")]
    logits = torch.tensor([[float(row[name]) for name in names] for row in rows])
    token = "place" in rows[0]
    return (logits.softmax(-1) if token else logits.sigmoid()).numpy()


def predicted_shares(kind: str, run: Path) -> np.ndarray:
    found = answers_of(run)
    if isinstance(found, LabelSets):
        assert found.texts is not None
        said = Predictor(run, "cpu", batch_size=3).predict([text for (text,) in found.texts])
        return np.array([list((each.probabilities or {}).values()) for each in said])
    assert found.words is not None
    said = Predictor(run, "cpu", batch_size=3).predict([tuple(row) for row in found.words])
    rows = list(said)
    assert [each.prediction for each in rows] == [tuple(tags) for tags in found.predicted]
    return np.array([word.probability for each in rows for word in each.words or ()])


def test_predict_evaluation_and_errors_agree(run: tuple[str, Path], tmp_path: Path) -> None:
    kind, path = run
    own = shares_of_file(path)
    told = predicted_shares(kind, path)
    np.testing.assert_allclose(told, own if kind == "multi_label" else own.max(1), atol=1e-5)
    found, of = answers_of(path), report(answers_of(path))
    assert of.kind == kind
    last = [each for each in events(path, "evaluated") if each["is_best"]][-1]["metrics"]
    for name, value in of.scores.items():
        assert last[name] == pytest.approx(value), name
    assert len(mistakes(found)) >= (of.wrong or 0) > 0
    # The same without the file, from the logits beside the best weights.
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    shutil.rmtree(copy / "predictions")
    again = report(answers_of(copy))
    # The file holds its logits as text.
    assert again.mean_confidence == pytest.approx(of.mean_confidence, rel=1e-12)
    assert replace(again, mean_confidence=of.mean_confidence) == of
    shutil.rmtree(copy / "model")
    np.testing.assert_allclose(predicted_shares(kind, copy), told, atol=1e-6)


def test_plain_transformers_says_the_same(run: tuple[str, Path], tmp_path: Path) -> None:
    from transformers import (
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
    )

    kind, path = run
    export_run(path, tmp_path / "out")
    token = kind == "token"
    opener: Any = AutoModelForTokenClassification if token else AutoModelForSequenceClassification
    opened = opener.from_pretrained(tmp_path / "out")
    plain = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert opened.config.problem_type == (None if token else "multi_label_classification")
    found, rows = answers_of(path), []
    texts: Sequence[Any] = found.words if isinstance(found, TaggedTexts) else found.texts or ()
    for text in texts or ():
        words = list(text) if token else text[0]
        coded = plain(words, is_split_into_words=token, return_tensors="pt")
        with torch.no_grad():
            logits = opened(**coded).logits[0]
        if not token:
            rows.append(logits.sigmoid().numpy())
            continue
        first = {word: at for at, word in reversed(list(enumerate(coded.word_ids(0))))}
        rows += [logits[first[word]].softmax(-1).numpy() for word in range(len(words))]
    np.testing.assert_allclose(np.array(rows), shares_of_file(path), atol=1e-5)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_run_that_is_taken_up_again_ends_the_same(
    how: str, run: tuple[str, Path], model: Path, tmp_path: Path
) -> None:
    kind, whole = run
    parts = start(model, tmp_path, kind)
    if how == "stopped":
        assert stop_at(parts, 7) == EXIT_STOPPED
    else:
        kill_at(parts, 7)
    assert execute(parts, raise_errors=True) == 0
    for file in ("model/model.safetensors",):
        one, other = load_file(whole / file), load_file(parts / file)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("predictions/validation.tsv",):
        assert (whole / name).read_text() == (parts / name).read_text()
    kept = [
        [(e["step"], e["metrics"], e["loss"]) for e in events(each, "evaluated")][-2:]
        for each in (whole, parts)
    ]
    assert kept[0] == kept[1]


def test_only_the_first_token_of_a_word_has_a_label() -> None:
    rows = Examples.of_words([["ab", "c"], ["d"]], [[1, 2], [3]])
    data = tokenize(rows, tokenizer(), 64, keep=False)
    assert data.answers == 3
    assert data.terms() == [2, 1]
    batch = collate(data, [1, 0], 0)
    assert batch["labels"].tolist() == [
        [IGNORED, 3, IGNORED, IGNORED, IGNORED],
        [IGNORED, 1, IGNORED, 2, IGNORED],
    ]
    logits = torch.arange(2 * 5 * 2, dtype=torch.float32).reshape(2, 5, 2)
    numbers, values = data.take([1, 0], logits)
    assert numbers == [2, 0, 1]
    torch.testing.assert_close(values, torch.stack([logits[0, 1], logits[1, 1], logits[1, 3]]))


def test_a_step_weighs_words_not_rows(model: Path, tmp_path: Path) -> None:
    """Two micro-batches of unequal words are the gradient of both together."""
    losses = []
    for name, size, accumulate in (("a", 16, 1), ("b", 8, 2)):
        (tmp_path / name).mkdir()
        sets = (f"training.batch_size={size}", f"training.accumulate={accumulate}")
        whole = (
            "training.dropout=0.0",
            "training.warmup_ratio=0",
            "training.epochs=1",
            "task.max_train_examples=16",
        )
        one = start(model, tmp_path / name, "token", *sets, *whole)
        assert execute(one, raise_errors=True) == 0
        losses.append(events(one, "progress")[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
