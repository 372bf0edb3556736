"""Metrics of predictions, with scikit-learn and scipy; every value is a number, never NaN.

A metric that is not defined because all predictions are equal (a correlation with a constant, say)
is 0.0, and `notes` says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calisr_engine.errors import ConfigError, RunFailedError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Metric:
    """One metric. All go up as predictions get better.

    Attributes:
        kinds: the kinds of task that it is for.
        binary: it needs exactly two classes, and looks at class 1.
        correlation: it is not defined where all predictions or all labels are equal.
    """

    name: str
    title: str
    help: str
    kinds: tuple[str, ...]
    binary: bool = False
    correlation: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "Accuracy", "Share of right predictions.", ("classification",)),
        Metric(
            "f1",
            "F1",
            "Harmonic mean of precision and recall of the second of two classes.",
            ("classification",),
            binary=True,
        ),
        Metric("macro_f1", "Macro F1", "Mean of the F1 of each class.", ("classification",)),
        Metric(
            "matthews",
            "Matthews correlation",
            "Correlation of predicted and true classes, 0 by chance.",
            ("classification",),
            correlation=True,
        ),
        Metric(
            "pearson",
            "Pearson correlation",
            "Linear correlation of predictions and targets.",
            ("regression",),
            correlation=True,
        ),
        Metric(
            "spearman",
            "Spearman correlation",
            "Correlation of the ranks of predictions and targets.",
            ("regression",),
            correlation=True,
        ),
    )
}


def valid_names(kind: str, classes: int) -> list[str]:
    """Metrics that fit a kind of task and its number of classes (0 for regression)."""
    return [
        metric.name
        for metric in METRICS.values()
        if kind in metric.kinds and (classes == 2 or not metric.binary)
    ]


def check(name: str, kind: str, classes: int) -> None:
    """Refuse a metric that does not exist or does not fit.

    Raises:
        ConfigError: with the metrics that fit.
    """
    fitting = valid_names(kind, classes)
    if name in fitting:
        return
    hint = f"metrics that fit: {', '.join(fitting)}"
    if name not in METRICS:
        import difflib

        near = difflib.get_close_matches(name.lower(), fitting, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"task.metric: there is no metric {name!r}", meant + hint)
    data = f"{classes} classes" if kind == "classification" else "regression"
    raise ConfigError(f"task.metric: {name} does not fit data with {data}", hint)


def compute(
    names: Sequence[str], predictions: np.ndarray | Sequence[Any], labels: Sequence[Any]
) -> dict[str, float]:
    """Each metric's value.

    Args:
        names: keys of `METRICS`.
        predictions: class numbers, or values for regression, shape (examples,).
        labels: the true ones, in the same order.

    Raises:
        RunFailedError: a prediction is not a finite number.
    """
    import numpy as np

    predicted, true = np.asarray(predictions), np.asarray(labels)
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise ValueError(f"{predicted.shape} predictions for {true.shape} labels")
    if not len(true):
        raise ValueError("there is nothing to evaluate")
    if not np.isfinite(predicted.astype(np.float64)).all():
        raise RunFailedError(
            "the model predicts values that are not finite numbers",
            "the run has diverged; lower training.learning_rate",
        )
    functions = _functions()
    result = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            value = float(functions[name](predicted, true))
            result[name] = value if np.isfinite(value) else 0.0
    return result


def notes(
    names: Sequence[str], predictions: np.ndarray | Sequence[Any], labels: Sequence[Any]
) -> list[str]:
    """Why some of the named metrics of these predictions say nothing; empty as a rule."""
    import numpy as np

    undefined = [METRICS[name].title for name in names if METRICS[name].correlation]
    if not undefined:
        return []
    found = []
    for values, what in ((predictions, "predictions"), (labels, "labels")):
        array = np.asarray(values)
        if len(array) and (array == array[0]).all():
            found.append(
                f"all {what} are equal ({array[0]}), so {' and '.join(undefined)} "
                f"{'is' if len(undefined) == 1 else 'are'} not defined and shown as 0"
            )
    return found


def _functions() -> dict[str, Callable[[Any, Any], Any]]:
    from scipy import stats
    from sklearn import metrics as sk

    return {
        "accuracy": lambda p, t: sk.accuracy_score(t, p),
        "f1": lambda p, t: sk.f1_score(t, p, pos_label=1, average="binary", zero_division=0.0),
        "macro_f1": lambda p, t: sk.f1_score(t, p, average="macro", zero_division=0.0),
        "matthews": lambda p, t: sk.matthews_corrcoef(t, p),
        "pearson": lambda p, t: (
            stats.pearsonr(p.astype(float), t.astype(float)).statistic if len(t) > 1 else 0.0
        ),
        "spearman": lambda p, t: stats.spearmanr(p, t).statistic if len(t) > 1 else 0.0,
    }
