"""One optimizer step: gradients over the micro-batches, one global clip, the update."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from calisr_engine.errors import RunFailedError
from calisr_engine.methods.base import Attachment
from calisr_engine.regularizers.base import Moment, Regularization
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.compiled import CompiledLoss
from calisr_engine.training.context import RunContext
from calisr_engine.training.device import works_beside
from calisr_engine.training.exchange import BackwardSums
from calisr_engine.training.optim import StepOptimizer
from calisr_engine.training.schedule import StepPlan


def forward_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean loss of one micro-batch, as its kind of task has it: cross entropy (over texts, or over
    words, or of a text over its alternatives), binary cross entropy for several labels, squared
    error for regression."""
    loss = model(**batch).loss
    assert isinstance(loss, Tensor)
    return loss


class OptimizerStep:
    """Takes the steps of one run.

    Attributes:
        loss: mean loss of the newest step's batch (a tensor on the device).
        norm: its gradient norm before the clip; None where nothing is clipped.
        examples: how many examples it saw.
        stop: set by whoever wants the run to stop; heard by all ranks at the same step.
    """

    def __init__(
        self,
        context: RunContext,
        plan: StepPlan,
        batches: TaskBatches,
        model: nn.Module,
        attachment: Attachment,
        optimizer: StepOptimizer,
        regularization: Regularization | None = None,
        compiled: CompiledLoss | None = None,
    ) -> None:
        self.loss = torch.zeros((), device=context.device)
        self.norm: Tensor | None = None
        self.examples = 0
        self.stop = threading.Event()
        self._unread: list[tuple[int, Tensor, Tensor]] = []
        self._bad: Tensor | None = None
        # Ranks exchange what is on the host, so they have waited by then.
        if works_beside(context.device) and context.ranks.size == 1:
            self._bad = torch.zeros((), device=context.device)
            optimizer.hold_back(self._bad)
        self._context = context
        self._plan = plan
        self._batches = batches
        self._model = model
        self._attachment = attachment
        self._optimizer = optimizer
        self._regularization = regularization or Regularization((), attachment)
        self._penalty = torch.zeros((), device=context.device)
        self._compiled = compiled
        self._sums: BackwardSums | None = None
        if context.ranks.size > 1 and context.config.training.overlap_gradients:
            self._sums = BackwardSums(context.ranks, model, attachment)

    def gradients(self, step: int) -> None:
        """Forward, backward, the sum over ranks, the clip.

        On a GPU nothing is read back: a step whose figures are no numbers, and every step after it,
        leaves the weights as they are, and the next `settle` says so.

        Raises:
            RunFailedError: loss or gradient is not a number; no weight has been touched.
        """
        forms = self._attachment.forms.values()
        ranks = self._context.ranks
        self._optimizer.set_factor(self._plan.rate_factor(step))
        for form in forms:
            form.begin_step(step)
        parameters = self._optimizer.parameters()
        if self._sums is not None:
            self._sums.begin(parameters)
        loss = self._backward(step)
        summed = None if self._sums is None else self._sums.finish()
        for form in forms:
            form.pull()
        self.loss, stop = ranks.add_gradients(parameters, loss, self.stop.is_set(), summed)
        if stop:
            self.stop.set()
        limit = self._context.config.training.max_grad_norm
        self.norm = None
        if limit != 0:
            self.norm = torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True)
        total = self.loss if self.norm is None else self.loss + self.norm
        if self._regularization.adds_to_loss:
            total = total + self._penalty
        self._unread.append((step, self.loss, total))
        if self._bad is None:
            self.settle()
        else:
            self._bad.logical_or_(~torch.isfinite(total))

    def settle(self) -> None:
        """Read the figures of the steps since the last call, the newest perhaps not applied yet.

        Raises:
            RunFailedError: one of them had a loss or gradient that is not a number; it has touched
                no weight, and none after it.
        """
        unread, self._unread = self._unread, []
        totals = torch.stack([total for _, _, total in unread]).tolist() if unread else []
        for (step, loss, _), total in zip(unread, totals, strict=True):
            if not math.isfinite(total):
                raise _failed(step, "gradient norm" if math.isfinite(loss.item()) else "loss")

    def apply(self, step: int) -> bool:
        """Update the weights; whether the method changed what trains."""
        self._optimizer.step()
        for form in self._attachment.forms.values():
            form.push()
        after = self._attachment.after_step
        changed = after is not None and after(step)
        self._optimizer.zero_grad()
        return changed

    def finish(self, step: int) -> None:
        """Let the regulariser act on the new weights, once nobody compares them any more."""
        self._regularization.after_step(step)

    def _backward(self, step: int) -> Tensor:
        """Backward over this step's micro-batches.

        Returns the mean loss; with several ranks, what this rank's slices add to it. A slice weighs
        as many examples (words, where each has a tag) as it has, so uneven slices add up to the
        gradient of the whole batch.
        """
        context = self._context
        rank, size = context.ranks.rank, context.ranks.size
        epoch, _ = self._plan.epoch_of(step)
        indices = self._plan.micro_batches(step)
        batches = [
            self._batches.train_part(epoch, index, context.device, rank, size) for index in indices
        ]
        self.examples = sum(count for _, count in batches)
        terms = [self._batches.terms(epoch, index, rank, size) for index in indices]
        every = sum(all_ranks for _, all_ranks in terms)
        mean = torch.zeros((), device=context.device)
        self._penalty.zero_()
        mine = [at for at, (batch, _) in enumerate(batches) if batch is not None and terms[at][0]]
        for index in mine:
            batch = batches[index][0]
            assert batch is not None
            if index == mine[-1] and self._sums is not None:
                self._sums.arm()
            weight = terms[index][0] / every
            at = Moment(step, index, rank)
            with self._regularization.around(at):
                with context.autocast():
                    loss, penalty = self._losses(batch, at)
                mean += loss.detach().float() * weight
                if penalty is not None:
                    self._penalty += penalty.detach() * weight
                    loss = loss + penalty
                (loss * weight if weight != 1.0 else loss).backward()
        if self._attachment.penalty is not None and context.ranks.is_first:
            self._attachment.penalty().backward()
        return mean

    def _losses(self, batch: Mapping[str, Tensor], at: Moment) -> tuple[Tensor, Tensor | None]:
        """The mean loss of a micro-batch, and what the regulariser adds to it."""
        if not self._regularization.adds_to_loss:
            if self._compiled is None:
                return forward_loss(self._model, batch), None
            return self._compiled(self._model, batch, at.step), None
        answer = self._model(**batch)
        return answer.loss, self._regularization.penalty(self._model, batch, answer.logits, at)


def _failed(step: int, what: str) -> RunFailedError:
    mend = (
        "lower training.learning_rate (and rates of [method]) or training.weight_decay, or "
        "use training.precision=fp32; the last checkpoint is intact, so a changed run "
        "can start from there"
    )
    if step == 1:
        mend = (
            "nothing has been trained yet, so the settings of [method] make numbers that "
            "are too large, or the weights of model.name do; try their defaults"
        )
    return RunFailedError(f"the {what} is not a number at step {step}", mend)
