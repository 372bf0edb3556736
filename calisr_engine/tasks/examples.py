"""The rows of one data set in memory, whatever they were read from."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Examples:
    """Rows of one split, held by column.

    Attributes:
        text: the text, or the first of each pair.
        text_pair: the second text of each pair, None for single texts.
        label: class numbers (int) or targets (float), None for data without labels.
        index: what the source calls each row (needed for submissions), else 0, 1, 2, ...
    """

    text: tuple[str, ...]
    text_pair: tuple[str, ...] | None = None
    label: tuple[int, ...] | tuple[float, ...] | None = None
    index: tuple[int | str, ...] | None = None

    def __post_init__(self) -> None:
        for column in (self.text_pair, self.label, self.index):
            assert column is None or len(column) == len(self.text), "columns differ in length"

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, row: int) -> dict[str, Any]:
        item: dict[str, Any] = {"text": self.text[row]}
        if self.text_pair is not None:
            item["text_pair"] = self.text_pair[row]
        if self.label is not None:
            item["label"] = self.label[row]
        if self.index is not None:
            item["index"] = self.index[row]
        return item

    @property
    def column_names(self) -> list[str]:
        optional = ("text_pair", "label", "index")
        return ["text", *(name for name in optional if getattr(self, name) is not None)]

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
        )

    def text_fingerprint(self) -> str:
        """sha256 of the texts alone, which is what tokenising depends on."""
        return _sha256([self.text, self.text_pair])

    def fingerprint(self) -> str:
        """sha256 of texts and labels."""
        return _sha256([self.text, self.text_pair, self.label])


def mean_label(examples: Examples) -> float:
    """Mean of the labels, rounded once."""
    assert examples.label is not None
    return math.fsum(examples.label) / len(examples.label)


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
