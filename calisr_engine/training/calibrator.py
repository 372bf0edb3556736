"""Sample, count, decide, switch: the calibration of one run, and every other way to switch.

    at a sampling step: remember the extra; step; compare stable ranks; count hits
    at the end of a decision window: groups whose score is above delta switch

A control decides by something else: given steps (`planned`), or a coin in the samples' place.

Rank 0 alone measures and decides (measuring changes nothing); the others hear what switches at the
same step.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from calisr_engine.calibration.controls import coin, coin_counter
from calisr_engine.calibration.sampler import Sampler
from calisr_engine.calibration.score import GroupCounter, ScoreBoard
from calisr_engine.events.types import (
    Cause,
    CoinFlip,
    CoinFlipped,
    GroupDecision,
    GroupSample,
    GroupSwitched,
    SrsEvaluated,
    StableRankSampled,
    StepPart,
    StepPartsMeasured,
    Warned,
)
from calisr_engine.methods.base import TargetForm
from calisr_engine.training.context import RunContext
from calisr_engine.training.optim import StepOptimizer
from calisr_engine.training.schedule import StepPlan
from calisr_engine.training.switch import PhaseChange, Phases


@dataclass
class Measured:
    """What sampling has cost so far; a checkpoint keeps it.

    Attributes:
        samples: sampling steps measured, and the seconds they took beside training.
        compared: matrices compared; fallbacks: those for which the exact value was taken.
    """

    samples: int = 0
    seconds: float = 0.0
    compared: int = 0
    fallbacks: int = 0


class Calibrator:
    """Moves the groups of one run from FFT to LFT, by score, control, schedule or hand.

    Attributes:
        phases: the groups and who trains how.
        sampler: None in a run that measures nothing.
        board: hits and samples of the present window.
    """

    def __init__(
        self,
        context: RunContext,
        plan: StepPlan,
        phases: Phases,
        optimizer: StepOptimizer,
        sampler: Sampler | None,
        planned: Sequence[PhaseChange],
        total_parameters: int,
    ) -> None:
        calibration = context.config.calibration
        self.context = context
        self.phases = phases
        self.sampler = sampler
        self.board = ScoreBoard.start(
            tuple(phases.groups), calibration.delta, calibration.cumulative
        )
        self.measured = Measured()
        self._plan = plan
        self._planned = planned
        self._decides = calibration.decides
        self._tosses = calibration.decides and calibration.control == "coin"
        self._optimizer = optimizer
        self._total = total_parameters
        first = context.ranks.is_first
        self._sampler = sampler if first else None
        self._reading = None if self._sampler is None else self._sampler.reading
        self._sampling: Mapping[str, list[TargetForm]] = {}
        self._remembering = 0.0
        first_sample = plan.first_sample() if calibration.prepare_first_sample else None
        # Half-way: weights are near those of the sample, and there is time left.
        self._prepare_at = None if first_sample is None else first_sample // 2 + 1

    # Sampling -----------------------------------------------------------------------------------

    def waiting(self) -> dict[str, list[TargetForm]]:
        """The groups that are in FFT."""
        return {name: self.phases.groups[name] for name in self.phases.in_fft()}

    def begin_step(self, step: int) -> None:
        """Before the forward pass: whatever the reading must keep or copy by now."""
        self._remembering = 0.0
        if self._sampler is not None and step == self._prepare_at and self.waiting():
            with self._timed():
                self._sampler.prepare(self.waiting())
        if self._reading is not None:
            with self._timed():
                self._reading.before_gradients(self.waiting())

    def remember(self, step: int) -> None:
        """Before the optimizer step: at a sampling step, keep what it may change."""
        self._sampling = {}
        if self._sampler is None:
            return
        if self._plan.is_sample(step):
            self._sampling = self.waiting()
        with self._timed():
            self._sampler.before_update(self._sampling)

    def sample(self, step: int) -> None:
        """After the optimizer step: at a sampling step, compare and count the hits."""
        if self._reading is not None:
            with self._timed():
                self._reading.after_update(step)
        if self._sampling:
            self._compare(step)
        if self._tosses and self._plan.is_sample(step) and self.context.ranks.is_first:
            self._toss(step)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """The time in the block is the cost of measuring, no training time."""
        began = time.monotonic()
        yield
        spent = time.monotonic() - began
        self._remembering += spent
        self.measured.seconds += spent

    def _compare(self, step: int) -> None:
        assert self.sampler is not None
        began = time.monotonic()
        groups = {}
        for name, result in self.sampler.measure(self._sampling, step).items():
            self.board = self.board.record(name, hit=result.hit)
            counter = self.board.counters[name]
            self.measured.fallbacks += result.fallbacks
            self.measured.compared += len(self._sampling[name])
            groups[name] = GroupSample(
                sr_lft=result.sr_lft,
                sr_fft=result.sr_fft,
                difference=result.difference,
                hit=float(result.hit),
                hits=float(counter.hits),
                samples=counter.samples,
                fallbacks=result.fallbacks,
            )
        seconds = time.monotonic() - began
        if not groups:  # the reading had nothing to compare
            self.measured.seconds += seconds
            return
        self.measured.samples += 1
        self.measured.seconds += seconds
        self.context.emit(
            step,
            StableRankSampled(
                epoch=self._plan.epochs_done(step),
                groups=groups,
                seconds=self._remembering + seconds,
            ),
        )
        if self.sampler.parts:
            parts = {
                name: StepPart(light_change=light, extra_change=extra)
                for name, (light, extra) in self.sampler.parts.items()
            }
            self.context.emit(step, StepPartsMeasured(groups=parts))

    def _toss(self, step: int) -> None:
        """A coin control's sample: a fair flip for each group in FFT."""
        groups = {}
        for name in self.phases.in_fft():
            heads = coin(self.context.config.control_seed, name, step)
            now = self._heads(name, step)
            groups[name] = CoinFlip(hit=float(heads), hits=float(now.hits), samples=now.samples)
        if groups:
            epoch = self._plan.epochs_done(step)
            self.context.emit(step, CoinFlipped(epoch=epoch, groups=groups))

    def _heads(self, group: str, until: int) -> GroupCounter:
        """A group's flips of the window that `until` lies in, up to and with that step.

        They follow from the seed and the steps alone, so a checkpoint need not hold them.
        """
        seed = self.context.config.control_seed
        window = self._plan.window
        first = 1 if self.board.cumulative else (until - 1) // window * window + 1
        sampled = filter(self._plan.is_sample, range(first, until + 1))
        heads, flips = coin_counter(seed, group, sampled)
        return GroupCounter(Fraction(heads), flips)

    # Deciding -----------------------------------------------------------------------------------

    def close_window(self, step: int) -> None:
        """At the end of a decision window: close the counters and switch who is above delta."""
        if not self._plan.is_window_end(step) or not self.phases.in_fft():
            return
        if not self._decides:  # measured in a control, for the log alone
            self.board, _ = self.board.close_window(self.phases.in_fft())
            return
        ranks = self.context.ranks
        self._switch(ranks.from_first(self._decide(step) if ranks.is_first else []))

    def _decide(self, step: int) -> list[PhaseChange]:
        waiting = self.phases.in_fft()
        counted = self.board
        self.board, decisions = counted.close_window(waiting)
        cause: Cause = "calibration"
        if self._tosses:
            cause = "coin"
            heads = {name: self._heads(name, step) for name in waiting}
            _, decisions = replace(counted, counters=heads).close_window(waiting)
        at_end = step >= self._plan.total_steps
        reported: dict[str, GroupDecision] = {}
        switching: list[PhaseChange] = []
        for name, decision in decisions.items():
            held_back = decision.switch and at_end
            why = decision.reason
            if self._tosses:
                why += " (coin flips, nothing measured decides)"
            if held_back:
                why += "; but training ends with this step, so nothing switches"
            elif decision.switch:
                switching.append(PhaseChange(name, step, cause, why))
            reported[name] = GroupDecision(
                srs=None if decision.srs is None else float(decision.srs),
                delta=self.context.config.calibration.delta,
                hits=float(decision.hits),
                samples=decision.samples,
                switch=decision.switch and not held_back,
                why=why,
                held_back=held_back,
            )
        epoch = self._plan.epochs_done(step)
        self.context.emit(step, SrsEvaluated(epoch=epoch, groups=reported))
        return switching

    # Switching ----------------------------------------------------------------------------------

    def switch_on_schedule(self, step: int) -> None:
        """Switch the groups that are planned for this step (0: before the first one)."""
        waiting = self.phases.in_fft()
        due = [each for each in self._planned if each.step == step]
        self._switch([each for each in due if each.group in waiting])

    def looks(self, step: int) -> bool:
        """Whether this step is measured, decides or switches something."""
        if any(each.step == step for each in self._planned):
            return True
        due = self._plan.is_sample(step) or self._plan.is_window_end(step)
        return due and self.context.config.calibration.variant != "off" and bool(self.waiting())

    def switch_by_hand(self, group: str, step: int) -> None:
        """Switch `group` because the user asked for it; a group that cannot is told."""
        waiting = self.phases.in_fft()
        if group in waiting:
            self._switch([PhaseChange(group, step, "hand", "asked for by the user")])
            return
        self.context.emit(
            step,
            Warned(
                message=f"cannot switch {group!r}: not a group in FFT",
                hint=f"groups in FFT: {', '.join(waiting) or 'none is left in FFT'}",
            ),
        )

    def _switch(self, changes: list[PhaseChange]) -> None:
        for change in changes:
            result = self.phases.switch(change, self._optimizer)
            if self.sampler is not None:
                self.sampler.forget(self.phases.groups[change.group])
            self.context.emit(
                change.step,
                GroupSwitched(
                    epoch=self._plan.epochs_done(change.step),
                    group=change.group,
                    cause=change.cause,
                    why=change.why,
                    trainable_before=result.trainable_before,
                    trainable=result.trainable,
                    total=self._total,
                    freed_bytes=result.freed_bytes,
                ),
            )
        if changes:
            self.context.free_memory()
