"""SAID: structure-aware intrinsic dimension (Aghajanyan, Zettlemoyer and Gupta, 2021).

    W_i = W0_i + lambda_i P_i(theta)

theta is one vector of d - m numbers for the whole model, lambda_i one number for each of the m
covered matrices, P_i the fixed random Fastfood map of matrix i (`fastfood.py`). theta begins at 0
and lambda at 1, so the start is the pretrained model. Without `structure_aware` all lambda_i are 1
and theta has d numbers: plain intrinsic dimension, by maps of each matrix, as in the authors' code.

What it trains: in LFT theta and the lambdas; in FFT the bases W0_i too, beside them, as LoRA does.
A switch freezes the bases of its own matrices and nothing else. theta stays one for the model: it
trains from the first step to the last on the gradients of all matrices, so a matrix that has
switched goes on moving with what the others, in either phase, do to theta. W_LFT of a sample is the
old base with the new theta and lambda, W_FFT the new base with them.

Costs the backward pass of full fine-tuning, two transforms of each matrix a step, a copy of the
covered matrices, and twelve bytes for each of their entries (rounded up to a power of two).

Here the encoder's matrices alone move through theta. In the publication embeddings, biases and
LayerNorm do so too; ours train as in the other methods, or stand still with `reference`. The
authors' code scales the gradient of each transform down, which AdamW does not notice; ours is the
true one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    Phase,
    Switched,
    TargetForm,
)
from calisr_engine.methods.said.fastfood import Fastfood
from calisr_engine.methods.said.settings import Said
from calisr_engine.models.components import Target


class SaidForm(TargetForm):
    """The dense weight is a working copy of `calisr_base` + `calisr_lambda` * P(theta).

    Args:
        theta: shared by all forms; counts in the first of them alone.
        scale: lambda, or None where it is 1.
    """

    def __init__(
        self,
        target: Target,
        theta: nn.Parameter,
        scale: nn.Parameter | None,
        projection: Fastfood,
        is_first: bool,
    ) -> None:
        super().__init__(target)
        self.theta, self.scale, self.projection = theta, scale, projection
        self._is_first = is_first
        self.base = nn.Parameter(target.weight.detach().clone())
        target.module.register_parameter("calisr_base", self.base)
        if scale is not None:
            target.module.register_parameter("calisr_lambda", scale)

    def core(self) -> list[nn.Parameter]:
        return [self.theta] if self.scale is None else [self.theta, self.scale]

    def extra(self) -> list[nn.Parameter]:
        return [self.base]

    def trainable_count(self, phase: Phase) -> int:
        own = (self.theta.numel() if self._is_first else 0) + (self.scale is not None)
        return own + (self.base.numel() if phase == "fft" else 0)

    @torch.no_grad()
    def pull(self) -> None:
        """Of theta the gradients of all matrices add up, in the order of the forms."""
        gradient, self.weight.grad = self.weight.grad, None
        if gradient is None:
            return
        used = self.projection.used
        along = self.projection.back(gradient.flatten())
        if self.scale is not None:
            self.scale.grad = (along * self.theta[:used]).sum()
            along *= self.scale
        if self.theta.grad is None:
            self.theta.grad = torch.zeros_like(self.theta)
        self.theta.grad[:used] += along
        if self.phase == "fft":
            self.base.grad = gradient

    @torch.no_grad()
    def push(self) -> None:
        torch.add(self.base, self.difference(self.base.dtype), out=self.weight.data)

    @torch.no_grad()
    def difference(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """lambda * P(theta), shape (out, in)."""
        found = self.projection.project(self.theta.to(dtype)).view(self.base.shape)
        return found if self.scale is None else found * self.scale.to(dtype)

    def remember(self) -> None:
        self._before = self.base.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        before, self._before = self._before, None
        difference = self.difference()
        return before.double() + difference, self.base.detach().double() + difference

    def effective(self) -> Tensor:
        return self.base.detach().double() + self.difference()

    def switch(self) -> Switched:
        return Switched(frozen=(self.base,))


class SaidMethod(Method):
    def check_targets(self, targets: Sequence[Target], settings: Said, calibrated: bool) -> None:
        largest = max(target.weight.numel() for target in targets)
        if settings.length(len(targets), largest) < 1:
            raise ConfigError(
                f"method.dimension: {settings.dimension} leaves nothing beside the scales of "
                f"{len(targets)} matrices",
                f"set it above {len(targets)}, or method.structure_aware = false",
            )

    def attach(
        self, model: nn.Module, targets: list[Target], settings: Said, context: AttachContext
    ) -> Attachment:
        self.check_targets(targets, settings, context.calibrated)
        device = targets[0].weight.device
        length = settings.length(len(targets), max(t.weight.numel() for t in targets))
        theta = nn.Parameter(torch.zeros(length, device=device))
        model.register_parameter("calisr_theta", theta)
        forms: dict[str, TargetForm] = {}
        # Decay would pull theta to where it began, and the scales to 0.
        rule = ParameterRule(context.lft_learning_rate, weight_decay=0.0)
        rules = {theta: rule}
        for target in targets:
            scale = None
            if settings.structure_aware:
                scale = nn.Parameter(torch.ones((), device=target.weight.device))
                rules[scale] = rule
            projection = Fastfood(
                length,
                target.weight.numel(),
                context.generator(f"said/{target.name}"),
                target.weight.device,
            )
            forms[target.name] = SaidForm(target, theta, scale, projection, is_first=not forms)
        attachment = Attachment(model, forms, rules=rules)
        if settings.reference:
            attachment.keep_at_last(
                p for form in forms.values() for p in (form.weight, *form.core(), *form.extra())
            )
        return attachment
