"""The reading `branches`: what would the light method have made of the weights, alone?

    at the start of the run, and after each sample:
        the branch is a copy of the run (weights, optimizer, method), in which every group that is
        in FFT switches to the light method
    at each step: the branch takes the step too, on the same batches, with the same dropout and
        learning rates
    at the next sample: W_LFT is the branch's effective weight, W_FFT the run's

It costs one more model and optimizer state, and a second forward and backward pass for each step
while some group is in FFT. The run's own random stream is put back after each step of the branch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from calisr_engine.calibration.readings import GroupPairs, Groups
from calisr_engine.errors import ConfigError, RunFailedError
from calisr_engine.events.types import Warned
from calisr_engine.methods.base import Attachment, TargetForm
from calisr_engine.randomness import torch_states
from calisr_engine.regularizers.base import Regularization
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.context import RunContext
from calisr_engine.training.determinism import random_stream
from calisr_engine.training.evaluation import model_tensors
from calisr_engine.training.forms import form_tensors, load_forms
from calisr_engine.training.optim import StepOptimizer
from calisr_engine.training.schedule import StepPlan
from calisr_engine.training.step import OptimizerStep
from calisr_engine.training.switch import PhaseChange, Phases

LOST = "lost"
"""Stands in a checkpoint for a branch whose loss was not a number."""


@dataclass
class Branch:
    """The copy: a model with its method attached, its optimizer and its regulariser."""

    model: nn.Module
    attachment: Attachment
    optimizer: StepOptimizer
    step: OptimizerStep
    regularization: Regularization | None


class Branches:
    """Keeps the branch of one run.

    Args:
        model, phases, optimizer, regularization: the run's own, copied for each branch.
    """

    def __init__(
        self,
        context: RunContext,
        plan: StepPlan,
        batches: TaskBatches,
        model: nn.Module,
        phases: Phases,
        optimizer: StepOptimizer,
        regularization: Regularization | None = None,
    ) -> None:
        if context.ranks.size > 1:
            raise ConfigError(
                "calibration.reading: branches are trained in one process only",
                "start the run with one process, or set another reading",
            )
        self._context, self._plan, self._batches = context, plan, batches
        self._run = (model, phases, optimizer, regularization)
        self._branch: Branch | None = None
        self._lost = self._spent = False
        self._stream: dict[str, Tensor] = {}

    def before_gradients(self, waiting: Groups) -> None:
        if self._spent or not waiting:
            self._branch, self._lost, self._spent = None, False, False
        if waiting and self._branch is None and not self._lost:
            self._branch = self._grown()
        if self._branch is not None:
            self._stream = torch_states(self._context.device)

    def before_update(self, sampled: Groups) -> None: ...

    def after_update(self, step: int) -> None:
        """The branch takes the step that the run has just taken."""
        if self._branch is None:
            return
        with random_stream(self._stream, self._context.device):
            try:
                self._branch.step.gradients(step)
                self._branch.step.settle()
            except RunFailedError as error:
                self._branch, self._lost = None, True
                self._context.emit(
                    step,
                    Warned(
                        message=f"the branch that the light method trains alone is lost: {error}",
                        hint="the next sample is left out; the run itself is not touched",
                    ),
                )
                return
            self._branch.step.apply(step)
            self._branch.step.finish(step)

    def pairs(self, sampled: Groups) -> GroupPairs:
        self._spent = True
        if self._branch is None:
            return {}
        light = self._branch.attachment.forms
        return {
            group: {
                form.target.name: partial(_pair, light[form.target.name], form) for form in forms
            }
            for group, forms in sampled.items()
        }

    def forget(self, forms: Sequence[TargetForm]) -> None: ...

    def state(self) -> dict[str, Tensor]:
        """The branch's tensors as PART/NAME; nothing between a sample and the step after it."""
        if self._spent or self._branch is None:
            return {LOST: torch.ones(1)} if self._lost and not self._spent else {}
        parts = {
            "model": model_tensors(self._branch.model),
            "optimizer": self._branch.optimizer.tensors(),
            "forms": form_tensors(self._branch.attachment),
        }
        if self._branch.regularization is not None:
            parts["regularizer"] = self._branch.regularization.state()
        return {f"{part}/{name}": t for part, own in parts.items() for name, t in own.items()}

    def load_state(self, state: Mapping[str, Tensor], waiting: Groups) -> None:
        self._lost = LOST in state
        parts: dict[str, dict[str, Tensor]] = {}
        for full, value in state.items():
            part, _, name = full.partition("/")
            parts.setdefault(part, {})[name] = value
        if "model" not in parts:
            return
        self._branch = branch = self._grown()
        load_forms(branch.attachment, parts.get("forms", {}))
        present = branch.model.state_dict()
        with torch.no_grad():
            for name, value in parts["model"].items():
                present[name].copy_(value)
        branch.optimizer.load_tensors(parts.get("optimizer", {}))
        if branch.regularization is not None:
            branch.regularization.load_state(parts.get("regularizer", {}))

    def _grown(self) -> Branch:
        """A copy of the run as it is, in which every group has switched."""
        model, phases, optimizer, regularization = copy.deepcopy(self._run)
        phases.rounds_frozen = False  # what is compared is not rounded
        for group in phases.in_fft():
            phases.switch(PhaseChange(group, 0, "calibration", "a branch"), optimizer)
        model.train()  # a model that has just been loaded evaluates
        attachment = phases.attachment
        step = OptimizerStep(
            self._context, self._plan, self._batches, model, attachment, optimizer, regularization
        )
        return Branch(model, attachment, optimizer, step, regularization)


def _pair(light: TargetForm, full: TargetForm) -> tuple[Tensor, Tensor]:
    return light.effective(), full.effective()
