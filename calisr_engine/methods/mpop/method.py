"""MPOP: each matrix as a product of five tensors, of which the light phase trains four.

What it trains: in FFT all five tensors, in LFT the four small auxiliary ones ("Enabling Lightweight
Fine-tuning for Pre-trained Language Model Compression based on Matrix Product Operators", Liu et
al., 2021). The dense matrix is contracted once an optimizer step and used like any other; its
gradient goes back through the contraction once. Costs that contraction, and memory of about twice
the covered matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.config.methods import Mpop
from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    Switched,
    TargetForm,
)
from calisr_engine.methods.mpop.shapes import central_index, factorise_matrix
from calisr_engine.methods.mpop.tensors import contract, decompose
from calisr_engine.methods.registry import register
from calisr_engine.models.components import Target

DEFAULT_LR_RATIO = 0.14
"""2.8e-6 beside 2e-5, the learning rates of the reference runs."""


class MpoForm(TargetForm):
    """The dense weight is a working copy of the contraction of five tensors."""

    def __init__(self, target: Target, bond: int | None) -> None:
        super().__init__(target)
        weight = target.weight.detach()
        rows, columns = factorise_matrix(*weight.shape)
        pieces = decompose(weight.cpu(), rows, columns, bond)
        self.tensors = nn.ParameterList(
            nn.Parameter(piece.to(weight.device, weight.dtype)) for piece in pieces
        )
        target.module.calisr_mpo = self.tensors
        self.central: nn.Parameter = self.tensors[central_index(len(pieces))]
        self._graph: Tensor | None = None
        self._before: Tensor | None = None
        self.error = 0.0
        if bond is not None:
            before = weight.double()
            self.error = float((self.effective() - before).norm() / before.norm().clamp_min(1e-300))
        self.push()
        self._graph = None

    def core(self) -> list[nn.Parameter]:
        return [tensor for tensor in self.tensors if tensor is not self.central]

    def extra(self) -> list[nn.Parameter]:
        return [self.central]

    def pull(self) -> None:
        gradient, self.weight.grad = self.weight.grad, None
        if gradient is None:
            return
        dense = self._graph if self._graph is not None else contract(list(self.tensors))
        self._graph = None
        dense.backward(gradient)

    def push(self) -> None:
        # The contraction that gives the new dense weight is the one the next pull goes back
        # through, so each step contracts once.
        with torch.enable_grad():
            dense = contract(list(self.tensors))
        with torch.no_grad():
            self.weight.copy_(dense)
        self._graph = dense if dense.requires_grad else None

    def remember(self) -> None:
        self._before = self.central.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        result = self._dense(self._before), self._dense(self.central.detach())
        self._before = None
        return result

    def effective(self) -> Tensor:
        return self._dense(self.central.detach())

    def _dense(self, central: Tensor) -> Tensor:
        return contract(
            [
                (central if tensor is self.central else tensor.detach()).double()
                for tensor in self.tensors
            ]
        )

    def switch(self) -> Switched:
        self._graph = None
        return Switched(frozen=(self.central,))


class MpopMethod(Method):
    name = "mpop"
    settings_type = Mpop

    def attach(
        self, model: nn.Module, targets: list[Target], settings: Mpop, context: AttachContext
    ) -> Attachment:
        forms = {target.name: MpoForm(target, settings.bond) for target in targets}
        rate = settings.mpo_lr or context.lft_learning_rate
        rule = ParameterRule(rate or DEFAULT_LR_RATIO * context.learning_rate, weight_decay=0.0)
        attachment = Attachment(
            model,
            dict(forms),
            rules={p: rule for form in forms.values() for p in form.tensors},
        )
        if settings.bond is not None:
            errors = [form.error for form in forms.values()]
            attachment.notes.append(
                f"MPO bond capped at {settings.bond}: relative reconstruction error "
                f"{sum(errors) / len(errors):.3f} on average, {max(errors):.3f} at most"
            )
        shapes: dict[tuple[int, ...], Any] = {
            tuple(form.weight.shape): factorise_matrix(*form.weight.shape)
            for form in forms.values()
        }
        for (height, width), (rows, columns) in shapes.items():
            attachment.notes.append(f"MPO of {height} x {width}: {rows} x {columns}")
        return attachment


register(MpopMethod())
