"""Where a model is wrong that tags words: by entity where the tags mark any, else by word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from calisr_engine.analysis.error_report import (
    NONE,
    ClassScore,
    ErrorReport,
    Mistake,
    by_length,
    number_of,
)
from calisr_engine.task_kinds import OUTSIDE
from calisr_engine.tasks.tagged import (
    Entity,
    as_bioes,
    entities,
    marks_entities,
    type_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TaggedTexts:
    """What a model said of the words of texts, and what is true.

    Attributes:
        index: what the data calls each text.
        words: of each text; None where they are not known.
        label, predicted: the tags of each text.
        probabilities: of each predicted tag.
        classes: all tags by class number.
    """

    index: Sequence[str]
    label: Sequence[Sequence[str]]
    predicted: Sequence[Sequence[str]]
    probabilities: Sequence[Sequence[float]]
    classes: tuple[str, ...]
    words: Sequence[Sequence[str]] | None = None

    @classmethod
    def of_logits(
        cls,
        index: Sequence[str],
        label: Sequence[Sequence[int]],
        logits: NDArray[np.float64],
        classes: tuple[str, ...],
        words: Sequence[Sequence[str]] | None = None,
    ) -> TaggedTexts:
        """From logits of shape (words, tags), those of all texts one after the other."""
        from scipy.special import softmax

        shares = softmax(logits, axis=1)
        numbers, best = shares.argmax(1).tolist(), shares.max(1).tolist()
        true, said, sure, at = [], [], [], 0
        for row in label:
            end = at + len(row)
            true.append([classes[number] for number in row])
            said.append([classes[number] for number in numbers[at:end]])
            sure.append(best[at:end])
            at = end
        return cls(index, true, said, sure, classes, words)

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def types(self) -> list[str]:
        """Types of entities; the tags themselves where they mark none."""
        return sorted({type_of(name) for name in self.classes} - {""})

    @cached_property
    def _marks(self) -> bool:
        return marks_entities(self.classes)

    def _parts(self, tags: Sequence[str]) -> list[Entity]:
        """Entities, or each word where the tags mark none."""
        if self._marks:
            return entities(tags)
        return [Entity(tag, n, n + 1) for n, tag in enumerate(tags) if tag != OUTSIDE]

    def report(self) -> ErrorReport:
        """All that can be said of them but for the single entities."""
        import numpy as np

        wrong = sum(
            self._parts(true) != self._parts(said)
            for true, said in zip(self.label, self.predicted, strict=True)
        )
        names = [*self.types, OUTSIDE]
        place = {name: number for number, name in enumerate(names)}
        matrix = np.zeros((len(names), len(names)), dtype=int)
        for true, said in zip(self.label, self.predicted, strict=True):
            for one, other in zip(true, said, strict=True):
                matrix[place[type_of(one) or OUTSIDE], place[type_of(other) or OUTSIDE]] += 1
        lengths = np.array([len(tags) for tags in self.label])
        return ErrorReport(
            rows=len(self),
            wrong=wrong,
            scores=self._scores(np.ones(len(self), dtype=bool)),
            classes=self._class_scores(),
            confusion=tuple(map(tuple, matrix.tolist())),
            lengths=by_length(lengths, self._scores),
            kind="token",
            confused=tuple(names),
        )

    def mistakes(self, label: str | None = None, predicted: str | None = None) -> list[Mistake]:
        """The entities that were missed, made up or given another type, the most confident first.

        An entity with another end than the true one is two mistakes: one missed, one made up. The
        text has brackets around it. How sure the model was is the mean over its words.

        Args:
            label: only entities of this true type.
            predicted: only those that were given this type.

        Raises:
            ConfigError: there is no such type.
        """
        for name in (label, predicted):
            if name is not None:
                number_of(name, self.types)
        found = []
        for row in range(len(self)):
            true = {(e.start, e.end): e.type for e in self._parts(self.label[row])}
            said = {(e.start, e.end): e.type for e in self._parts(self.predicted[row])}
            for start, end in sorted(true.keys() | said.keys()):
                one, other = true.get((start, end), NONE), said.get((start, end), NONE)
                if one != other and label in (None, one) and predicted in (None, other):
                    found.append(self._mistake(row, start, end, one, other))
        return sorted(found, key=lambda each: -(each.confidence or 0.0))

    def _mistake(self, row: int, start: int, end: int, true: str, said: str) -> Mistake:
        sure = fmean(self.probabilities[row][start:end])
        text = None
        if self.words is not None:
            words = list(self.words[row])
            inside = " ".join(words[start:end])
            text = (" ".join([*words[:start], f"[{inside}]", *words[end:]]),)
        return Mistake(self.index[row], true, said, sure, None, None, text)

    def _scores(self, rows: NDArray[np.bool_]) -> dict[str, float]:
        import numpy as np

        from calisr_engine.tasks import metrics

        number = {name: place for place, name in enumerate(self.classes)}
        chosen = np.flatnonzero(rows).tolist()
        true, said = (
            [number[tag] for row in chosen for tag in side[row]]
            for side in (self.label, self.predicted)
        )
        if not self._marks:
            return metrics.compute(("accuracy", "macro_f1"), said, true)
        tags = metrics.Tagged(as_bioes(self.classes), [len(self.label[row]) for row in chosen])
        names = ("span_f1", "span_precision", "span_recall", "accuracy")
        return metrics.compute(names, said, true, tags)

    def _class_scores(self) -> tuple[ClassScore, ...]:
        """Each type: how many entities there are, and are found with both ends and the type."""
        true, said, right = Counter[str](), Counter[str](), Counter[str]()
        for own, other in zip(self.label, self.predicted, strict=True):
            there, given = self._parts(own), self._parts(other)
            true.update(each.type for each in there)
            said.update(each.type for each in given)
            right.update(each.type for each in set(there) & set(given))
        return tuple(_score(name, true[name], said[name], right[name]) for name in self.types)


def _score(name: str, rows: int, predicted: int, right: int) -> ClassScore:
    precision, recall = (right / count if count else 0.0 for count in (predicted, rows))
    both: Any = precision + recall
    return ClassScore(
        name, rows, predicted, precision, recall, 2 * precision * recall / both if both else 0.0
    )
