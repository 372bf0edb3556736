"""Predictions on new texts are those that the run itself made, for every method and every state."""

from __future__ import annotations

import itertools
import json
import queue
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import (
    EXIT_STOPPED,
    ConfigError,
    DataError,
    NotFoundError,
    UnavailableError,
)
from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.results.answers import Evaluated, evaluated
from calisr_engine.results.predictor import Prediction, Predictor
from calisr_engine.tasks.data import TaskData, load_task
from calisr_tui.asking import Answered, Asking, News, Opened
from tests.slow import quick_where
from tests.training.interrupt import stop_at
from tests.training.tiny_run import make_run

SMALL = (
    "task.max_train_examples=32",
    "task.max_validation_examples=20",
    "training.epochs=1",
    "training.learning_rate=5e-2",
)
QUICK = ("fft", "lora", "mpop", "diff_pruning", "prefix")
"""What is opened differs: weights, merged ones, pruned ones, more than weights."""

STOPPABLE = ("training.epochs=2", "training.eval_every_steps=1")


@pytest.fixture(scope="module")
def lora(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(model, tmp_path_factory.mktemp("lora"), "method.name=lora")


@pytest.fixture(scope="module")
def predictor(lora: Path) -> Predictor:
    return Predictor(lora, "cpu")


def trained(model: Path, folder: Path, *sets: str) -> Path:
    run = make_run(model, folder, "run", *SMALL, *sets)
    assert execute(run, raise_errors=True) == 0
    return run


def data_of(run: Path) -> TaskData:
    return load_task(from_resolved(run / "config.toml").task)


def own_predictions(run: Path) -> list[dict[str, str]]:
    lines = (run / "predictions" / "validation.tsv").read_text().splitlines()
    header, *rows = (line.split("\t") for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def check_as_evaluated(found: list[Prediction], run: Path) -> None:
    rows = own_predictions(run)
    assert len(found) == len(rows) > 0
    for each, row in zip(found, rows, strict=True):
        assert each.prediction == row["prediction"]
        assert each.probabilities is not None
        logits = torch.tensor([float(row[f"logit {name}"]) for name in each.probabilities])
        shares = torch.tensor(list(each.probabilities.values()))
        torch.testing.assert_close(shares, logits.softmax(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", quick_where(METHODS, lambda name: name in QUICK))
def test_every_method_predicts_as_it_was_evaluated(
    method: str, model: Path, tmp_path: Path
) -> None:
    kind = METHODS[method]
    calibrated = ("calibration.variant=S", "calibration.delta=0")
    sets = () if kind.calibration_refused else calibrated
    run = trained(model, tmp_path, f"method.name={method}", *sets)
    texts = data_of(run).validation["validation"].text
    exported = Predictor(run, "cpu", batch_size=3)
    found = list(exported.predict(texts))
    check_as_evaluated(found, run)
    if not kind.changes_architecture:
        assert_as_transformers(found, run / "model", texts)
    check_the_app_says_so(run, texts[:2], found)
    of_file, of_best = evaluated(run), read_from_best(run)
    for each in (of_file, of_best):
        assert each.answers.texts == [(text,) for text in texts]
        assert each.answers.classes == tuple(found[0].probabilities or ())
        shares = [list((one.probabilities or {}).values()) for one in found]
        np.testing.assert_allclose(each.answers.probabilities, shares, rtol=0, atol=1e-5)
    assert list(of_file.answers.index) == list(of_best.answers.index)
    shutil.rmtree(run / "model")
    check_as_evaluated(list(Predictor(run, "cpu").predict(texts)), run)


def check_the_app_says_so(run: Path, texts: tuple[str, ...], found: list[Prediction]) -> None:
    """The thread that answers while one types."""
    told: queue.SimpleQueue[News] = queue.SimpleQueue()
    asking = Asking(run, told.put)
    asking.start()
    assert isinstance(told.get(timeout=60), Opened)
    for text, expected in zip(texts, found, strict=False):
        asking.ask((text,))
        said = told.get(timeout=60)
        assert isinstance(said, Answered)
        assert (said.texts, said.found.prediction) == ((text,), expected.prediction)
        assert said.found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    asking.end()
    asking._thread.join(60)
    assert not asking._thread.is_alive()


def read_from_best(run: Path) -> Evaluated:
    """As of a run without files of predictions."""
    kept = (run / "predictions").rename(run / "away")
    try:
        return evaluated(run)
    finally:
        kept.rename(run / "predictions")


def assert_as_transformers(found: list[Prediction], folder: Path, texts: tuple[str, ...]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    plain: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text, each in zip(texts, found, strict=True):
        inputs = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            shares = plain(**inputs).logits[0].softmax(-1).tolist()
        assert each.probabilities is not None
        assert shares == pytest.approx(list(each.probabilities.values()), abs=1e-5)
        assert list(each.probabilities) == list(plain.config.id2label.values())


def write_own(folder: Path, kind: str) -> tuple[str, ...]:
    """Own files of pairs; classes whose order no table knows, or values."""
    names = ("blue", "red", "dark green")

    def label(row: int) -> str:
        return names[row % 3] if kind == "classification" else str(row % 7 / 2)

    lines = [f"word {row % 5},{'other' * (row % 4)} x,{label(row)}" for row in range(40)]
    (folder / "own.csv").write_text("\n".join(["a,b,label", *lines]) + "\n")
    return (
        "task.name=mine",
        f"task.train_file={folder / 'own.csv'}",
        f"task.validation_file={folder / 'own.csv'}",
        "task.text_column=a",
        "task.text_pair_column=b",
        "task.label_column=label",
        f"task.kind={kind}",
    )


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_pairs_of_a_stopped_run(kind: str, model: Path, tmp_path: Path) -> None:
    """Its classes are known although it exported nothing, and its own file is gone."""
    sets = (*write_own(tmp_path, kind), *STOPPABLE, "method.name=bitfit")
    run = make_run(model, tmp_path, "run", *SMALL, *sets)
    assert stop_at(run, 2) == EXIT_STOPPED
    assert not (run / "model").exists()
    rows = data_of(run).validation["validation"]
    assert rows.text_pair is not None
    pairs = list(zip(rows.text, rows.text_pair, strict=True))
    kept = (tmp_path / "own.csv").rename(tmp_path / "away.csv")
    found = list(Predictor(run, "cpu").predict(pairs))
    from safetensors.torch import load_file

    (logits_file,) = (run / "best").glob("step-*/logits.safetensors")
    logits = load_file(logits_file)["validation"]
    kept.rename(tmp_path / "own.csv")
    seen = evaluated(run)
    assert (seen.source, seen.answers.texts) == (logits_file.parent, pairs)
    if kind == "regression":
        np.testing.assert_array_equal(seen.answers.predicted, logits.reshape(-1).double().numpy())
        assert seen.answers.label.tolist() == list(rows.label or ())
        assert [each.prediction for each in found] == pytest.approx(
            logits.reshape(-1).tolist(), abs=1e-5
        )
        assert {each.probabilities for each in found} == {None}
        return
    shares = [list((each.probabilities or {}).values()) for each in found]
    torch.testing.assert_close(torch.tensor(shares), logits.softmax(-1), rtol=0, atol=1e-5)
    names = ["blue", "dark green", "red"]
    assert all(list(each.probabilities or {}) == names for each in found)
    assert [each.prediction for each in found] == [names[i] for i in logits.argmax(-1).tolist()]
    with pytest.raises(DataError, match="text 2: one text, and mine takes a pair"):
        list(Predictor(run, "cpu").predict([("a", "b"), "c"]))
    kept = (tmp_path / "own.csv").rename(kept)
    # Earlier versions kept no names: they are read from the data, unless it changed.
    facts = json.loads((run / "environment.json").read_text())
    del facts["classes"]
    (run / "environment.json").write_text(json.dumps(facts))
    with pytest.raises(UnavailableError, match="did not keep the names of its classes"):
        Predictor(run, "cpu")
    kept.rename(tmp_path / "own.csv")
    assert Predictor(run, "cpu").classes == names
    with (tmp_path / "own.csv").open("a") as file:
        file.write("more,words,amber\n")
    with pytest.raises(UnavailableError, match="the data changed"):
        Predictor(run, "cpu")


def test_a_run_that_went_on_answers_with_its_better_model(
    lora: Path, model: Path, tmp_path: Path
) -> None:
    """Its export is that of the time before; `best/` is newer."""
    run = make_run(model, tmp_path, "run", *SMALL, *STOPPABLE)
    assert stop_at(run, 2) == EXIT_STOPPED
    texts = ["a day", "what did the cat see?"]
    before = list(Predictor(run, "cpu").predict(texts))
    shutil.copytree(lora / "model", run / "model")
    assert list(Predictor(run, "cpu").predict(texts)) == before
    shutil.rmtree(run / "best")
    assert list(Predictor(run, "cpu").predict(texts)) != before


def test_no_best_model_yet(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "run", *SMALL)
    with pytest.raises(NotFoundError, match="no best model yet") as caught:
        Predictor(run, "cpu")
    assert "after its first evaluation" in caught.value.hint


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "cuda:x", "meta"])
def test_a_device_that_is_not_here(device: str, lora: Path) -> None:
    with pytest.raises(ConfigError, match="not on this machine"):
        Predictor(lora, device)


def test_the_trained_classes_are_told_apart(predictor: Predictor) -> None:
    """Else no test of the order could fail."""
    found = list(predictor.predict(["a", "what did the cat see?", "z" * 70]))
    assert len({tuple((each.probabilities or {}).values()) for each in found}) == 3


@settings(max_examples=6, deadline=None)
@given(
    texts=st.lists(st.text(max_size=40), max_size=14),
    window=st.integers(1, 6),
)
def test_the_order_is_kept_whatever_the_lengths(
    texts: list[str], window: int, predictor: Predictor
) -> None:
    found = list(predictor.predict(texts, window))
    assert len(found) == len(texts)
    for text, each in zip(texts, found, strict=True):
        (alone,) = predictor.predict([text])
        assert alone.probabilities == pytest.approx(each.probabilities, abs=1e-5)


def test_no_more_than_a_window_is_read_ahead(predictor: Predictor) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        for read in itertools.count(1):
            yield "a word " * (read % 5)

    found = predictor.with_texts(endless(), window=4)
    for number in range(1, 10):
        text, _ = next(found)
        assert text == "a word " * (number % 5)
        assert read <= number + 3


def test_odd_texts(predictor: Predictor) -> None:
    """A huge one is cut as in training; halves of characters are no reason to fail."""
    huge = "word " * 40_000
    whole, cut, empty, half, mended = predictor.predict(
        [huge, huge[:400], "", "a\ud800b", "a\ufffdb"]
    )
    assert whole == cut
    assert half == mended
    assert sum((empty.probabilities or {}).values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([None], "text 1: nothing where a text is expected"),
        (["a text", float("nan")], "text 2: nothing where a text is expected"),
        ([5], "text 1: a number where a text is expected"),
        ([b"a text"], "text 1: bytes where a text is expected"),
        ([{"text": "a"}], "text 1: an object where a text is expected"),
        ([("a", None)], "text 1: nothing where a text is expected"),
        ([("a", "b")], "text 1: a pair of texts, and "),
        ([("a", "b", "c")], "text 1: 3 texts, and "),
        ([()], "text 1: 0 texts, and "),
        ({"text": ["a"]}, "a dict is no list of texts"),
        (pd.DataFrame({"text": ["a"]}), "a DataFrame is no list of texts"),
        (5, "a int is no list of texts"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, told: str, predictor: Predictor) -> None:
    with pytest.raises(DataError) as caught:
        list(predictor.predict(texts))
    assert caught.value.message.startswith(told)
    assert caught.value.hint


def test_a_series_and_an_array_are_texts(predictor: Predictor) -> None:
    texts = ["a fine day", "a bad day"]
    own = list(predictor.predict(texts))
    assert list(predictor.predict(pd.Series(texts))) == own
    assert list(predictor.predict(np.array(texts))) == own


def test_a_batch_has_a_text(lora: Path) -> None:
    with pytest.raises(ConfigError, match="a batch of 0 texts"):
        Predictor(lora, "cpu", 0)


def test_nothing_is_kept_of_the_texts(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the cache of token ids either, which training fills."""
    monkeypatch.setattr("calisr_engine.tasks.token_cache.default_dir", lambda: tmp_path / "cache")
    list(predictor.predict(["one text", "another"]))
    assert not (tmp_path / "cache").exists()
    assert list(predictor.predict([])) == []
