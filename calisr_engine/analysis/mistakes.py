"""Where a trained model is wrong: classes, confusions, calibration, lengths, single rows.

Everything is worked out from the model's answers on rows whose truth is known; no model, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 10
"""Of the calibration curve, equally wide in confidence; and of the histogram of residuals."""
LENGTH_SLICES = 4


@dataclass(frozen=True)
class Answers:
    """What a model said of rows, in their order, and what is true.

    Attributes:
        index: what the data calls each row.
        label: true class numbers, or targets, shape (rows,).
        predicted: likewise; the class of the largest logit, or the value.
        probabilities: shape (rows, classes); None for a regression.
        classes: names by class number; None for a regression.
        texts: the one text or both of each row; None where they are not known.
    """

    index: Sequence[str]
    label: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    classes: tuple[str, ...] | None
    texts: Sequence[tuple[str, ...]] | None = None

    @classmethod
    def of_logits(
        cls,
        index: Sequence[str],
        label: Sequence[float],
        logits: NDArray[np.float64],
        classes: tuple[str, ...] | None,
        texts: Sequence[tuple[str, ...]] | None = None,
    ) -> Answers:
        """From logits of shape (rows, classes), or values of shape (rows, 1)."""
        import numpy as np

        if classes is None:
            values = logits.reshape(len(index))
            return cls(index, np.asarray(label, np.float64), values, None, None, texts)
        from scipy.special import softmax

        shares, numbers = softmax(logits, axis=1), np.asarray(label, np.int64)
        return cls(index, numbers, logits.argmax(1), shares, classes, texts)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """Words of each row, of both texts together."""
        import numpy as np

        if self.texts is None:
            return None
        return np.array([sum(len(text.split()) for text in row) for row in self.texts])


@dataclass(frozen=True)
class ClassScore:
    """One class. `rows` have it for label, `predicted` are given it; a share of none is 0."""

    name: str
    rows: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence (the probability of the predicted class) lies in (low, high]."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Slice:
    """Rows of `low` to `high` words and what the metrics are on them."""

    low: int
    high: int
    rows: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Mistake:
    """One row.

    Attributes:
        label, prediction: class names, or values.
        confidence: probability of the predicted class; None for a regression.
        of_label: probability that the true class had; None for a regression.
        error: prediction less target; None for classes.
    """

    index: str
    label: str | float
    prediction: str | float
    confidence: float | None
    of_label: float | None
    error: float | None
    texts: tuple[str, ...] | None


@dataclass(frozen=True)
class ErrorReport:
    """A model's errors on one set of rows.

    Attributes:
        wrong: rows whose class is wrong; None for a regression, as are all but the last four.
        scores: metrics over all rows; for a regression also mean_error (prediction less target),
            mean_absolute_error and root_mean_squared_error, in the unit of the targets.
        confusion: rows by true class, then by predicted class.
        calibration: the reliability curve, without empty bins.
        expected_calibration_error: mean distance of confidence and accuracy over its bins.
        residuals: (low, high, rows) bins of prediction less target; None for classes.
        lengths: slices by length in words, quarters of the rows; None without texts.
    """

    rows: int
    wrong: int | None
    scores: Mapping[str, float]
    classes: tuple[ClassScore, ...] | None
    confusion: tuple[tuple[int, ...], ...] | None
    calibration: tuple[Bin, ...] | None
    mean_confidence: float | None
    expected_calibration_error: float | None
    residuals: tuple[tuple[float, float, int], ...] | None
    lengths: tuple[Slice, ...] | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def confusions(self) -> list[tuple[str, str, int]]:
        """(true class, predicted class, rows) of what is confused, the most frequent first."""
        assert self.classes is not None
        assert self.confusion is not None
        names = [each.name for each in self.classes]
        found = [
            (names[true], names[said], count)
            for true, row in enumerate(self.confusion)
            for said, count in enumerate(row)
            if true != said and count
        ]
        return sorted(found, key=lambda each: -each[2])


def report(answers: Answers) -> ErrorReport:
    """All that can be said of these answers but for the single rows (`mistakes`).

    Raises:
        ValueError: there are none.
    """
    if answers.probabilities is None:
        return ErrorReport(
            rows=len(answers),
            wrong=None,
            scores=_scores(answers),
            classes=None,
            confusion=None,
            calibration=None,
            mean_confidence=None,
            expected_calibration_error=None,
            residuals=_residuals(answers),
            lengths=_by_length(answers),
        )
    from sklearn.metrics import confusion_matrix

    assert answers.classes is not None
    numbers = range(len(answers.classes))
    matrix = confusion_matrix(answers.label, answers.predicted, labels=list(numbers)).tolist()
    confidence = answers.probabilities.max(axis=1)
    curve = _calibration(confidence, answers.predicted == answers.label)
    return ErrorReport(
        rows=len(answers),
        wrong=int((answers.predicted != answers.label).sum()),
        scores=_scores(answers),
        classes=_class_scores(answers),
        confusion=tuple(map(tuple, matrix)),
        calibration=curve,
        mean_confidence=float(confidence.mean()),
        expected_calibration_error=sum(
            each.rows * abs(each.confidence - each.accuracy) for each in curve
        )
        / len(answers),
        residuals=None,
        lengths=_by_length(answers),
    )


def mistakes(
    answers: Answers, label: str | None = None, predicted: str | None = None
) -> list[Mistake]:
    """The wrong rows, the most confident first; of a regression all, the largest error first.

    Args:
        label: only rows of this true class.
        predicted: only rows that were given this class.

    Raises:
        ConfigError: there is no such class.
    """
    import numpy as np

    if answers.probabilities is None:
        if label is not None or predicted is not None:
            raise ConfigError(
                "the run predicts values, and rows of a class are asked for",
                "leave --label and --predicted out",
            )
        errors = answers.predicted - answers.label
        order = np.argsort(-np.abs(errors), kind="stable")
        return [_mistake(answers, int(row)) for row in order]
    wanted = answers.predicted != answers.label
    for name, column in ((label, answers.label), (predicted, answers.predicted)):
        if name is not None:
            wanted &= column == _number(name, answers.classes or ())
    rows = np.flatnonzero(wanted)
    order = np.argsort(-answers.probabilities[rows].max(axis=1), kind="stable")
    return [_mistake(answers, int(row)) for row in rows[order]]


def _number(name: str, classes: Sequence[str]) -> int:
    if name not in classes:
        some = ", ".join(map(quoted, classes[:12])) + (", ..." if len(classes) > 12 else "")
        raise ConfigError(f"there is no class {quoted(name)}", f"the classes are {some}")
    return classes.index(name)


def _mistake(answers: Answers, row: int) -> Mistake:
    texts = None if answers.texts is None else answers.texts[row]
    label, predicted = answers.label[row], answers.predicted[row]
    if answers.probabilities is None or answers.classes is None:
        true, said = float(label), float(predicted)
        return Mistake(answers.index[row], true, said, None, None, said - true, texts)
    shares = answers.probabilities[row]
    return Mistake(
        answers.index[row],
        answers.classes[label],
        answers.classes[predicted],
        float(shares[predicted]),
        float(shares[label]),
        None,
        texts,
    )


def _scores(answers: Answers, rows: Any = slice(None)) -> dict[str, float]:
    import numpy as np

    from calisr_engine.tasks import metrics

    label, predicted = answers.label[rows], answers.predicted[rows]
    if answers.classes is not None:
        return metrics.compute(("accuracy", "macro_f1", "matthews"), predicted, label)
    error = predicted - label
    return {
        **metrics.compute(("pearson", "spearman"), predicted, label),
        "mean_error": float(error.mean()),
        "mean_absolute_error": float(np.abs(error).mean()),
        "root_mean_squared_error": float(np.sqrt(np.square(error).mean())),
    }


def _class_scores(answers: Answers) -> tuple[ClassScore, ...]:
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support

    assert answers.classes is not None
    numbers = range(len(answers.classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        answers.label, answers.predicted, labels=list(numbers), zero_division=0.0
    )
    given = np.bincount(answers.predicted, minlength=len(numbers))
    return tuple(
        ClassScore(
            name,
            int(support[number]),
            int(given[number]),
            float(precision[number]),
            float(recall[number]),
            float(f1[number]),
        )
        for number, name in enumerate(answers.classes)
    )


def _calibration(confidence: NDArray[np.float64], right: NDArray[Any]) -> tuple[Bin, ...]:
    import numpy as np

    edges = np.linspace(0.0, 1.0, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    found = []
    for number, (low, high) in enumerate(pairwise(edges.tolist())):
        rows = place == number
        if rows.any():
            mean = float(confidence[rows].mean())
            found.append(Bin(low, high, int(rows.sum()), mean, float(right[rows].mean())))
    return tuple(found)


def _residuals(answers: Answers) -> tuple[tuple[float, float, int], ...]:
    import numpy as np

    counts, edges = np.histogram(answers.predicted - answers.label, bins=BINS)
    bins = pairwise(edges.tolist())
    return tuple((low, high, int(n)) for (low, high), n in zip(bins, counts, strict=True))


def _by_length(answers: Answers) -> tuple[Slice, ...] | None:
    """Quarters of the rows by length; equal lengths stay together."""
    import numpy as np

    lengths = answers.lengths
    if lengths is None:
        return None
    cuts = np.quantile(lengths, np.linspace(0, 1, LENGTH_SLICES + 1)[1:-1], method="lower")
    place = np.searchsorted(np.unique(cuts), lengths, side="left")
    found = []
    for number in np.unique(place):
        rows = place == number
        inside = lengths[rows]
        scores = _scores(answers, rows)
        found.append(Slice(int(inside.min()), int(inside.max()), int(rows.sum()), scores))
    return tuple(found)
