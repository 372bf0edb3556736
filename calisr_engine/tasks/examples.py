"""The rows of one data set in memory, whatever they were read from."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

Labels = tuple[int, ...] | tuple[float, ...] | tuple[tuple[int, ...], ...]
"""A class number or a target of each row; else what `Examples.label` says."""


@dataclass(frozen=True)
class Examples:
    """Rows of one split, held by column.

    Attributes:
        text: the text, or the first of each pair.
        text_pair: the second text of each pair, None for single texts.
        label: class numbers (int) or targets (float); for several labels a tuple of 0 and 1 a row,
            one for each class; for words a tuple of their class numbers; None for data without.
        index: what the source calls each row (needed for submissions), else 0, 1, 2, ...
        words: of each text, where each word has a label; None else.
        choices: the alternatives of each text, where the label is the number of one; as many for
            each text. None else.
    """

    text: tuple[str, ...]
    text_pair: tuple[str, ...] | None = None
    label: Labels | None = None
    index: tuple[int | str, ...] | None = None
    words: tuple[tuple[str, ...], ...] | None = None
    choices: tuple[tuple[str, ...], ...] | None = None

    def __post_init__(self) -> None:
        for column in (self.text_pair, self.label, self.index, self.words, self.choices):
            assert column is None or len(column) == len(self.text), "columns differ in length"
        assert len(set(map(len, self.choices or ()))) <= 1, "rows differ in their alternatives"

    @classmethod
    def of_words(
        cls,
        words: Sequence[Sequence[str]],
        label: Sequence[Sequence[int]] | None = None,
        index: tuple[int | str, ...] | None = None,
    ) -> Examples:
        """Rows whose words are known; the text is these with a space between."""
        rows = tuple(map(tuple, words))
        tags = None if label is None else tuple(map(tuple, label))
        return cls(tuple(map(" ".join, rows)), None, tags, index, rows)

    def __len__(self) -> int:
        return len(self.text)

    @property
    def answers(self) -> int:
        """How many answers a model gives: one a row, or one a word."""
        return len(self) if self.words is None else sum(map(len, self.words))

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """All texts of each row: the one, both, or the text and its alternatives."""
        if self.choices is not None:
            return [(text, *own) for text, own in zip(self.text, self.choices, strict=True)]
        columns = [self.text] if self.text_pair is None else [self.text, self.text_pair]
        return list(zip(*columns, strict=True))

    def inputs(self) -> Examples:
        """What is tokenised: these rows, or the pair of the text and each alternative of it."""
        if self.choices is None:
            return self
        text = [text for text, own in zip(self.text, self.choices, strict=True) for _ in own]
        return Examples(tuple(text), tuple(each for own in self.choices for each in own))

    def classes(self) -> Counter[int]:
        """How often each class number comes: in rows, or of words that have it."""
        counts: Counter[int] = Counter()
        for label in self.label or ():
            if not isinstance(label, tuple):
                counts[int(label)] += 1
            elif self.words is not None:
                counts.update(label)
            else:
                counts.update(number for number, given in enumerate(label) if given)
        return counts

    def __getitem__(self, row: int) -> dict[str, Any]:
        item: dict[str, Any] = {"text": self.text[row]}
        if self.text_pair is not None:
            item["text_pair"] = self.text_pair[row]
        if self.label is not None:
            item["label"] = self.label[row]
        if self.index is not None:
            item["index"] = self.index[row]
        if self.words is not None:
            item["words"] = self.words[row]
        if self.choices is not None:
            item["choices"] = self.choices[row]
        return item

    def take(self, rows: Sequence[int]) -> Examples:
        """The given rows, in the given order."""

        def pick(column: tuple[Any, ...] | None) -> Any:
            return None if column is None else tuple(column[row] for row in rows)

        return replace(
            self,
            text=pick(self.text),
            text_pair=pick(self.text_pair),
            label=pick(self.label),
            index=pick(self.index),
            words=pick(self.words),
            choices=pick(self.choices),
        )

    def text_fingerprint(self) -> str:
        """sha256 of the texts alone, which is what tokenising depends on."""
        return _sha256([self.text, self.text_pair] if self.words is None else [self.words])

    def fingerprint(self) -> str:
        """sha256 of texts and labels."""
        if self.words is not None:
            return _sha256([self.words, self.label])
        if self.choices is not None:
            return _sha256([self.text, self.choices, self.label])
        return _sha256([self.text, self.text_pair, self.label])


def mean_label(examples: Examples) -> float:
    """Mean of targets, rounded once."""
    targets = [each for each in examples.label or () if not isinstance(each, tuple)]
    return math.fsum(targets) / len(targets)


def subsample(examples: Examples, count: int | None, salt: str) -> Examples:
    """A fixed random choice of `count` rows, in their own order; all where there are no more.

    The chosen rows keep what they were called in the whole, their place from 0 where nothing else.

    The choice depends on `salt` and the number of rows only, never on the training seed, so that
    runs with different seeds see the same data. A smaller choice is part of every larger one.
    """
    if count is None or count >= len(examples):
        return examples
    draw = random.Random(f"calisr subsample {salt}")
    keys = [draw.random() for _ in range(len(examples))]
    chosen = sorted(range(len(examples)), key=lambda row: (keys[row], row))[:count]
    named = replace(examples, index=examples.index or tuple(range(len(examples))))
    return named.take(sorted(chosen))


def _sha256(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
