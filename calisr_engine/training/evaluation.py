"""Evaluating, keeping the best model, and patience."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.events.types import Evaluated, Warned
from calisr_engine.methods.base import Attachment
from calisr_engine.tasks.data import TaskData
from calisr_engine.training import best
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.context import RunContext
from calisr_engine.training.generalisation import Generalisation
from calisr_engine.training.predict import predict
from calisr_engine.training.schedule import StepPlan


@dataclass
class Score:
    """What evaluations have come to; a checkpoint keeps it.

    Attributes:
        best, best_step: the best value of the run's metric, and its step.
        best_loss: the validation loss there; of equal values the one with the lower loss is best.
        best_counts: False while only a model that is not finished yet (diff pruning's), or one that
            has changed its shape since (MPOP's squeezing), was evaluated.
        last: the newest value; evaluated_at: its step, -1 before the first.
        without_gain: planned evaluations since the best one.
        ended_early: whether patience is over, so that training ends here.
    """

    best: float | None = None
    best_step: int = 0
    best_counts: bool = True
    last: float | None = None
    without_gain: int = 0
    evaluated_at: int = -1
    ended_early: bool = False
    best_loss: float | None = None

    def take(
        self, value: float, loss: float | None, step: int, counts: bool, planned: bool
    ) -> bool:
        """Take in one value; whether it is the best so far.

        Args:
            loss: mean loss on the same examples, None where they have no labels.
            counts: whether the model is finished; one that is not stands in until one is.
            planned: an evaluation asked for by hand is no opinion on patience.
        """
        self.last, self.evaluated_at = value, step
        gained = self.best is None or (counts and (value > self.best or not self.best_counts))
        surer = loss is not None and self.best_loss is not None and loss < self.best_loss
        is_best = gained or (counts and value == self.best and surer)
        if is_best:
            self.best, self.best_loss = value, loss
            self.best_step, self.best_counts = step, counts
        if gained:
            self.without_gain = 0
        elif planned:
            self.without_gain += 1
        return is_best

    def begin_anew(self) -> None:
        """What was evaluated before is another model: the next evaluation begins a new best."""
        self.best_counts, self.without_gain = False, 0


class Evaluation:
    """Evaluates one run's model and keeps its best weights.

    Attributes:
        score: what the evaluations so far have come to.
    """

    def __init__(
        self,
        context: RunContext,
        plan: StepPlan,
        data: TaskData,
        batches: TaskBatches,
        model: nn.Module,
        attachment: Attachment,
        generalisation: Generalisation | None = None,
    ) -> None:
        self.context = context
        self.score = Score()
        self._plan = plan
        self._data = data
        self._batches = batches
        self._model = model
        self._attachment = attachment
        self._generalisation = generalisation
        self._told: set[str] = set()

    def run(self, step: int, planned: bool = True) -> None:
        """Evaluate now; keep the model if it is the best, and end early if patience is over.

        With several ranks each predicts its part, and all take in the values of rank 0.
        """
        context, score = self.context, self.score
        began = time.monotonic()
        logits, loss = self._predict()
        metrics, loss = context.ranks.from_first((self._metrics(logits), loss))
        value = metrics[self._data.metric]
        is_best = score.take(value, loss, step, step >= self._attachment.counts_from, planned)
        if is_best and context.ranks.is_first:
            best.save(context.paths.best, step, self.weights(), logits)
        for name, each in logits.items():
            for note in self._data.score_notes(name, each):
                self._tell(step, note)
        assert score.best is not None
        context.emit(
            step,
            Evaluated(
                epoch=self._plan.epochs_done(step),
                metrics=metrics,
                metric=self._data.metric,
                value=value,
                best=score.best,
                best_step=score.best_step,
                is_best=is_best,
                loss=loss,
                seconds=time.monotonic() - began,
                planned=planned,
            ),
        )
        if self._generalisation is not None:
            self._generalisation.measure(step, loss)
        patience = context.config.training.early_stopping
        if patience is not None and score.without_gain >= patience and not score.ended_early:
            score.ended_early = True
            self._tell(
                step,
                f"stopped early: {self._data.metric} has not improved in {patience} evaluations",
            )

    def weights(self) -> dict[str, Tensor]:
        """What the best model is made of: merged where the method merges, else all of the model.

        In fp32, also what this run keeps rounded.
        """
        own = self._attachment.merged_state_dict() or model_tensors(self._model)
        return {
            name: value.float() if value.dtype == torch.bfloat16 else value
            for name, value in own.items()
        }

    def _predict(self) -> tuple[dict[str, Tensor], float | None]:
        """(logits of every validation set, mean loss on the first)."""
        context = self.context
        logits: dict[str, Tensor] = {}
        losses: list[float | None] = []
        for name in self._batches.validation_names():
            rank, size = context.ranks.rank, context.ranks.size
            batches, count, take = self._batches.evaluation("validation", name, rank, size)
            result = predict(
                self._model,
                batches,
                count,
                context.device,
                context.autocast,
                context.ranks,
                take,
                self._batches.unseen,
            )
            logits[name] = result.logits
            losses.append(result.loss)
        return logits, losses[0]

    def _metrics(self, logits: dict[str, Tensor]) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, each in logits.items():
            prefix = "" if name == "validation" else f"{name}/"
            for metric, value in self._data.score(name, each).items():
                metrics[prefix + metric] = value
        metric = self._data.metric
        if metric not in metrics:
            metrics[metric] = metrics[f"{next(iter(logits))}/{metric}"]
        return metrics

    def _tell(self, step: int, note: str) -> None:
        if note not in self._told:
            self._told.add(note)
            self.context.emit(step, Warned(message=note))


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each memory once."""
    seen: set[tuple[int, Any]] = set()
    result = {}
    for name, tensor in model.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and key in seen:
            continue
        seen.add(key)
        result[name] = tensor
    return result
