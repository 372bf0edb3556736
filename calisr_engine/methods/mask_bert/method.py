"""MaskBERT: which weights to keep (Zhao et al., 2020, "Masking as an Efficient Alternative").

What it trains: in LFT one score a weight; a weight counts where its score is above the threshold.
Weights and biases of the encoder stand still. Costs memory (scores beside weights) and the backward
pass of full fine-tuning; its result stores as one bit a weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    Switched,
    TargetForm,
)
from calisr_engine.methods.mask_bert.settings import MaskBert
from calisr_engine.models.components import Target, head_parameters


class MaskForm(TargetForm):
    """The dense weight is a working copy of `calisr_base` * [`calisr_scores` > threshold].

    Gradients pass the threshold as if it were the identity (straight-through).
    """

    def __init__(self, target: Target, scores: Tensor, threshold: float) -> None:
        super().__init__(target)
        weight = target.weight
        self.base = nn.Parameter(weight.detach().clone())
        self.scores = nn.Parameter(scores.to(weight.device, weight.dtype))
        target.module.register_parameter("calisr_base", self.base)
        target.module.register_parameter("calisr_scores", self.scores)
        self._threshold = threshold
        self._before: Tensor | None = None
        self.push()

    def mask(self) -> Tensor:
        """Kept weights, bool, shape (out, in)."""
        return self.scores.detach() > self._threshold

    def core(self) -> list[nn.Parameter]:
        return [self.scores]

    def extra(self) -> list[nn.Parameter]:
        return [self.base]

    def pull(self) -> None:
        gradient, self.weight.grad = self.weight.grad, None
        if gradient is None:
            return
        self.scores.grad = gradient * self.base.detach()
        if self.phase == "fft":
            self.base.grad = gradient * self.mask()

    @torch.no_grad()
    def push(self) -> None:
        torch.mul(self.base, self.mask(), out=self.weight.data)

    def remember(self) -> None:
        self._before = self.base.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        mask = self.mask()
        result = (self._before * mask).double(), (self.base.detach() * mask).double()
        self._before = None
        return result

    def effective(self) -> Tensor:
        return (self.base.detach() * self.mask()).double()

    def switch(self) -> Switched:
        return Switched(frozen=(self.base,))


class MaskBertMethod(Method):
    def attach(
        self, model: nn.Module, targets: list[Target], settings: MaskBert, context: AttachContext
    ) -> Attachment:
        low = -settings.score_range
        high = settings.highest_score
        rate = settings.mask_lr or context.lft_learning_rate
        rule = ParameterRule(rate, weight_decay=0.0)
        biases = [t.module.bias for t in targets if t.module.bias is not None]
        forms: dict[str, TargetForm] = {}
        rules: dict[nn.Parameter, ParameterRule] = {}
        masked = 0
        for target in targets:
            generator = context.generator(f"mask_bert/{target.name}")
            drawn = torch.rand(target.weight.shape, generator=generator) * (high - low) + low
            form = MaskForm(target, drawn, settings.threshold)
            masked += int((~form.mask()).sum())
            forms[target.name] = form
            rules[form.scores] = rule
        total = sum(form.weight.numel() for form in forms.values())
        frozen = list(biases)
        if settings.reference:
            kept = set(head_parameters(model)) | {
                p for f in forms.values() for p in [*f.core(), *f.extra(), f.weight]
            }
            frozen = [p for p in model.parameters() if p not in kept]
        return Attachment(
            model,
            forms,
            frozen_at_last=frozen,
            rules=rules,
            notes=[f"MaskBERT starts with {masked / total:.2%} of the covered weights masked"],
        )
