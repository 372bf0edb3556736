"""The forward pass of training, compiled by torch for the few shapes that its batches have.

    widths are padded up (`wide_enough`):          so that shapes are few
    the first batch of a shape:                    one graph is compiled, forward and backward
    a switch, or what else changes what trains:    all graphs go, and each shape is compiled anew
    more shapes than were foreseen:                those are computed uncompiled

Evaluations, samples and the branch of a reading go by the model itself, which is left as it is:
names in checkpoints do not change. Each graph is told in the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import RunFailedError
from calisr_engine.events.types import Noted, Warned
from calisr_engine.training.batching import wide_enough
from calisr_engine.training.context import RunContext
from calisr_engine.training.device import works_beside

BACKEND = "inductor"
"""torch's compiler of graphs; tests take quicker ones."""

Loss = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]


def most_graphs(longest: int, device: torch.device) -> int:
    """Graphs that a run can need at one time.

    For each width a whole batch and the smaller one at an epoch's end; on a GPU also without a
    mask, where nothing is padded.
    """
    widths = {wide_enough(tokens, longest) for tokens in range(1, longest + 1)}
    return len(widths) * 2 * (2 if works_beside(device) else 1)


class CompiledLoss:
    """`loss` of one run's batches, compiled for each shape.

    Args:
        longest: tokens of the longest batch.

    Attributes:
        graphs: graphs compiled so far, those that were thrown away included.
        most: the most that are kept at one time.
    """

    def __init__(self, context: RunContext, loss: Loss, longest: int) -> None:
        self.graphs = 0
        self.most = most_graphs(longest, context.device)
        self._context = context
        self._loss = loss
        self._shapes: set[tuple[Any, ...]] = set()
        self._trains: tuple[Any, ...] = ()
        self._full = False
        self._gone = 0
        self._compiled: Loss = loss

    def __call__(self, model: nn.Module, batch: Mapping[str, Tensor], step: int) -> Tensor:
        """The mean loss of one micro-batch of optimizer step `step`.

        Raises:
            RunFailedError: torch cannot compile this model here.
        """
        trains = tuple((id(p), p.requires_grad, p.shape) for p in model.parameters())
        if trains != self._trains:
            self._trains = trains
            self._begin_anew()
        shape = tuple((name, value.shape) for name, value in batch.items())
        if shape not in self._shapes:
            if len(self._shapes) >= self.most:
                self._tell_full(step)
                return self._loss(model, batch)
            self._shapes.add(shape)
        before, began = self.graphs, time.monotonic()
        loss = self._call(model, batch)
        if self.graphs > before:
            self._tell_graph(step, batch["input_ids"].shape, time.monotonic() - began)
        return loss

    def _call(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException

        try:
            with torch._dynamo.config.patch(recompile_limit=self.most + 1):
                return self._compiled(model, batch)
        except TorchDynamoException as error:
            said = " ".join(str(error).split())[:300]
            raise RunFailedError(
                f"training.compile: torch cannot compile this model here: {said}",
                "set training.compile = false",
            ) from error

    def _begin_anew(self) -> None:
        """A function with code of its own: graphs are kept by code, and go with it."""
        inner: Any = self._loss
        own = FunctionType(inner.__code__.replace(), inner.__globals__, inner.__name__)
        self._shapes.clear()
        self._gone = self.graphs
        self._compiled = torch.compile(own, backend=self._count, fullgraph=True, dynamic=False)

    def _count(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        from torch._dynamo.backends.registry import lookup_backend

        self.graphs += 1
        compiled: Callable[..., Any] = lookup_backend(BACKEND)(graph, inputs)
        return compiled

    def _tell_graph(self, step: int, shape: torch.Size, seconds: float) -> None:
        said = (
            f"training.compile: graph {self.graphs - self._gone} of at most {self.most} compiled "
            f"in {seconds:.1f} s, for batches of {' x '.join(map(str, shape))}"
        )
        if self._gone:
            said += f" ({self._gone} were compiled before the last switch)"
        self._context.emit(step, Noted(message=said))

    def _tell_full(self, step: int) -> None:
        if not self._full:
            self._full = True
            message = (
                f"training.compile: batches came in more shapes than {self.most}; the others are "
                "computed uncompiled"
            )
            self._context.emit(step, Warned(message=message))
