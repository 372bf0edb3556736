"""What a search may choose: a range or a list of values for each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from calisr_engine.config.describe import FieldInfo, by_key
from calisr_engine.config.names import unknown_key
from calisr_engine.config.options import parse_value
from calisr_engine.errors import ConfigError, Place, Problem
from calisr_engine.methods.catalog import METHODS

DECADE = 10.0
"""A range whose ends differ by this factor or more is searched on a logarithmic scale."""

SCALES = ("log", "linear")

OF_TASK = ("task.max_length", "task.max_train_examples")
"""The settings of [task] that can be searched."""


@dataclass(frozen=True)
class Dimension:
    """One setting and the values it may take.

    Attributes:
        key: dotted key of the setting.
        text: as it was given ("training.learning_rate=1e-5..1e-3").
        low, high: ends of a range, both included.
        whole: whether the range holds whole numbers alone.
        log: whether the range is searched on a logarithmic scale.
        choices: the texts of a list, as `--set` takes them; empty for a range.
    """

    key: str
    text: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False
    choices: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[str, ...]:
        """Texts of the values that must be right for all to be: both ends, or every choice."""
        if self.choices:
            return self.choices
        return (self.spell(self.low), self.spell(self.high))

    def spell(self, value: float | str) -> str:
        """A value as `--set` takes it."""
        if isinstance(value, str):
            return value
        return str(int(value)) if self.whole else repr(float(value))

    def find(self, value: Any) -> float | str | None:
        """The value of this dimension that gave a run its setting; None if none did."""
        for choice in self.choices:
            given = parse_value(self.key, choice)
            given = tuple(given) if isinstance(given, list) else given
            if given == value or (value is None and choice.lower() == "none"):
                return choice
        if self.choices or not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return value if self.low <= value <= self.high else None

    def __str__(self) -> str:
        if self.choices:
            return f"{self.key}: one of {', '.join(self.choices)}"
        low, high = self.ends
        return f"{self.key}: {low} to {high}{' (log scale)' if self.log else ''}"


def read_space(texts: Sequence[str]) -> tuple[Dimension, ...]:
    """The dimensions of `--search` texts: `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log` or `KEY=A,B,C`.

    Raises:
        ConfigError: `problems` has every text that cannot be searched.
    """
    found: dict[str, Dimension] = {}
    problems: list[Problem] = []
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        place = Place(f"--search {text}")
        try:
            if not equals or not key or not values:
                raise ValueError(
                    "expected a setting and its values, such as training.learning_rate=1e-5..1e-3 "
                    "or method.rank=4,8,16"
                )
            if key in found:
                raise ValueError(f"{key} is searched twice")
            found[key] = _dimension(key, values, text)
        except ValueError as error:
            problems.append(Problem(str(error), keys=(key,), place=place))
    if not texts:
        problems.append(Problem("nothing to search", "give --search KEY=LOW..HIGH"))
    if problems:
        raise ConfigError("the search cannot begin", problems=problems)
    return tuple(found.values())


def _dimension(key: str, values: str, text: str) -> Dimension:
    info = _info(key)
    if key == "training.seed":
        raise ValueError("a seed is nothing to choose; --seeds tells how far the best one varies")
    if key.startswith("output.") or key in ("notes", "task.data_dir"):
        raise ValueError(f"{key} does not change what a run learns")
    if key.startswith("task.") and key not in OF_TASK:
        raise ValueError(
            f"{key} says what is learned or what it is measured on, so trials would not compare"
        )
    low, dots, rest = values.partition("..")
    if not dots:
        inner = values.strip("[]") if info.kind != "list" else values
        choices = tuple(dict.fromkeys(c for each in inner.split(",") if (c := each.strip(" \"'"))))
        if info.kind == "list":
            raise ValueError(f"{key} is a list and cannot be searched")
        if len(choices) < 2:
            raise ValueError("one value is nothing to search; use --set, or give several: A,B,C")
        return Dimension(key, text, choices=choices)
    if info.kind not in ("int", "float"):
        raise ValueError(f"{key} has no range: it takes {info.expects}; list values: A,B,C")
    high, _, scale = rest.partition(":")
    if scale and scale not in SCALES:
        raise ValueError(f"the scale {scale!r} is not one of {', '.join(SCALES)}")
    try:
        ends = float(low), float(high)
    except ValueError:
        raise ValueError(f"{low} and {high} are not two numbers") from None
    if not all(map(math.isfinite, ends)) or ends[0] >= ends[1]:
        raise ValueError("the first number must be smaller than the second")
    whole = info.kind == "int"
    if whole and not all(end.is_integer() for end in ends):
        raise ValueError(f"{key} takes whole numbers")
    log = scale == "log" or (not scale and ends[0] > 0 and ends[1] / ends[0] >= DECADE)
    if log and ends[0] <= 0:
        raise ValueError("a logarithmic scale begins above 0")
    return Dimension(key, text, *ends, whole=whole, log=log)


def _info(key: str) -> FieldInfo:
    for method in METHODS:
        if key in by_key(method):
            return by_key(method)[key]
    problem = unknown_key(key, None)
    said = problem.message if problem else f"unknown setting {key}"
    mend = f"; {problem.mend}" if problem and problem.mend else ""
    raise ValueError(said + mend)
