"""ChildTuning-F: a random share of the entries, drawn anew at every step.

What it trains: in LFT each step moves the entries of a fresh Bernoulli(p) mask, with gradients
scaled by 1 / p (Xu et al., 2021). Needs no pass over the data. Entries outside a step's mask do not
move in that step; their optimizer moments still decay. With `reference` they move by momentum, as
in the publication.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    Switched,
    TargetForm,
    seeded_generator,
)
from calisr_engine.methods.child_tuning_f.settings import ChildTuningF, drawn_count
from calisr_engine.models.components import Target


class RandomChildForm(TargetForm):
    """One matrix; the mask of a step is a function of (seed, target, step)."""

    def __init__(self, target: Target, p: float, seed: int, reference: bool) -> None:
        super().__init__(target)
        self._p = p
        self._seed = seed
        self._reference = reference
        self._step = 0
        self._before: Tensor | None = None
        self._mask: Tensor | None = None

    def core(self) -> list[nn.Parameter]:
        return [self.weight]

    def extra(self) -> list[nn.Parameter]:
        return []

    def trainable_count(self, phase: str) -> int:
        whole = self.weight.numel()
        return whole if phase == "fft" else drawn_count(self._p, whole)

    def begin_step(self, step: int) -> None:
        self._step = step
        self._mask = None

    def mask(self) -> Tensor:
        """The mask of the present step, bool, shape (out, in)."""
        if self._mask is None:
            device = self.weight.device
            key = (self._seed, "child_tuning_f", self.target.name, self._step)
            generator = seeded_generator(*key, device=device)
            drawn = torch.rand(self.weight.shape, generator=generator, device=device)
            self._mask = drawn < self._p
        return self._mask

    def pull(self) -> None:
        if self.phase == "fft" or self.weight.grad is None:
            return
        self.weight.grad.mul_(self.mask()).div_(self._p)
        if not self._reference:
            self._before = self.weight.detach().clone()

    @torch.no_grad()
    def push(self) -> None:
        if self.phase == "lft" and self._before is not None:
            self.weight.copy_(torch.where(self.mask(), self.weight, self._before))
            self._before = None

    def remember(self) -> None:
        self._before = self.weight.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        new = self.weight.detach()
        result = torch.where(self.mask(), new, self._before).double(), new.double()
        self._before = None
        return result

    def effective(self) -> Tensor:
        return self.weight.detach().double()

    def switch(self) -> Switched:
        return Switched()


class ChildTuningFMethod(Method):
    def attach(
        self,
        model: nn.Module,
        targets: list[Target],
        settings: ChildTuningF,
        context: AttachContext,
    ) -> Attachment:
        forms: dict[str, TargetForm] = {
            target.name: RandomChildForm(target, settings.p, context.seed, settings.reference)
            for target in targets
        }
        return Attachment(model, forms)
