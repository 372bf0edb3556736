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


def needed_hits(samples: int, delta: float) -> int | None:
    """Fewest whole hits among `samples` that switch, or None where even all of them do not.

    Shows how coarse delta is: with 3 samples every delta from 0.4 to 0.6 needs 2 hits.
    """
    return next((h for h in range(samples + 1) if should_switch(h, samples, delta)), None)


def sample_steps(window_steps: int, samples: int) -> tuple[int, ...]:
    """Steps within a window (1-based) at which to sample: evenly spread, the last at its end.

    With more samples than steps every step is sampled.
    """
    if window_steps < 1 or samples < 1:
        raise ValueError("a window needs at least one step and one sample")
    count = min(samples, window_steps)
    return tuple(i * window_steps // count for i in range(1, count + 1))


def sample_steps_every(window_steps: int, every_steps: int, before: int = 0) -> tuple[int, ...]:
    """Steps within a window (1-based) at which the run's step number divides by `every_steps`.

    Args:
        before: steps of the run before this window begins.
    """
    if window_steps < 1 or every_steps < 1:
        raise ValueError("a window needs at least one step, and every_steps is at least 1")
    return tuple(t for t in range(1, window_steps + 1) if (before + t) % every_steps == 0)


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
    """Hits and samples of one group in the present window.

    Attributes:
        last_sr_lft, last_sr_fft: group scores of the latest sample that named them.
    """

    hits: Fraction = Fraction(0)
    samples: int = 0
    switched: bool = False
    last_sr_lft: float | None = None
    last_sr_fft: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form; hits as a string such as "7/2"."""
        return {
            "hits": str(self.hits),
            "samples": self.samples,
            "switched": self.switched,
            "last_sr_lft": self.last_sr_lft,
            "last_sr_fft": self.last_sr_fft,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GroupCounter:
        """What `to_dict` gave."""
        return cls(
            hits=Fraction(data["hits"]),
            samples=int(data["samples"]),
            switched=bool(data["switched"]),
            last_sr_lft=data.get("last_sr_lft"),
            last_sr_fft=data.get("last_sr_fft"),
        )


@dataclass(frozen=True)
class ScoreBoard:
    """All groups' counters. Every method returns a new board.

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
        """A board with every group in full fine-tuning and no samples."""
        return cls(delta, cumulative, {name: GroupCounter() for name in groups})

    def record(
        self,
        group: str,
        sr_lft: float | None = None,
        sr_fft: float | None = None,
        *,
        hit: bool | int | Fraction,
    ) -> ScoreBoard:
        """Count one sample of `group`; `hit` in [0, 1] (a tie of stable ranks is 0).

        Raises:
            ValueError: the group has switched already, or `hit` is a float or outside [0, 1].
        """
        counter = self.counters[group]
        if counter.switched:
            raise ValueError(f"{group} has switched; it is not measured any more")
        if isinstance(hit, float) or not 0 <= hit <= 1:
            raise ValueError(f"a hit is 0, 1 or a Fraction between, not {hit!r}")
        return self._with(
            group,
            replace(
                counter,
                hits=counter.hits + Fraction(hit),
                samples=counter.samples + 1,
                last_sr_lft=sr_lft,
                last_sr_fft=sr_fft,
            ),
        )

    def close_window(self) -> tuple[ScoreBoard, dict[str, Decision]]:
        """End the window: one decision for each group still in full fine-tuning.

        Counters restart unless `cumulative`. A decision does not switch the group by itself: the
        caller does, and says so with `switched`.
        """
        waiting = {name: c for name, c in self.counters.items() if not c.switched}
        decisions = {name: self._decide(name, counter) for name, counter in waiting.items()}
        board = self
        if not self.cumulative:
            for name, counter in waiting.items():
                board = board._with(name, replace(counter, hits=Fraction(0), samples=0))
        return board, decisions

    def switched(self, group: str) -> ScoreBoard:
        """The group has left full fine-tuning, for good."""
        return self._with(group, replace(self.counters[group], switched=True))

    def waiting(self) -> tuple[str, ...]:
        """Groups still in full fine-tuning."""
        return tuple(name for name, counter in self.counters.items() if not counter.switched)

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
