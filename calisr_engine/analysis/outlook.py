"""What the groups of a calibrated run wait for: the next decision, and the hits that it needs."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction

from calisr_engine.calibration.score import exact_decimal, exact_hits, sample_steps, should_switch
from calisr_engine.config.calibration_section import DEFAULT_SAMPLES
from calisr_engine.events.view import GroupView, RunView


@dataclass(frozen=True)
class Outlook:
    """What a group in full fine-tuning waits for.

    Attributes:
        step: where the next window ends that can switch it.
        left: samples to come in that window.
        short: what their hits must exceed to switch it; below 0 where it has enough.
        votes: whether a sample's hit is a share of the group's matrices, not 0 or 1.
    """

    step: int
    left: int
    short: Fraction
    votes: bool = False

    @property
    def enough(self) -> bool:
        """Whether it switches whatever comes."""
        return self.short < 0

    @property
    def possible(self) -> bool:
        """Whether it can still switch."""
        return self.short < self.left

    @property
    def more(self) -> int:
        """Fewest whole hits that switch it; 0 where it has enough."""
        return max(0, math.floor(self.short) + 1)


def planned_samples(view: RunView) -> int | None:
    """Samples of a window; None where they are taken every so many steps, or nothing is said."""
    named = view.setting("calibration", "samples_per_epoch")
    every = view.setting("calibration", "every_steps")
    if every is not None or view.variant == "off":
        return None
    return named if type(named) is int else DEFAULT_SAMPLES


def next_decision(view: RunView) -> int | None:
    """The end of the present window; None where no window ends before the training does, or no
    score decides."""
    if view.threshold is None:
        return None
    decided = max((g.decisions[-1].step for g in view.groups.values() if g.decisions), default=0)
    at = bisect.bisect_left(view.decision_steps, max(view.step, decided + 1))
    if at == len(view.decision_steps) or view.decision_steps[at] >= view.total_steps:
        return None
    if all(group.phase == "lft" for group in view.groups.values()):
        return None
    return view.decision_steps[at]


def is_above(view: RunView, hits: float, samples: int) -> bool:
    """Whether so many hits are above delta; exact, also where matrices vote."""
    delta = view.threshold
    return delta is not None and should_switch(exact_hits(hits), samples, delta)


def outlook(view: RunView, group: GroupView, step: int | None) -> Outlook | None:
    """What the group waits for until `step`, the next decision; None where nothing is decided."""
    delta = view.threshold
    if step is None or group.phase != "fft" or delta is None or not 0 <= delta <= 1:
        return None
    at = bisect.bisect_left(view.decision_steps, step)
    begin = view.decision_steps[at - 1] if at else 0
    done = max(begin, group.counted[-1].step if group.counted else 0)
    left = _samples_after(view, done, begin, step)
    short = exact_decimal(delta) * (group.samples + left) - exact_hits(group.hits)
    return Outlook(step, left, short, view.votes)


def _samples_after(view: RunView, done: int, begin: int, end: int) -> int:
    """Samples to come after step `done` in the window from `begin` to `end`."""
    every, planned = view.setting("calibration", "every_steps"), planned_samples(view)
    if planned is not None and end > begin and planned > 0:
        return sum(begin + each > done for each in sample_steps(end - begin, planned))
    return end // every - done // every if type(every) is int and every > 0 else 0
