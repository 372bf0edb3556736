"""What a run reports while it trains: loss, speed and load, at most a few times a second."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from calisr_engine.events.types import Progress
from calisr_engine.training.context import RunContext
from calisr_engine.training.resources import ResourceProbe
from calisr_engine.training.schedule import StepPlan
from calisr_engine.training.step import OptimizerStep
from calisr_engine.training.switch import RunPhase

RESOURCE_SECONDS = 2.0


def _per_phase(zero: float) -> dict[RunPhase, float]:
    return {"fft": zero, "mixed": zero, "lft": zero}


@dataclass
class Tally:
    """What the steps add up to; a checkpoint keeps it.

    Attributes:
        trainable_steps: sum over steps of the trainable parameters (for the mean trainable share).
        seconds, steps: training time without sampling, and steps, by phase of the run.
        wall_seconds: time in the loop over all attempts, with evaluations and checkpoints.
    """

    trainable_steps: int = 0
    seconds: dict[RunPhase, float] = field(default_factory=lambda: _per_phase(0.0))
    steps: dict[RunPhase, float] = field(default_factory=lambda: _per_phase(0))
    wall_seconds: float = 0.0


class Reporter:
    """Adds up the steps of one run and reports them; only rank 0 writes.

    Attributes:
        tally: what the steps so far have come to.
    """

    def __init__(self, context: RunContext, plan: StepPlan) -> None:
        self.tally = Tally()
        self._context = context
        self._plan = plan
        self._probe = ResourceProbe(context.device)
        self._probed = 0.0
        self._reported: float | None = None
        self._losses: list[Tensor] = []
        self._examples = 0
        self._train_seconds = 0.0
        self._aside = 0.0
        self._wall = time.monotonic()

    def begin(self) -> None:
        """The loop begins now."""
        self._wall = self._since = time.monotonic()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Time in the block (evaluating, saving, pausing) is no training time."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._aside += time.monotonic() - began

    def step_done(
        self, number: int, step: OptimizerStep, phase: RunPhase, trainable: int, seconds: float
    ) -> None:
        """Count one step that took `seconds` without sampling; report if it is time.

        Raises:
            RunFailedError: a step since the last report went wrong (`OptimizerStep.settle`).
        """
        now = time.monotonic()
        tally = self.tally
        tally.seconds[phase] += seconds
        tally.steps[phase] += 1
        tally.trainable_steps += trainable
        tally.wall_seconds += now - self._wall
        self._wall = now
        if not self._context.ranks.is_first:
            return
        self._losses.append(step.loss)
        self._examples += step.examples
        self._train_seconds += seconds
        if self.is_due(number, now):
            self._report(number, step, now)

    def is_due(self, number: int, now: float) -> bool:
        """Whether a report comes with step `number`, if that is done at this time."""
        every = self._context.config.output.progress_every_seconds
        first_or_last = self._reported is None or number == self._plan.total_steps
        return first_or_last or now - (self._reported or 0.0) >= every

    def _report(self, number: int, step: OptimizerStep, now: float) -> None:
        step.settle()
        peak = self._context.config.training.learning_rate
        training = max(now - self._since - self._aside, 1e-9)
        self._context.emit(
            number,
            Progress(
                epoch=self._plan.epochs_done(number),
                loss=float(torch.stack(self._losses).mean()),
                learning_rate=peak * self._plan.rate_factor(number),
                gradient_norm=None if step.norm is None else float(step.norm),
                examples_per_second=self._examples / training,
                seconds_per_step=self._train_seconds / len(self._losses),
            ),
        )
        self._losses, self._examples, self._train_seconds, self._aside = [], 0, 0.0, 0.0
        self._reported = self._since = now
        if now - self._probed >= RESOURCE_SECONDS:
            self._probed = now
            self._context.emit(number, self._probe.read())
