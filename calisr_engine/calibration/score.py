"""The stable rank score (SRS): hits / samples of a window against delta, in exact arithmetic.

A pure state machine without floating point in its decisions: hits are fractions, and delta is the
decimal number the user wrote, so 3 of 5 is not above 0.6 although the nearest double of 0.6 is less
than 3/5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any


def should_switch(hits: int | Fraction, samples: int, delta: float) -> bool:
    """Whether hits / samples > delta, strictly; without samples nothing is decided.

    Args:
        hits: samples in which SR_LFT < SR_FFT; a fraction where matrices vote.
        samples: samples taken in the window.
        delta: the threshold, read as the decimal it prints as (0.6 is 3/5).
    """
    return samples > 0 and Fraction(hits) / samples > exact_decimal(delta)


def exact_decimal(delta: float) -> Fraction:
    """The decimal number a user wrote, e.g. 3/5 for 0.6."""
    return Fraction(str(delta))


def exact_hits(hits: float) -> Fraction:
    """The hits that a number of the log stands for, such as 8/3 where three matrices vote."""
    return Fraction(hits).limit_denominator(10_000)


def sample_steps(window_steps: int, samples: int) -> tuple[int, ...]:
    """Steps within a window (1-based) at which to sample: evenly spread, the last at its end.

    With more samples than steps every step is sampled.
    """
    if window_steps < 1 or samples < 1:
        raise ValueError("a window needs at least one step and one sample")
    count = min(samples, window_steps)
    return tuple(i * window_steps // count for i in range(1, count + 1))


@dataclass(frozen=True)
class Decision:
    """What the end of a window means for one group.

    Attributes:
        srs: hits / samples, or None in a window without samples.
        delta: the threshold as a fraction of the decimal the user wrote.
        switch: whether the group is to leave full fine-tuning.
        reason: the same in words, with the numbers.
    """

    group: str
    srs: Fraction | None
    delta: Fraction
    hits: Fraction
    samples: int
    switch: bool
    reason: str


@dataclass(frozen=True)
class GroupCounter:
    """Hits and samples of one group in the present window."""

    hits: Fraction = Fraction(0)
    samples: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON form; hits as a string such as "7/2"."""
        return {"hits": str(self.hits), "samples": self.samples}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GroupCounter:
        """What `to_dict` gave."""
        return cls(hits=Fraction(data["hits"]), samples=int(data["samples"]))


@dataclass(frozen=True)
class ScoreBoard:
    """All groups' counters. Every method returns a new board.

    It counts and decides; which groups have switched is for its owner to know.

    Attributes:
        delta: threshold in [0, 1], as the user wrote it.
        cumulative: whether counters go on over windows instead of restarting in each.
        counters: one counter a group, in display order.
    """

    delta: float
    cumulative: bool = False
    counters: Mapping[str, GroupCounter] = field(default_factory=dict)

    @classmethod
    def start(cls, groups: Sequence[str], delta: float, cumulative: bool = False) -> ScoreBoard:
        """A board without samples."""
        return cls(delta, cumulative, {name: GroupCounter() for name in groups})

    def record(self, group: str, hit: bool | int | Fraction) -> ScoreBoard:
        """Count one sample of `group`; `hit` in [0, 1] (a tie of stable ranks is 0).

        Raises:
            ValueError: `hit` is a float or outside [0, 1].
        """
        if isinstance(hit, float) or not 0 <= hit <= 1:
            raise ValueError(f"a hit is 0, 1 or a Fraction between, not {hit!r}")
        counter = self.counters[group]
        return self._with(group, GroupCounter(counter.hits + Fraction(hit), counter.samples + 1))

    def close_window(self, waiting: Sequence[str]) -> tuple[ScoreBoard, dict[str, Decision]]:
        """End the window: one decision for each group of `waiting`, those still in FFT.

        Counters restart unless `cumulative`.
        """
        decisions = {name: self._decide(name, self.counters[name]) for name in waiting}
        board = self
        if not self.cumulative:
            for name in waiting:
                board = board._with(name, GroupCounter())
        return board, decisions

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `from_dict` gives an equal board back."""
        return {
            "delta": self.delta,
            "cumulative": self.cumulative,
            "counters": {name: counter.to_dict() for name, counter in self.counters.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScoreBoard:
        """What `to_dict` gave."""
        counters = {name: GroupCounter.from_dict(c) for name, c in data["counters"].items()}
        return cls(float(data["delta"]), bool(data["cumulative"]), counters)

    def _with(self, group: str, counter: GroupCounter) -> ScoreBoard:
        return replace(self, counters={**self.counters, group: counter})

    def _decide(self, group: str, counter: GroupCounter) -> Decision:
        hits, samples, delta = counter.hits, counter.samples, exact_decimal(self.delta)
        switch = should_switch(hits, samples, self.delta)
        if samples == 0:
            reason = f"{group}: no samples in this window, nothing decided"
        else:
            sign = ">" if switch else "="
            if hits / samples < delta:
                sign = "<"
            verb = "switched" if switch else "stays in full fine-tuning"
            count = str(hits) if hits.denominator == 1 else f"{float(hits):.2f}"
            reason = (
                f"{group} {verb}: {count} of {samples} samples, "
                f"{_shown(hits / samples)} {sign} {_shown(delta)}"
            )
        srs = hits / samples if samples else None
        return Decision(group, srs, delta, hits, samples, switch, reason)


def _shown(value: Fraction) -> str:
    """Two decimals where they are exact, else up to five: 0.80, 0.525, 0.66667."""
    digits = next((d for d in range(2, 5) if value * 10**d % 1 == 0), 5)
    return f"{float(value):.{digits}f}"
