"""What a run logs about its generalisation: the gap, and the terms of the paper's bound on it.

Section 3.2 of the paper bounds the generalisation error of a network by a term that grows with

    prod_i ||W_i||_2^2  *  sum_i SR(W_i)        over its weight matrices W_i,

so a lower stable rank SR at the same spectral norms ||W_i||_2 would mean a smaller gap. Measured
here over the target matrices as the forward pass sees them, with exact eigenvalues in float64.
Nothing is drawn from the run's random streams and no weight is touched.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calisr_engine.calibration.stable_rank import (
    check_finite,
    squared_frobenius,
    to_double,
    top_gram_eigenvalue,
)
from calisr_engine.events.types import GeneralisationMeasured
from calisr_engine.methods.base import Attachment, seeded_generator
from calisr_engine.models.components import Target
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.context import RunContext
from calisr_engine.training.predict import loss_alone, predict
from calisr_engine.training.schedule import StepPlan


@dataclass(frozen=True)
class BoundTerms:
    """Attributes: stable_rank: sum of SR(W_i); log_norms: sum of ln ||W_i||_2^2, None where one
    matrix is zero; matrices: how many."""

    stable_rank: float
    log_norms: float | None
    matrices: int


def bound_terms(weights: Iterable[Tensor]) -> BoundTerms:
    """The terms of the bound over matrices (m, n) of any floating dtype.

    Raises:
        ValueError: an entry is not finite.
    """
    ranks, logs = [], []
    for weight in weights:
        matrix = check_finite(to_double(weight))[None]
        squared = float(squared_frobenius(matrix))
        top = float(top_gram_eigenvalue(matrix))
        ranks.append(squared / top if squared > 0 else 0.0)
        logs.append(math.log(top) if squared > 0 else -math.inf)
    total = math.fsum(logs)
    return BoundTerms(math.fsum(ranks), total if math.isfinite(total) else None, len(ranks))


def train_rows(count: int, wanted: int) -> list[int]:
    """The training examples that are looked at: `wanted` of `count`, the same in every run."""
    drawn = torch.randperm(count, generator=seeded_generator(0, "generalisation"))
    return sorted(drawn[:wanted].tolist())


class Generalisation:
    """Measures one run; `measure` is called at its evaluations."""

    def __init__(
        self,
        context: RunContext,
        plan: StepPlan,
        batches: TaskBatches,
        model: nn.Module,
        targets: list[Target],
        attachment: Attachment,
    ) -> None:
        self._context = context
        self._plan = plan
        self._batches = batches
        self._model = model
        self._targets = targets
        self._attachment = attachment
        wanted = context.config.diagnostics.train_examples
        self._rows = train_rows(batches.train_count, wanted)

    def measure(self, step: int, validation_loss: float | None) -> None:
        """Log the train loss in evaluation mode, the gap and the terms of the bound."""
        began = time.monotonic()
        context, ranks = self._context, self._context.ranks
        batches = self._batches.of_training(self._rows, ranks.rank, ranks.size)
        found = predict(
            self._model,
            batches,
            len(self._rows),
            context.device,
            context.autocast,
            ranks,
            loss_alone,
        )
        if not ranks.is_first:
            return
        losses = {"train_loss": found.loss, "validation_loss": validation_loss}
        known = {name: value for name, value in losses.items() if _is_number(value)}
        terms = self._terms()
        context.emit(
            step,
            GeneralisationMeasured(
                epoch=self._plan.epochs_done(step),
                train_examples=len(self._rows),
                **known,
                **terms,
                seconds=time.monotonic() - began,
            ),
        )

    def _terms(self) -> Mapping[str, float | None]:
        forms = self._attachment.forms
        try:
            found = bound_terms(
                forms[each.name].effective() if each.name in forms else each.weight
                for each in self._targets
            )
        except ValueError:  # weights that are no numbers; the loss will say so
            return {}
        return {"stable_rank": found.stable_rank, "log_norms": found.log_norms}


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
