"""W = diag(s) B: base and factors train in FFT, the factors alone in LFT."""

from __future__ import annotations

import torch
from calisr_engine.methods.toy.settings import Toy
from torch import Tensor, nn

from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    Switched,
    TargetForm,
)
from calisr_engine.models.components import Target


class ToyForm(TargetForm):
    """The dense weight is a working copy of `calisr_scale` * `calisr_base`."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.base = nn.Parameter(target.weight.detach().clone())
        self.scale = nn.Parameter(torch.ones_like(target.weight[:, :1]))
        target.module.register_parameter("calisr_base", self.base)
        target.module.register_parameter("calisr_scale", self.scale)
        self._before: Tensor | None = None

    def core(self) -> list[nn.Parameter]:
        return [self.scale]

    def extra(self) -> list[nn.Parameter]:
        return [self.base]

    def pull(self) -> None:
        gradient, self.weight.grad = self.weight.grad, None
        assert gradient is not None
        self.scale.grad = (gradient * self.base.detach()).sum(dim=1, keepdim=True)
        if self.phase == "fft":
            self.base.grad = gradient * self.scale.detach()

    @torch.no_grad()
    def push(self) -> None:
        self.weight.copy_(self.scale * self.base)

    def remember(self) -> None:
        self._before = self.base.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        before, self._before = self._before, None
        return (self.scale.detach() * before).double(), self.effective()

    def effective(self) -> Tensor:
        return (self.scale.detach() * self.base.detach()).double()

    def switch(self) -> Switched:
        return Switched(frozen=(self.base,))


class ToyMethod(Method):
    def attach(
        self, model: nn.Module, targets: list[Target], settings: Toy, context: AttachContext
    ) -> Attachment:
        forms = {target.name: ToyForm(target) for target in targets}
        rule = ParameterRule(context.lft_learning_rate, weight_decay=settings.decay)
        return Attachment(model, dict(forms), rules={form.scale: rule for form in forms.values()})
