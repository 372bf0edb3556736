"""The learning-rate schedule and the plan of steps, as pure functions of the step number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from calisr_engine.calibration.score import sample_steps
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError

MOST_WINDOWS = 100_000
"""Decision windows of one run; a line of its log lists them."""


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

    def first_sample(self) -> int | None:
        """The first step that is measured; None where there is none."""
        return next(filter(self.is_sample, range(1, self.total_steps + 1)), None)

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


def step_plan(config: RunConfig, batches_per_epoch: int) -> StepPlan:
    """The plan of steps for a training set of so many micro-batches.

    Raises:
        ConfigError: no step would have a learning rate above 0.
    """
    training, calibration = config.training, config.calibration
    per_epoch = math.ceil(batches_per_epoch / training.accumulate)
    total = training.max_steps or per_epoch * training.epochs
    window = calibration.decide_every_steps or per_epoch
    samples: tuple[int, ...] = ()
    if calibration.variant != "off" and total // window > MOST_WINDOWS:
        raise ConfigError(
            f"calibration.decide_every_steps: {total:,} steps have {total // window:,} windows of "
            f"{window:,} steps; {MOST_WINDOWS:,} are the most",
            "raise calibration.decide_every_steps, or train for fewer steps",
        )
    if calibration.variant != "off" and calibration.samples is not None:
        samples = sample_steps(window, calibration.samples)
    plan = StepPlan(
        batches_per_epoch=batches_per_epoch,
        accumulate=training.accumulate,
        total_steps=total,
        window=window,
        samples=samples,
        every_steps=calibration.every_steps,
        eval_every=training.eval_every_steps,
        checkpoint_every=config.output.checkpoint_every_steps,
        switch_step=_switch_step(config, total),
        warmup_ratio=training.warmup_ratio,
        schedule=training.schedule,
    )
    if total == 1 and plan.rate_factor(1) == 0:
        raise ConfigError(
            "training.warmup_ratio: the run's only optimizer step is the first of its warm-up, "
            "whose learning rate is 0, so nothing would be trained",
            "set training.warmup_ratio=0, or train for more steps",
        )
    return plan


def without_effect(config: RunConfig, plan: StepPlan, examples: int) -> list[str]:
    """Notes on settings that this plan is too short for, or that its data cannot fill.

    Args:
        examples: training examples.
    """
    training, calibration = config.training, config.calibration
    total, decided = plan.total_steps, plan.total_steps // plan.window * plan.window
    share, every = config.schedule.switch_at, calibration.every_steps or 1
    evaluations = math.ceil(total / (plan.eval_every or plan.steps_per_epoch))
    patience = training.early_stopping
    found = {
        f"training.batch_size = {training.batch_size:,} is more than the {examples:,} training "
        "examples, so a batch is all of them": training.batch_size > examples,
        f"training.accumulate = {plan.accumulate:,} is more than the {plan.batches_per_epoch:,} "
        "batches of an epoch, so a step is an epoch": plan.accumulate > plan.batches_per_epoch,
        f"all {total:,} steps are warm-up (training.warmup_ratio), so the peak learning rate is "
        "never reached": math.ceil(total * plan.warmup_ratio) >= total,
        f"training.early_stopping = {patience} cannot end a run of {evaluations:,} evaluations": (
            patience is not None and patience >= evaluations
        ),
        f"the first decision would be after step {plan.window:,} and the run has {total:,}, so "
        "nothing is decided (calibration.decide_every_steps, or train for a whole epoch)": (
            calibration.decides and decided == 0
        ),
        f"no step before the last decision is a sample (calibration.every_steps = {every:,}), so "
        "nothing is decided": calibration.decides and 0 < decided < every,
        f"schedule.switch_at = {share}: of {total:,} steps that leaves none before the switch": (
            share not in (None, 0.0) and plan.switch_step == 0
        ),
        f"schedule.switch_at = {share}: of {total:,} steps that leaves none after the switch": (
            share not in (None, 1.0) and plan.switch_step == total
        ),
    }
    return [note for note, holds in found.items() if holds]


def _switch_step(config: RunConfig, total_steps: int) -> int | None:
    """Step after which everything switches; 0 for the plain light method, None for never."""
    if config.calibration.variant != "off":
        return None
    share = config.schedule.switch_at or 0.0
    return None if share >= 1.0 else round(share * total_steps)
