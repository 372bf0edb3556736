"""Rows that are set aside to validate: stratified, repeatable, whatever the order of the rows."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.errors import DataError
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.split import same_text, split_rows

rows = st.lists(
    st.tuples(st.integers(0, 60).map(lambda n: f"Text  {n}"), st.integers(0, 3)),
    min_size=30,
    max_size=200,
)


def examples(pairs: list[tuple[str, Any]]) -> Examples:
    return Examples(tuple(text for text, _ in pairs), None, tuple(label for _, label in pairs))


def aside(data: Examples, classes: int, share: float, seed: int) -> Counter[tuple[str, Any]]:
    split = split_rows(data, classes, share, seed)
    assert sorted((*split.train, *split.validation)) == list(range(len(data)))
    assert data.label is not None
    return Counter((data.text[row], data.label[row]) for row in split.validation)


@settings(max_examples=40, deadline=None)
@given(
    rows, st.randoms(use_true_random=False), st.sampled_from([0.1, 0.25, 0.5]), st.integers(0, 3)
)
def test_the_sides_depend_on_the_texts_alone(
    pairs: list[tuple[str, int]], mixer: random.Random, share: float, seed: int
) -> None:
    data = examples(pairs)
    try:
        found = aside(data, 4, share, seed)
    except DataError:
        texts = {text for text, _ in pairs}
        assert len(texts) < 10 or len({label for _, label in pairs}) < 2
        return
    shuffled = mixer.sample(pairs, len(pairs))
    assert aside(examples(shuffled), 4, share, seed) == found
    validated = {same_text(text) for text, _ in found}
    trained = {same_text(text) for text, _ in (Counter(pairs) - found).elements()}
    assert validated
    assert trained
    assert not validated & trained


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=5), st.integers(0, 99))
def test_each_class_has_its_share(sizes: list[int], seed: int) -> None:
    pairs = [(f"{label} {n}", label) for label, size in enumerate(sizes) for n in range(size)]
    if len(pairs) < 10:
        return
    counts: dict[int, int] = defaultdict(int)
    for (_, label), count in aside(examples(pairs), len(sizes), 0.2, seed).items():
        counts[label] += count
    for label, size in enumerate(sizes):
        assert 1 <= counts[label] < size
        assert abs(counts[label] - 0.2 * size) <= 1


def test_a_regression_is_split_by_quantile() -> None:
    pairs = [(f"t {n}", float(n**2)) for n in range(200)]
    found = aside(examples(pairs), 0, 0.1, 0)
    tenths = Counter(int(label**0.5) // 20 for _, label in found)
    assert tenths == dict.fromkeys(range(10), 2)
    assert aside(examples(pairs), 0, 0.1, 1) != found


def test_a_class_of_one_text_trains() -> None:
    pairs = [(f"{n}", n % 2) for n in range(20)] + [("alone", 2), ("ALONE ", 2)]
    split = split_rows(examples(pairs), 3, 0.1, 0)
    assert split.missing == (2,)
    assert not {20, 21} & set(split.validation)


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "my.csv"
    path.write_text("text,label\n" + "".join(f"{line}\n" for line in lines))
    return path


def load(path: Path, **more: Any) -> TaskData:
    keys = {"text_column": "text", "label_column": "label", "kind": "classification"}
    return load_task(TaskSettings(name="my", train_file=path, **(keys | more)))


def test_one_file_is_enough(tmp_path: Path) -> None:
    lines = [f"text {n},{'yes' if n % 4 else 'no'}" for n in range(100)]
    data = load(written(tmp_path, lines))
    validation = data.validation["validation"]
    assert len(data.train) == 90
    assert Counter(validation.label or ()) == {0: 2, 1: 8} or Counter(validation.label or ()) == {
        0: 3,
        1: 7,
    }
    # Rows keep the number that they have in the file.
    assert [f"text {row}" for row in validation.index or ()] == list(validation.text)
    (note,) = [each for each in data.notes if "set aside" in each]
    assert "10 of the 100 rows" in note
    assert "task.split_seed = 0" in note
    assert load(written(tmp_path, lines)).fingerprint == data.fingerprint
    assert load(written(tmp_path, lines), split_seed=1).fingerprint != data.fingerprint
    mixed = load(written(tmp_path, lines[::-1])).validation["validation"]
    assert set(mixed.text) == set(validation.text)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,x", "b,y", "c,x"], "3 different texts in 3 rows: too few"),
        (["a,x"] * 50 + ["b,y"] * 50, "2 different texts in 100 rows: too few"),
        ([*(f"t {n},x" for n in range(30)), "b,y"], "no two classes have two different texts"),
    ],
)
def test_too_little_is_refused_in_words(tmp_path: Path, lines: list[str], words: str) -> None:
    path = written(tmp_path, lines)
    with pytest.raises(DataError) as caught:
        load(path)
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert "give a validation file" in caught.value.hint


def test_a_regression_keeps_something_to_learn(tmp_path: Path) -> None:
    path = written(tmp_path, [*(f"t {n},1" for n in range(30)), "odd,7"])
    refused = 0
    for seed in range(12):
        try:
            data = load(path, kind="regression", validation_share=0.5, split_seed=seed)
        except DataError as error:
            refused += "one value only" in str(error)
        else:
            assert len(set(data.train.label or ())) == 2
    assert 0 < refused < 12
