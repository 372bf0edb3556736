"""What the training loop asks of a regulariser.

    before the method attaches   start = regularizer.start(targets)
    then                         regularization = regularizer.attach(...)
    each micro-batch             with regularization.around(at): forward, penalty, backward
    each step, at its end        regularization.after_step(step)    (after a sample was taken)

A group that has switched is left alone: its extra part is frozen, to the bit. So a regulariser asks
`in_full` at each step which matrices are trained as wholes.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import Attachment
from calisr_engine.models.components import Target


@dataclass(frozen=True)
class Moment:
    """A micro-batch: optimizer step (1-based), number within the step, rank of the process."""

    step: int
    index: int
    rank: int


@dataclass(frozen=True)
class RegularizerContext:
    """What a regulariser may use when it attaches itself.

    Attributes:
        seed: for its draws, together with its name and the moment; never the global RNG.
        total_steps: optimizer steps of the run.
        resuming: a checkpoint will be loaded, or nothing is trained: skip costly passes.
    """

    seed: int
    total_steps: int
    resuming: bool = False


@dataclass
class Fixed:
    """Tensors that never change, shared by copies of a run; each copy can let go of its own."""

    tensors: dict[str, Tensor]

    def __deepcopy__(self, memo: dict[int, Any]) -> Fixed:
        return Fixed(dict(self.tensors))


@dataclass
class Regularization:
    """A regulariser in one run; what a subclass leaves as it is does nothing.

    Attributes:
        adds_to_loss: whether `penalty` may give something.
        targets: the target matrices that are fully fine-tuned at some time of the run.
        attachment: the method, whose forms know their phases.
        facts: what the user should know of it before training; notes: what asks to be looked at.
    """

    adds_to_loss: ClassVar[bool] = False
    targets: Sequence[Target]
    attachment: Attachment
    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def in_full(self) -> list[Target]:
        """The targets that are fully fine-tuned now: those of groups in FFT, and those without a
        light form that train."""
        forms = self.attachment.forms
        return [
            target
            for target in self.targets
            if (
                forms[target.name].phase == "fft"
                if target.name in forms
                else target.weight.requires_grad
            )
        ]

    @property
    def is_full_phase(self) -> bool:
        """Whether any matrix is fully fine-tuned: of a group in FFT, or one without a light form
        that trains on (`method.elsewhere = "fft"`)."""
        return not self.attachment.has_light_phase or bool(self.in_full())

    def around(self, at: Moment) -> AbstractContextManager[None]:
        """Entered around forward and backward of a micro-batch."""
        return contextlib.nullcontext()

    def penalty(
        self, model: nn.Module, batch: Mapping[str, Tensor], logits: Tensor, at: Moment
    ) -> Tensor | None:
        """What is added to the mean loss of a micro-batch, a scalar; None for nothing.

        Args:
            batch: as the model takes it, labels included; logits: what it gave.
        """
        return None

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Called when the optimizer has stepped and a sample, if one was due, has been taken."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        if state:
            raise ValueError(f"unexpected state of the regularizer: {sorted(state)}")


class Regularizer(ABC):
    """The torch half of a regulariser: how it enters a run. Stateless."""

    def start(self, targets: Sequence[Target]) -> Fixed:
        """What it keeps of the model as it was loaded, before a method attaches itself."""
        return Fixed({})

    @abstractmethod
    def attach(
        self,
        model: nn.Module,
        targets: Sequence[Target],
        attachment: Attachment,
        settings: Any,
        start: Fixed,
        context: RegularizerContext,
    ) -> Regularization:
        """Enter a run whose method is attached, before its checkpoint is loaded."""
