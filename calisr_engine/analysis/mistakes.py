"""Where a trained model is wrong: classes, confusions, calibration, lengths, single rows.

Everything is worked out from the model's answers on rows whose truth is known; no model, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from calisr_engine.analysis.error_report import (
    BINS,
    ErrorReport,
    Mistake,
    by_length,
    calibration_curve,
    calibration_error,
    class_scores,
    number_of,
    words_in,
)
from calisr_engine.analysis.label_mistakes import LabelSets
from calisr_engine.analysis.tag_mistakes import TaggedTexts
from calisr_engine.errors import ConfigError
from calisr_engine.task_kinds import KindName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Answers:
    """What a model said of rows, in their order, and what is true.

    Attributes:
        index: what the data calls each row.
        label: true class numbers, or targets, shape (rows,).
        predicted: likewise; the class of the largest logit, or the value.
        probabilities: shape (rows, classes); None for a regression.
        classes: names by class number; None for a regression.
        texts: the one text or both of each row, or the text and its alternatives; None where they
            are not known.
        kind: of a classification whose classes are the alternatives of each text, "choice".
    """

    index: Sequence[str]
    label: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    classes: tuple[str, ...] | None
    texts: Sequence[tuple[str, ...]] | None = None
    kind: KindName = "classification"

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
        return None if self.texts is None else words_in(self.texts)


AnyAnswers = Answers | LabelSets | TaggedTexts


def report(answers: AnyAnswers) -> ErrorReport:
    """All that can be said of these answers but for the single rows (`mistakes`).

    Raises:
        ValueError: there are none.
    """
    if not isinstance(answers, Answers):
        return answers.report()
    if answers.probabilities is None:
        return ErrorReport(
            rows=len(answers),
            wrong=None,
            scores=_scores(answers),
            residuals=_residuals(answers),
            lengths=by_length(answers.lengths, partial(_scores, answers)),
            kind="regression",
        )
    from sklearn.metrics import confusion_matrix

    assert answers.classes is not None
    numbers = range(len(answers.classes))
    matrix = confusion_matrix(answers.label, answers.predicted, labels=list(numbers)).tolist()
    confidence = answers.probabilities.max(axis=1)
    curve = calibration_curve(confidence, answers.predicted == answers.label)
    return ErrorReport(
        rows=len(answers),
        wrong=int((answers.predicted != answers.label).sum()),
        scores=_scores(answers),
        classes=class_scores(answers.classes, answers.label, answers.predicted),
        confusion=tuple(map(tuple, matrix)),
        calibration=curve,
        mean_confidence=float(confidence.mean()),
        expected_calibration_error=calibration_error(curve, len(answers)),
        lengths=by_length(answers.lengths, partial(_scores, answers)),
        kind=answers.kind,
    )


def mistakes(
    answers: AnyAnswers, label: str | None = None, predicted: str | None = None
) -> list[Mistake]:
    """The wrong rows, the most confident first; of a regression all, the largest error first.

    Where words are tagged, the wrong entities (or words) in the place of rows.

    Args:
        label: only rows of this true class; of several labels, those that lack it wrongly.
        predicted: only rows that were given this class, wrongly.

    Raises:
        ConfigError: there is no such class.
    """
    import numpy as np

    if not isinstance(answers, Answers):
        return answers.mistakes(label, predicted)

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
            wanted &= column == number_of(name, answers.classes or ())
    rows = np.flatnonzero(wanted)
    order = np.argsort(-answers.probabilities[rows].max(axis=1), kind="stable")
    return [_mistake(answers, int(row)) for row in rows[order]]


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
        several = ("accuracy", "macro_f1", "matthews")
        names = metrics.valid_names("choice", 0) if answers.kind == "choice" else several
        return metrics.compute(names, predicted, label)
    error = predicted - label
    return {
        **metrics.compute(("pearson", "spearman"), predicted, label),
        "mean_error": float(error.mean()),
        "mean_absolute_error": float(np.abs(error).mean()),
        "root_mean_squared_error": float(np.sqrt(np.square(error).mean())),
    }


def _residuals(answers: Answers) -> tuple[tuple[float, float, int], ...]:
    import numpy as np

    counts, edges = np.histogram(answers.predicted - answers.label, bins=BINS)
    bins = pairwise(edges.tolist())
    return tuple((low, high, int(n)) for (low, high), n in zip(bins, counts, strict=True))
