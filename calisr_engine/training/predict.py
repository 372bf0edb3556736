"""Evaluation of a model on a validation or test set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calisr_engine.training.device import moved
from calisr_engine.training.ranks import Ranks


@dataclass(frozen=True)
class Predictions:
    """Raw outputs in the order of the data set.

    Attributes:
        logits: float32, shape (examples, classes), on the CPU.
        loss: mean loss over the examples, None for data without labels.
    """

    logits: Tensor
    loss: float | None


def predict(
    model: nn.Module,
    batches: Iterable[tuple[list[int], Mapping[str, Tensor]]],
    count: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
    ranks: Ranks | None = None,
) -> Predictions:
    """Run `model` in evaluation mode over batches of (row numbers, tensors).

    With several ranks each passes its own batches, and all get the predictions of all.

    Leaves the model in the mode it was in and draws no random numbers.
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
                order += rows
                outputs.append(output.logits.float())
                if output.loss is not None:
                    losses.append(output.loss)
                    sizes.append(len(rows))
    finally:
        model.train(was_training)
    logits: Tensor | None = None
    total, seen = 0.0, sum(sizes)
    if outputs:  # read at once: each reading waits for the device
        values = torch.cat(outputs).cpu()
        logits = torch.zeros(count, values.shape[-1])
        logits[torch.tensor(order)] = values
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
    return Predictions(logits, total / seen if seen else None)
