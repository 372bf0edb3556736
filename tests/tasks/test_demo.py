from __future__ import annotations

import random
from collections import Counter

import pytest

from calisr_engine.tasks import demo
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.demo_grammar import PHENOMENA, Draw
from calisr_engine.tasks.settings import TaskSettings

TRAIN_SHA256 = "704209bb1f30a615260016a2b21c8483416bf1308ed4d113ee4e19ef3589176b"
VALIDATION_SHA256 = "cc970933da2c2f8c16844d592efc13cfb25a2f8a84bf61fe26991fcfd6a6d79c"


def test_the_sentences_are_the_same_everywhere() -> None:
    random.seed(1)
    demo.sentences.cache_clear()
    data = load_task(TaskSettings(name="demo"))
    assert data.train.fingerprint() == TRAIN_SHA256
    assert data.validation["validation"].fingerprint() == VALIDATION_SHA256


def test_sizes_balance_and_label() -> None:
    data = load_task(TaskSettings(name="Demo"))
    validation = data.validation["validation"]
    assert (len(data.train), len(validation)) == (4000, 1000)
    assert Counter(data.train.label) == {0: 2000, 1: 2000}
    assert Counter(validation.label) == {0: 500, 1: 500}
    assert data.synthetic
    assert any("synthetic" in note for note in data.notes)
    assert data.metric == "matthews"


def test_no_sentence_is_on_both_sides_or_twice() -> None:
    train, validation = demo.sentences()
    texts = [sentence.text for sentence in (*train, *validation)]
    assert len(set(texts)) == len(texts)


def test_every_phenomenon_is_on_both_sides_in_balance() -> None:
    for side in demo.sentences():
        count = Counter((sentence.phenomenon, sentence.label) for sentence in side)
        assert {phenomenon for phenomenon, _ in count} == set(PHENOMENA)
        for phenomenon in PHENOMENA:
            assert count[phenomenon, 0] == count[phenomenon, 1] > 50


@pytest.mark.parametrize("name", PHENOMENA)
def test_twins_differ(name: str) -> None:
    draw = Draw(7)
    for _ in range(200):
        good, bad = PHENOMENA[name](draw)
        assert good != bad
        assert "  " not in good + bad


def test_words_alone_do_not_tell() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, validation = demo.sentences()
    words = CountVectorizer(token_pattern=r"\w+")
    seen = words.fit_transform([sentence.text for sentence in train])
    model = LogisticRegression(max_iter=300).fit(seen, [sentence.label for sentence in train])
    unseen = words.transform([sentence.text for sentence in validation])
    accuracy = model.score(unseen, [sentence.label for sentence in validation])
    assert accuracy < 0.6
