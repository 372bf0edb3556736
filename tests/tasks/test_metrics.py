from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.errors import ConfigError, RunFailedError
from calisr_engine.tasks import metrics


def test_values_by_hand() -> None:
    # tp 2, fp 1, fn 1, tn 2
    predicted, true = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0]
    found = metrics.compute(["accuracy", "f1", "macro_f1", "matthews"], predicted, true)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx(2 / 3)
    assert found["matthews"] == pytest.approx((2 * 2 - 1 * 1) / math.sqrt(3 * 3 * 3 * 3))


def test_correlations() -> None:
    found = metrics.compute(["pearson", "spearman"], [1.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert found["spearman"] == pytest.approx(1.0)
    assert found["pearson"] == pytest.approx(np.corrcoef([1, 4, 9], [1, 2, 3])[0, 1])


@pytest.mark.parametrize("name", ["matthews", "f1", "macro_f1", "pearson", "spearman"])
def test_constant_predictions_have_a_value(name: str) -> None:
    found = metrics.compute([name], [0, 0, 0, 0], [0, 1, 0, 1])
    assert math.isfinite(found[name])
    if name != "macro_f1":
        assert found[name] == 0.0


def test_notes_are_on_the_correlations_that_are_shown() -> None:
    assert metrics.notes(["accuracy", "f1", "macro_f1"], [0, 0], [1, 1]) == []
    (note,) = metrics.notes(["matthews", "accuracy"], [0, 0], [0, 1])
    assert note == (
        "all predictions are equal (0), so Matthews correlation is not defined and shown as 0"
    )
    both = metrics.notes(["spearman", "pearson"], [0.5, 1.0], [2.0, 2.0])
    assert both == [
        "all labels are equal (2.0), so Spearman correlation and Pearson correlation are not "
        "defined and shown as 0"
    ]
    assert metrics.notes(["matthews", "pearson"], [0, 1], [0, 1]) == []


def test_single_rows_have_a_value() -> None:
    names = [name for name, each in metrics.METRICS.items() if not each.of_spans]
    assert all(math.isfinite(v) for v in metrics.compute(names, [1], [1]).values())


def test_predictions_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(RunFailedError, match="not finite"):
        metrics.compute(["pearson"], [math.nan, 1.0], [1.0, 2.0])


def test_rows_must_match() -> None:
    with pytest.raises(ValueError, match="predictions for"):
        metrics.compute(["accuracy"], [1, 0], [1])


@pytest.mark.parametrize(
    ("name", "kind", "classes", "expected"),
    [
        ("acuracy", "classification", 2, "no metric 'acuracy'"),
        ("pearson", "classification", 2, "does not fit data with 2 classes"),
        ("f1", "classification", 3, "does not fit data with 3 classes"),
        ("accuracy", "regression", 0, "does not fit data with regression"),
    ],
)
def test_metrics_that_do_not_fit(name: str, kind: str, classes: int, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        metrics.check(name, kind, classes)
    assert "metrics that fit: " in caught.value.hint
    assert caught.value.exit_code == 2


def test_names_that_fit() -> None:
    assert metrics.valid_names("regression", 0) == ["pearson", "spearman"]
    assert "f1" not in metrics.valid_names("classification", 3)
    for name in metrics.valid_names("classification", 2):
        metrics.check(name, "classification", 2)


@given(
    st.lists(st.sampled_from(sorted(metrics.METRICS)), unique=True),
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 2])), min_size=1, max_size=6
    ),
)
@settings(derandomize=True, deadline=None)
def test_a_note_for_each_constant_where_a_correlation_is_shown(
    names: list[str], rows: list[tuple[int, int]]
) -> None:
    predictions, labels = zip(*rows, strict=True)
    constants = (len(set(predictions)) == 1) + (len(set(labels)) == 1)
    shown = bool({"matthews", "pearson", "spearman"} & set(names))
    assert len(metrics.notes(names, predictions, labels)) == constants * shown
