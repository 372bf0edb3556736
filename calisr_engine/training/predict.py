"""Evaluation of a model on a validation or test set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calisr_engine.tasks.batches import IGNORED
from calisr_engine.training.device import moved
from calisr_engine.training.ranks import Ranks


@dataclass(frozen=True)
class Predictions:
    """Raw outputs in the order of the data set.

    Attributes:
        logits: float32, shape (answers, classes), on the CPU: of rows, or of words.
        loss: mean loss over the examples or words, None for data without labels.
    """

    logits: Tensor
    loss: float | None


Take = Callable[[list[int], Tensor], tuple[list[int], Tensor]]
"""From the rows of a batch and its logits: the numbers of the answers, and the logits of each."""


def loss_alone(rows: list[int], logits: Tensor) -> tuple[list[int], Tensor]:
    """For callers that ask for the loss: one number a row, whatever the model says."""
    return rows, logits.reshape(len(rows), -1)[:, :1]


def predict(
    model: nn.Module,
    batches: Iterable[tuple[list[int], Mapping[str, Tensor]]],
    count: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
    ranks: Ranks | None = None,
    take: Take | None = None,
    unseen: Sequence[float] | None = None,
) -> Predictions:
    """Run `model` in evaluation mode over batches of (row numbers, tensors).

    With several ranks each passes its own batches, and all get the predictions of all.

    Leaves the model in the mode it was in and draws no random numbers.

    Args:
        count: answers that there are.
        take: what is an answer in a batch's logits; None takes the logits of each row.
        unseen: logits of an answer that no batch gave, since its word was cut; None takes zeros.
    """
    was_training = model.training
    model.eval()
    order: list[int] = []
    outputs: list[Tensor] = []
    losses: list[Tensor] = []
    sizes: list[int] = []
    try:
        with torch.no_grad():
            for rows, batch in batches:
                with autocast():
                    output = model(**moved(batch, device))
                numbers, values = rows, output.logits
                if take is not None:
                    numbers, values = take(rows, values)
                order += numbers
                outputs.append(values.float())
                size = 0 if output.loss is None else terms(batch["labels"], len(rows))
                if size:
                    losses.append(output.loss)
                    sizes.append(size)
    finally:
        model.train(was_training)
    logits: Tensor | None = None
    total, seen = 0.0, sum(sizes)
    if outputs:  # read at once: each reading waits for the device
        values = torch.cat(outputs).cpu()
        logits = torch.zeros(count, values.shape[-1])
        logits[torch.tensor(order, dtype=torch.int64)] = values
    if losses:
        total = sum(
            loss * size for loss, size in zip(torch.stack(losses).tolist(), sizes, strict=True)
        )
    if ranks is not None and ranks.size > 1:
        width = max(ranks.gather(0 if logits is None else logits.shape[-1]))
        if width:
            logits = ranks.add(torch.zeros(count, width) if logits is None else logits)
        sums = ranks.add(torch.tensor([total, seen], dtype=torch.float64)).tolist()
        total, seen = sums[0], int(sums[1])
    if logits is None:
        raise ValueError("there is nothing to evaluate: the data set is empty")
    if unseen is not None:
        seen_of = torch.zeros(count)
        seen_of[torch.tensor(order, dtype=torch.int64)] = 1.0
        if ranks is not None and ranks.size > 1:
            seen_of = ranks.add(seen_of)
        logits[seen_of == 0] = torch.tensor(list(unseen))
    return Predictions(logits, total / seen if seen else None)


def terms(labels: Tensor, rows: int) -> int:
    """Of how many terms the loss of a batch is the mean: its rows, or its words with a label.

    Args:
        labels: of the batch, on the CPU.
    """
    if labels.dim() == 2 and not labels.is_floating_point():
        return int((labels != IGNORED).sum())
    return rows
