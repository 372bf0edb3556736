"""Several values of one setting, as one types them: "1, 2, 3", "1..5" or "1e-5..1e-3:3".

They make a grid of runs, or are what a search chooses from.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Mapping, Sequence

from calisr_engine.config.describe import FieldInfo
from calisr_engine.config.options import parse_value
from calisr_engine.errors import ConfigError, Problem
from calisr_engine.tune.space import Dimension, read_space

MOST = 100
"""Values of one setting."""

DECADE = 10.0
"""A range whose ends differ by this factor or more is divided on a logarithmic scale, as `calisr
tune` searches it."""

NEAR = 0.01
"""Share of the smallest step in a range by which a value may be rounded."""

WAYS = "Several values: A, B, C or LOW..HIGH:COUNT, and of whole numbers LOW..HIGH"
SEARCH_WAYS = "To be searched: LOW..HIGH (add :log or :linear), or A, B, C"


def several(info: FieldInfo, text: str) -> tuple[str, ...]:
    """The values, each once, as they are typed one by one; the ends of a range as they were typed.

    Raises:
        ValueError: no values, or a range that cannot be divided.
    """
    found: dict[object, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        low, dots, rest = part.partition("..")
        for value in _range(info, low, rest) if dots and info.kind in ("int", "float") else (part,):
            found.setdefault(parse_value(info.key, value), value)
    if not found:
        raise ValueError("no value is given; write A, B, C or LOW..HIGH:COUNT")
    if len(found) > MOST:
        raise ValueError(f"these are {len(found):,} values; {MOST} are the most")
    return tuple(found.values())


def dimension(info: FieldInfo, text: str) -> Dimension:
    """What a search chooses from: all of a range, or one of several values.

    Raises:
        ValueError: there is nothing to choose.
    """
    if info.key == "training.seed":
        raise ValueError(
            "a seed is nothing to choose: the best settings are trained with further seeds anyway; "
            "Ctrl-Y takes the mark back"
        )
    values = text.strip()
    scale = values.partition("..")[2].partition(":")[2].strip()
    if ".." not in values or "," in values or scale.isdecimal():
        found = several(info, text)
        if len(found) < 2:
            raise ValueError("one value is nothing to search; write LOW..HIGH or A, B, C")
        values = ",".join(found)
    try:
        return read_space([f"{info.key}={values.replace(' ', '')}"])[0]
    except ConfigError as error:
        raise ValueError(error.problems[0].message) from None


def in_words(space: Dimension) -> str:
    """What a search chooses from, without the setting's name."""
    return str(space).partition(": ")[2]


def _range(info: FieldInfo, low: str, rest: str) -> tuple[str, ...]:
    high, colon, number = rest.partition(":")
    try:
        first, last = float(low), float(high)
        count = int(number) if colon else int(last - first) + 1
    except (ValueError, OverflowError):
        raise ValueError(f"{low}..{rest} is no range of numbers") from None
    if not (math.isfinite(first) and math.isfinite(last) and first < last):
        raise ValueError(f"{low}..{rest}: the first number must be smaller than the second")
    whole = info.kind == "int"
    if whole and not (first.is_integer() and last.is_integer()):
        raise ValueError(f"{low}..{rest}: whole numbers are needed")
    if not whole and not colon:
        raise ValueError(
            f"{low}..{rest}: say how many values, such as {low}..{rest}:3; "
            "a range alone is searched (F7)"
        )
    if not 2 <= count <= MOST:
        raise ValueError(f"{low}..{rest}: from 2 to {MOST} values can be taken of a range")
    by_factor = colon and first > 0 and last / first >= DECADE
    steps = [at / (count - 1) for at in range(count)]
    values = [
        first * (last / first) ** step if by_factor else first + (last - first) * step
        for step in steps
    ]
    if whole:
        return tuple(str(round(each)) for each in values)
    return (low.strip(), *_in_short(values)[1:-1], high.strip())


def _in_short(values: Sequence[float]) -> list[str]:
    """Rising numbers as texts of four digits, or of more where the steps between them are small."""
    closest = min(after - before for before, after in itertools.pairwise(values))
    for digits in range(4, 17):
        found = [f"{each:.{digits}g}" for each in values]
        off = max(abs(float(text) - each) for text, each in zip(found, values, strict=True))
        if off <= closest * NEAR:
            return found
    return [repr(each) for each in values]


class Marks:
    """The settings that have several values.

    Attributes:
        texts: the values as typed, by dotted key.
        searched: whether they are searched; else every combination of them is a run.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.searched = False
        self._before: dict[str, str | None] = {}
        self._taken_back: dict[str, str] = {}

    def put(self, key: str, text: str, before: str | None) -> None:
        """Give a setting several values; `before` is what it was set to, None for nothing."""
        self._before.setdefault(key, before)
        self.texts[key] = text

    def take_back(self, key: str) -> str | None:
        """One value again; what the setting was set to."""
        self._taken_back[key] = self.texts.pop(key)
        return self._before.pop(key)

    def again(self, key: str) -> str:
        """The values that were taken back; "" for none."""
        return self._taken_back.get(key, "")

    def keep(self, known: Container[str]) -> None:
        """Drop what is no setting any more."""
        for key in [each for each in self.texts if each not in known]:
            self.take_back(key)

    def values(self, info: FieldInfo) -> tuple[str, ...]:
        """The values of a setting, of a range that is searched its ends; none where its text does
        not say any."""
        try:
            return self._read(info)
        except ValueError:
            return ()

    def problems(self, known: Mapping[str, FieldInfo]) -> tuple[Problem, ...]:
        """What is wrong with the texts."""
        found = []
        for key in self.texts:
            try:
                self._read(known[key])
            except ValueError as error:
                found.append(Problem(str(error), keys=(key,)))
        return tuple(found)

    def _read(self, info: FieldInfo) -> tuple[str, ...]:
        text = self.texts.get(info.key, "")
        return dimension(info, text).ends if self.searched else several(info, text)
