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
        of_spans: it looks at entities of several words, which only some tags mark.
    """

    name: str
    title: str
    help: str
    kinds: tuple[str, ...]
    binary: bool = False
    correlation: bool = False
    of_spans: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy",
            "Accuracy",
            "Share of right predictions; of words where each has a tag.",
            ("classification", "token", "choice"),
        ),
        Metric(
            "f1",
            "F1",
            "Harmonic mean of precision and recall of the second of two classes.",
            ("classification",),
            binary=True,
        ),
        Metric(
            "macro_f1",
            "Macro F1",
            "Mean of the F1 of each class.",
            ("classification", "multi_label", "token"),
        ),
        Metric(
            "micro_f1",
            "Micro F1",
            "F1 of all labels of all rows together.",
            ("multi_label",),
        ),
        Metric(
            "subset_accuracy",
            "Subset accuracy",
            "Share of rows whose labels are all right.",
            ("multi_label",),
        ),
        Metric(
            "span_f1",
            "Span F1",
            "F1 of entities: both ends and the type are right (seqeval, as conlleval counts).",
            ("token",),
            of_spans=True,
        ),
        Metric(
            "span_precision",
            "Span precision",
            "Share of the predicted entities that are right.",
            ("token",),
            of_spans=True,
        ),
        Metric(
            "span_recall",
            "Span recall",
            "Share of the entities that are found.",
            ("token",),
            of_spans=True,
        ),
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


def valid_names(kind: str, classes: int, spans: bool = True) -> list[str]:
    """Metrics that fit a kind of task and its number of classes (0 for regression).

    Args:
        spans: whether the tags of words mark entities.
    """
    return [
        metric.name
        for metric in METRICS.values()
        if kind in metric.kinds
        and (classes == 2 or not metric.binary)
        and (spans or not metric.of_spans)
    ]


def check(name: str, kind: str, classes: int, spans: bool = True) -> None:
    """Refuse a metric that does not exist or does not fit.

    Args:
        spans: as for `valid_names`.

    Raises:
        ConfigError: with the metrics that fit.
    """
    fitting = valid_names(kind, classes, spans)
    if name in fitting:
        return
    hint = f"metrics that fit: {', '.join(fitting)}"
    if name not in METRICS:
        import difflib

        near = difflib.get_close_matches(name.lower(), fitting, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"task.metric: there is no metric {name!r}", meant + hint)
    data = {
        "classification": f"{classes} classes",
        "regression": "regression",
        "multi_label": "several labels a text",
        "token": "tags of words" if spans else "tags of words that mark no entities",
        "choice": "a choice between alternatives",
    }[kind]
    raise ConfigError(f"task.metric: {name} does not fit data with {data}", hint)


def compute(
    names: Sequence[str],
    predictions: np.ndarray | Sequence[Any],
    labels: Sequence[Any],
    tags: Tagged | None = None,
) -> dict[str, float]:
    """Each metric's value.

    Args:
        names: keys of `METRICS`.
        predictions: class numbers, or values for regression, shape (examples,); for several
            labels 0 and 1, shape (examples, classes); for words class numbers, shape (words,).
        labels: the true ones, in the same order.
        tags: what the class numbers of words are, where they mark entities.

    Raises:
        RunFailedError: a prediction is not a finite number.
    """
    import numpy as np

    predicted, true = np.asarray(predictions), np.asarray(labels)
    if predicted.shape != true.shape or predicted.ndim not in (1, 2):
        raise ValueError(f"{predicted.shape} predictions for {true.shape} labels")
    if not len(true):
        raise ValueError("there is nothing to evaluate")
    if not np.isfinite(predicted.astype(np.float64)).all():
        raise RunFailedError(
            "the model predicts values that are not finite numbers",
            "the run has diverged; lower training.learning_rate",
        )
    functions = _functions()
    if tags is not None:
        functions |= _of_spans(tags.sentences(predicted), tags.sentences(true))
    result = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            value = float(functions[name](predicted, true))
            result[name] = value if np.isfinite(value) else 0.0
    return result


@dataclass(frozen=True)
class Tagged:
    """Tags of words, one after the other.

    Attributes:
        names: tags by class number, in a scheme that marks entities.
        lengths: words of each sentence.
    """

    names: Sequence[str]
    lengths: Sequence[int]

    def sentences(self, numbers: np.ndarray | Sequence[int]) -> list[list[str]]:
        """The tags of each sentence, from the class numbers of all words."""
        found, at = [], 0
        for length in self.lengths:
            found.append([self.names[int(number)] for number in numbers[at : at + length]])
            at += length
        return found


def _of_spans(
    predicted: list[list[str]], true: list[list[str]]
) -> dict[str, Callable[[Any, Any], Any]]:
    """seqeval's figures in its default mode, which counts entities as conlleval does."""
    from seqeval.metrics import f1_score, precision_score, recall_score

    functions = {
        "span_f1": f1_score,
        "span_precision": precision_score,
        "span_recall": recall_score,
    }

    def figure(of: Callable[..., Any]) -> Callable[[Any, Any], Any]:
        return lambda p, t: of(true, predicted, zero_division=0)

    return {name: figure(function) for name, function in functions.items()}


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
        "micro_f1": lambda p, t: sk.f1_score(t, p, average="micro", zero_division=0.0),
        "subset_accuracy": lambda p, t: sk.accuracy_score(t, p),
        "matthews": lambda p, t: sk.matthews_corrcoef(t, p),
        "pearson": lambda p, t: (
            stats.pearsonr(p.astype(float), t.astype(float)).statistic if len(t) > 1 else 0.0
        ),
        "spearman": lambda p, t: stats.spearmanr(p, t).statistic if len(t) > 1 else 0.0,
    }
