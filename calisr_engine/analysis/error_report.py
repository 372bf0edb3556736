"""What is told of a model's errors, whatever kind of task it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import quoted
from calisr_engine.task_kinds import KindName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 10
"""Of the calibration curve, equally wide in confidence; and of the histogram of residuals."""
LENGTH_SLICES = 4
NONE = "no label"
"""In the place of a label or a type where there is none."""


@dataclass(frozen=True)
class ClassScore:
    """One class, label, or type of entity. `rows` (or entities) have it, `predicted` are given it;
    a share of none is 0."""

    name: str
    rows: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence (the probability of the predicted class) lies in (low, high]; of
    several labels, pairs of row and label by the label's probability, and `accuracy` is the share
    that has the label."""

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
        label, prediction: class names, or values; several labels with commas between (one that has
            a comma itself in quotes); the types of an entity. `NONE` where there is none.
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
        wrong: rows whose class is wrong, or one of whose labels or entities is; None for a
            regression, as are `classes`, `confusion` and what is said of confidence.
        scores: metrics over all rows; for a regression also mean_error (prediction less target),
            mean_absolute_error and root_mean_squared_error, in the unit of the targets.
        confusion: rows by true class, then by predicted class.
        calibration: the reliability curve, without empty bins.
        expected_calibration_error: mean distance of confidence and accuracy over its bins.
        residuals: (low, high, rows) bins of prediction less target; None for classes.
        lengths: slices by length in words, quarters of the rows; None without texts.
        kind: of the task.
        confused: names of the rows and columns of `confusion`, where they are not the classes.
    """

    rows: int
    wrong: int | None
    scores: Mapping[str, float]
    classes: tuple[ClassScore, ...] | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    calibration: tuple[Bin, ...] | None = None
    mean_confidence: float | None = None
    expected_calibration_error: float | None = None
    residuals: tuple[tuple[float, float, int], ...] | None = None
    lengths: tuple[Slice, ...] | None = None
    kind: KindName = "classification"
    confused: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def confusion_names(self) -> list[str]:
        """What stands at the rows and columns of `confusion`."""
        return list(self.confused or [each.name for each in self.classes or ()])

    def confusions(self) -> list[tuple[str, str, int]]:
        """(true class, predicted class, rows) of what is confused, the most frequent first."""
        assert self.confusion is not None
        names = self.confusion_names
        found = [
            (names[true], names[said], count)
            for true, row in enumerate(self.confusion)
            for said, count in enumerate(row)
            if true != said and count
        ]
        return sorted(found, key=lambda each: -each[2])


def number_of(name: str, classes: Sequence[str]) -> int:
    """The number of a class.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in classes:
        some = ", ".join(map(quoted, classes[:12])) + (", ..." if len(classes) > 12 else "")
        raise ConfigError(f"there is no class {quoted(name)}", f"the classes are {some}")
    return classes.index(name)


def class_scores(
    names: Sequence[str], label: NDArray[Any], predicted: NDArray[Any]
) -> tuple[ClassScore, ...]:
    """What each class comes to.

    Args:
        label, predicted: class numbers, shape (rows,); or 0 and 1, shape (rows, classes).
    """
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support

    numbers = range(len(names))
    precision, recall, f1, support = precision_recall_fscore_support(
        label, predicted, labels=list(numbers), zero_division=0.0
    )
    several = predicted.ndim == 2
    given = predicted.sum(0) if several else np.bincount(predicted, minlength=len(names))
    return tuple(
        ClassScore(
            name,
            int(support[number]),
            int(given[number]),
            float(precision[number]),
            float(recall[number]),
            float(f1[number]),
        )
        for number, name in enumerate(names)
    )


def words_in(texts: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    """Words of each row, of both texts together."""
    import numpy as np

    return np.array([sum(len(text.split()) for text in row) for row in texts])


def calibration_curve(confidence: NDArray[np.float64], right: NDArray[Any]) -> tuple[Bin, ...]:
    """The bins that hold anything.

    Args:
        confidence: a probability each.
        right: whether it came true.
    """
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


def calibration_error(curve: Sequence[Bin], count: int) -> float:
    """The mean distance of confidence and accuracy over the bins."""
    return sum(each.rows * abs(each.confidence - each.accuracy) for each in curve) / count


def by_length(
    lengths: NDArray[np.int64] | None, scores: Callable[[NDArray[np.bool_]], Mapping[str, float]]
) -> tuple[Slice, ...] | None:
    """Quarters of the rows by length; equal lengths stay together.

    Args:
        lengths: words of each row; None where they are not known.
        scores: the metrics on the rows of a mask.
    """
    import numpy as np

    if lengths is None:
        return None
    cuts = np.quantile(lengths, np.linspace(0, 1, LENGTH_SLICES + 1)[1:-1], method="lower")
    place = np.searchsorted(np.unique(cuts), lengths, side="left")
    found = []
    for number in np.unique(place):
        rows = place == number
        inside = lengths[rows]
        low, high = int(inside.min()), int(inside.max())
        found.append(Slice(low, high, int(rows.sum()), scores(rows)))
    return tuple(found)
