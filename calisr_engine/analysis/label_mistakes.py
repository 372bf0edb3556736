"""Where a model is wrong that gives several labels a text: by label, and by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calisr_engine.analysis.error_report import (
    NONE,
    ErrorReport,
    Mistake,
    by_length,
    calibration_curve,
    calibration_error,
    class_scores,
    number_of,
    words_in,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelSets:
    """What a model said of rows, in their order, and what is true.

    Attributes:
        index: what the data calls each row.
        label, predicted: 0 and 1, shape (rows, labels).
        probabilities: of each label, shape (rows, labels).
        classes: label names.
        texts: the one text or both of each row; None where they are not known.
    """

    index: Sequence[str]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]
    texts: Sequence[tuple[str, ...]] | None = None

    @classmethod
    def of_logits(
        cls,
        index: Sequence[str],
        label: Sequence[Sequence[int]],
        logits: NDArray[np.float64],
        classes: tuple[str, ...],
        threshold: float,
        texts: Sequence[tuple[str, ...]] | None = None,
    ) -> LabelSets:
        """From logits of shape (rows, labels)."""
        import numpy as np

        from calisr_engine.tasks.outputs import given_labels, label_probabilities

        shares, said = label_probabilities(logits), given_labels(logits, threshold)
        return cls(index, np.asarray(label, np.int64), said, shares, classes, texts)

    def __len__(self) -> int:
        return len(self.index)

    def report(self) -> ErrorReport:
        """All that can be said of them but for the single rows."""
        curve = calibration_curve(self.probabilities.ravel(), self.label.ravel())
        return ErrorReport(
            rows=len(self),
            wrong=int((self.label != self.predicted).any(axis=1).sum()),
            scores=self._scores(slice(None)),
            classes=class_scores(self.classes, self.label, self.predicted),
            calibration=curve,
            mean_confidence=float(self.probabilities.mean()),
            expected_calibration_error=calibration_error(curve, self.label.size),
            lengths=by_length(None if self.texts is None else words_in(self.texts), self._in_part),
            kind="multi_label",
        )

    def mistakes(self, label: str | None = None, predicted: str | None = None) -> list[Mistake]:
        """The rows with a wrong label, the most confident first.

        How sure the model was is told of the label that it was surest of among the wrong ones.

        Args:
            label: only rows that have it and were not given it.
            predicted: only rows that were given it and have it not.

        Raises:
            ConfigError: there is no such label.
        """
        import numpy as np

        wrong = self.label != self.predicted
        chosen = wrong.copy()
        if label is not None or predicted is not None:
            chosen[:] = False
        rows = np.ones(len(self), dtype=bool)
        for name, truth in ((label, 1), (predicted, 0)):
            if name is not None:
                place = number_of(name, self.classes)
                here = wrong[:, place] & (self.label[:, place] == truth)
                chosen[:, place] |= here
                rows &= here
        rows &= chosen.any(axis=1)
        sure = np.where(self.predicted == 1, self.probabilities, 1 - self.probabilities)
        worst = np.where(chosen, sure, -1.0).max(axis=1)
        found = np.flatnonzero(rows)
        order = np.argsort(-worst[found], kind="stable")
        return [self._mistake(int(row), float(worst[row])) for row in found[order]]

    def _mistake(self, row: int, sure: float) -> Mistake:
        return Mistake(
            self.index[row],
            self._names(self.label[row]),
            self._names(self.predicted[row]),
            sure,
            1 - sure,
            None,
            None if self.texts is None else self.texts[row],
        )

    def _names(self, given: NDArray[Any]) -> str:
        names = [n for n, one in zip(self.classes, given, strict=True) if one]
        return ", ".join(repr(n) if "," in n or n == NONE else n for n in names) or NONE

    def _scores(self, rows: Any) -> dict[str, float]:
        from calisr_engine.tasks import metrics

        names = ("micro_f1", "macro_f1", "subset_accuracy")
        return metrics.compute(names, self.predicted[rows], self.label[rows])

    def _in_part(self, rows: Any) -> dict[str, float]:
        """Without the mean over labels, of which a part of the rows may have none."""
        scores = self._scores(rows)
        del scores["macro_f1"]
        return scores
