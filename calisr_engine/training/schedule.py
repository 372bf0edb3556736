"""The learning-rate schedule and the plan of steps, as pure functions of the step number."""

from __future__ import annotations

import math
from dataclasses import dataclass


def learning_rate_factor(step: int, total_steps: int, warmup_ratio: float, kind: str) -> float:
    """Factor on the peak learning rate for optimizer step `step` (0-based), in [0, 1].

    Linear warm-up over `warmup_ratio` of all steps, then linear or cosine decay to zero at
    `total_steps`, or constant. The same values as transformers' schedules of these names.
    """
    warmup = math.ceil(total_steps * warmup_ratio)
    if step < warmup:
        return step / max(1, warmup)
    if kind == "constant":
        return 1.0
    progress = (step - warmup) / max(1, total_steps - warmup)
    if kind == "cosine":
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
    return max(0.0, 1.0 - progress)


@dataclass(frozen=True)
class StepPlan:
    """Which optimizer step is what. Steps count from 1.

    Attributes:
        batches_per_epoch: micro-batches in one pass over the data.
        accumulate: micro-batches in one optimizer step.
        total_steps: optimizer steps of the run.
        window: optimizer steps in one decision window.
        samples: steps within a window that are sampled, 1-based; empty where `every_steps` rules.
        every_steps: sample each step divisible by this, or None.
        eval_every: evaluate each step divisible by this, or None for epoch ends.
        checkpoint_every: likewise for checkpoints.
        switch_step: step after which everything switches by schedule: 0 for the plain light
            method, None where nothing does.
        warmup_ratio, schedule: of the learning rate, as `learning_rate_factor` takes them.
    """

    batches_per_epoch: int
    accumulate: int
    total_steps: int
    window: int
    samples: tuple[int, ...] = ()
    every_steps: int | None = None
    eval_every: int | None = None
    checkpoint_every: int | None = None
    switch_step: int | None = None
    warmup_ratio: float = 0.0
    schedule: str = "constant"

    def rate_factor(self, step: int) -> float:
        """Factor on the peak learning rates at step `step`; 0 at the first of a warm-up."""
        return learning_rate_factor(step - 1, self.total_steps, self.warmup_ratio, self.schedule)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass; the last may hold fewer micro-batches."""
        return math.ceil(self.batches_per_epoch / self.accumulate)

    def epochs_done(self, step: int) -> float:
        """Passes over the data that are done after step `step`."""
        return step / self.steps_per_epoch

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(0-based epoch, 0-based step within it) of step `step`."""
        return divmod(step - 1, self.steps_per_epoch)

    def micro_batches(self, step: int) -> range:
        """Positions, within the epoch's batch list, of the micro-batches of step `step`."""
        _, within = self.epoch_of(step)
        first = within * self.accumulate
        return range(first, min(first + self.accumulate, self.batches_per_epoch))

    def is_sample(self, step: int) -> bool:
        """Whether the step is measured; where the rate is 0, nothing moves that could be."""
        if self.rate_factor(step) == 0:
            return False
        if self.every_steps is not None:
            return step % self.every_steps == 0
        return (step - 1) % self.window + 1 in self.samples

    def is_window_end(self, step: int) -> bool:
        return step % self.window == 0

    def is_evaluation(self, step: int) -> bool:
        every = self.eval_every or self.steps_per_epoch
        return step % every == 0 or step == self.total_steps

    def is_checkpoint(self, step: int) -> bool:
        every = self.checkpoint_every or self.steps_per_epoch
        return step % every == 0 or step == self.total_steps

    def decision_steps(self) -> tuple[int, ...]:
        """Last steps of all whole decision windows."""
        return tuple(range(self.window, self.total_steps + 1, self.window))
