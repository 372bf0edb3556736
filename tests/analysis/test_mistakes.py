"""Errors of known answers, against figures worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calisr_engine.analysis.mistakes import Answers, mistakes, report
from calisr_engine.errors import ConfigError

NAMES = ("bad", "good", "odd")
SHARES = np.array(
    [
        [0.85, 0.10, 0.05],  # bad, right
        [0.69, 0.21, 0.10],  # bad for good
        [0.05, 0.95, 0.00],  # good, right
        [0.30, 0.65, 0.05],  # good for bad
        [0.15, 0.82, 0.03],  # good for bad, and surer
        [0.20, 0.40, 0.40],  # good for odd: of equal classes the first
    ]
)
LABEL = [0, 1, 1, 0, 0, 2]
TEXTS = [("a b",), ("a b",), ("a b c",), ("a b c d",), ("a",), ("a b c d e f",)]


def answers(texts: list[tuple[str, ...]] | None = TEXTS) -> Answers:
    with np.errstate(divide="ignore"):
        logits = np.log(SHARES)
    return Answers.of_logits(tuple("uvwxyz"), LABEL, logits, NAMES, texts)


def test_the_figures_of_classes() -> None:
    found = report(answers())
    assert found.confusion == ((1, 2, 0), (1, 1, 0), (0, 1, 0))
    assert found.confusions() == [("bad", "good", 2), ("good", "bad", 1), ("odd", "good", 1)]
    assert (found.rows, found.wrong) == (6, 4)
    bad, good, odd = found.classes or ()
    assert (bad.rows, bad.predicted) == (3, 2)
    assert (bad.precision, bad.recall, bad.f1) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert (good.rows, good.predicted) == (2, 4)
    assert (good.precision, good.recall, good.f1) == pytest.approx((1 / 4, 1 / 2, 1 / 3))
    assert (odd.rows, odd.predicted, odd.precision, odd.recall, odd.f1) == (1, 0, 0, 0, 0)
    assert found.scores["accuracy"] == pytest.approx(1 / 3)
    assert found.scores["macro_f1"] == pytest.approx((2 / 5 + 1 / 3) / 3)
    # Bins: 0.40; 0.65 and 0.69; 0.85 and 0.82; 0.95. An edge belongs to the bin below it.
    bins = [(each.rows, each.confidence, each.accuracy) for each in found.calibration or ()]
    expected = [(1, 0.4, 0), (2, 0.67, 0), (2, 0.835, 0.5), (1, 0.95, 1)]
    assert bins == [pytest.approx(each) for each in expected]
    error = (0.4 + 2 * 0.67 + 2 * 0.335 + 0.05) / 6
    assert found.expected_calibration_error == pytest.approx(error)
    slices = [(each.low, each.high, each.rows, each.scores["accuracy"]) for each in found.lengths]  # type: ignore[union-attr]
    assert slices == [(1, 2, 3, pytest.approx(1 / 3)), (3, 3, 1, 1.0), (4, 6, 2, 0.0)]
    json.dumps(found.to_dict())
    even = Answers.of_logits(("u",), [0], np.zeros((1, 2)), ("a", "b"))
    assert [(each.low, each.high) for each in report(even).calibration or ()] == [(0.4, 0.5)]
    assert report(answers(None)).lengths is None


def test_mistakes_come_the_most_confident_first_and_by_class() -> None:
    every = mistakes(answers())
    assert [each.index for each in every] == ["y", "v", "x", "z"]
    first = every[0]
    assert (first.label, first.prediction, first.texts) == ("bad", "good", ("a",))
    assert (first.confidence, first.of_label) == pytest.approx((0.82, 0.15))
    assert [each.index for each in mistakes(answers(), label="bad")] == ["y", "x"]
    assert [each.index for each in mistakes(answers(), predicted="good")] == ["y", "x", "z"]
    assert [each.index for each in mistakes(answers(), "good", "bad")] == ["v"]
    with pytest.raises(ConfigError, match="no class 'Bad'") as caught:
        mistakes(answers(), label="Bad")
    assert "'bad', 'good', 'odd'" in caught.value.hint


def test_a_regression() -> None:
    target, said = [0.0, 1.0, 2.0, 3.0], np.array([[0.5], [1.0], [1.0], [3.5]])
    texts = [("a",), ("a b",), ("a b c",), ("a", "b c d")]
    values = Answers.of_logits(tuple("uvwx"), target, said, None, texts)
    found = report(values)
    assert (found.wrong, found.classes, found.calibration) == (None, None, None)
    assert found.scores["mean_error"] == 0
    assert found.scores["mean_absolute_error"] == 0.5
    assert found.scores["root_mean_squared_error"] == pytest.approx(np.sqrt(1.5 / 4))
    assert found.scores["pearson"] == pytest.approx(np.corrcoef(target, said[:, 0])[0, 1])
    assert sum(count for *_, count in found.residuals or ()) == 4
    assert [(each.index, each.error) for each in mistakes(values)] == [
        ("w", -1.0),
        ("u", 0.5),
        ("x", 0.5),
        ("v", 0.0),
    ]
    with pytest.raises(ConfigError, match="predicts values"):
        mistakes(values, label="good")
