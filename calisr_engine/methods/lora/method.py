"""LoRA: a low-rank update scale * B A beside each matrix (Hu et al., 2021), by peft.

What it trains: A (r x in) and B (out x r) of each covered matrix. Costs little memory, and in its
light phase the backward pass computes no gradient of the covered matrices. Choose it first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    Phase,
    Switched,
    TargetForm,
    shadow_step,
)
from calisr_engine.methods.lora.adapter import write_adapter
from calisr_engine.methods.lora.settings import Lora
from calisr_engine.models.blocks import joined
from calisr_engine.models.components import Target
from calisr_engine.randomness import aside

ADAPTER = "calisr"


class LoraForm(TargetForm):
    """W + scale B A: base and factors both train in FFT, the factors alone in LFT."""

    def __init__(self, target: Target, a: nn.Parameter, b: nn.Parameter, scale: float) -> None:
        super().__init__(target)
        self.a, self.b, self.scale = a, b, scale
        self._before: Tensor | None = None

    def core(self) -> list[nn.Parameter]:
        return [self.a, self.b]

    def extra(self) -> list[nn.Parameter]:
        return [self.weight]

    def update(self) -> Tensor:
        """scale * B A in float64, shape (out, in)."""
        return self.scale * (self.b.detach().double() @ self.a.detach().double())

    def remember(self) -> None:
        self._before = self.weight.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        update = self.update()
        result = self._before.double() + update, self.weight.detach().double() + update
        self._before = None
        return result

    def effective(self) -> Tensor:
        return self.weight.detach().double() + self.update()

    def switch(self) -> Switched:
        return Switched(frozen=(self.weight,))


class ShadowLoraForm(LoraForm):
    """Plain full fine-tuning of W until the switch; the factors wait, and train from then on.

    W_LFT of a sample is the old W plus the update of the waiting pair (B zero) after one trial step
    with the gradient that it would have had. The pair itself does not move.
    """

    def __init__(
        self,
        target: Target,
        a: nn.Parameter,
        b: nn.Parameter,
        scale: float,
        context: AttachContext,
    ) -> None:
        super().__init__(target, a, b, scale)
        self._context = context
        self._step = 0
        self._tried: Tensor | None = None

    def begin_step(self, step: int) -> None:
        self._step = step

    def trainable(self) -> list[nn.Parameter]:
        return [self.weight] if self.phase == "fft" else [self.a, self.b]

    def trainable_count(self, phase: Phase) -> int:
        return sum(p.numel() for p in ([self.weight] if phase == "fft" else [self.a, self.b]))

    def remember(self) -> None:
        super().remember()
        gradient = self.weight.grad
        assert gradient is not None
        a, b = self.a.detach(), self.b.detach()
        rule = ParameterRule(learning_rate=self._context.lft_learning_rate)
        a, b = shadow_step(
            self._context,
            self._step,
            [a, b],
            [self.scale * (b.T @ gradient), self.scale * (gradient @ a.T)],
            [rule, rule],
        )
        self._tried = self.scale * (b.double() @ a.double())

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        assert self._tried is not None
        result = self._before.double() + self._tried, self.weight.detach().double()
        self._before = self._tried = None
        return result

    def switch(self) -> Switched:
        for factor in (self.a, self.b):
            factor.requires_grad_(True)
        return Switched(frozen=(self.weight,), added=(self.a, self.b))


class LoraAttachment(Attachment):
    def merged_state_dict(self) -> dict[str, Tensor]:
        """The base plus the update, added in float64 and rounded once."""
        merged = {
            name.replace(".base_layer.", "."): value
            for name, value in self.model.state_dict().items()
            if ".lora_" not in name
        }
        for name, form in self.forms.items():
            merged[f"{name}.weight"] = form.effective().float()
        return joined(self.model, merged)


class LoraMethod(Method):
    def attach(
        self, model: nn.Module, targets: list[Target], settings: Lora, context: AttachContext
    ) -> Attachment:
        from peft import LoraConfig, inject_adapter_in_model

        trained = {name: p.requires_grad for name, p in model.named_parameters()}
        own = dict(model.named_parameters())
        # peft draws its own start from the global random state; ours is drawn below.
        with aside():
            config = LoraConfig(
                r=settings.rank,
                lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft takes fractions too
                lora_dropout=settings.dropout,
                target_modules=[target.name for target in targets],
                init_lora_weights=True,
            )
            inject_adapter_in_model(config, model, adapter_name=ADAPTER)
        for name, parameter in own.items():
            parameter.requires_grad_(trained[name])
        forms: dict[str, TargetForm] = {}
        rules: dict[nn.Parameter, ParameterRule] = {}
        for target in targets:
            layer: Any = model.get_submodule(target.name)
            a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
            start = torch.empty(a.shape)
            nn.init.kaiming_uniform_(
                start, a=math.sqrt(5), generator=context.generator(f"lora/{target.name}")
            )
            with torch.no_grad():
                a.copy_(start)
                b.zero_()
            shadow = settings.parametrisation == "shadow"
            a.requires_grad_(not shadow)
            b.requires_grad_(not shadow)
            scale = settings.alpha / settings.rank
            forms[target.name] = (
                ShadowLoraForm(target, a, b, scale, context)
                if shadow
                else LoraForm(target, a, b, scale)
            )
            if context.lft_learning_rate is not None:
                for parameter in (a, b):
                    rules[parameter] = ParameterRule(learning_rate=context.lft_learning_rate)
        attachment = LoraAttachment(model, forms, rules=rules)
        if settings.reference:
            attachment.keep_at_last(p for form in forms.values() for p in form.core())
        return attachment

    def dense_matrices(self, tensors: Mapping[str, Tensor], settings: Lora) -> dict[str, Tensor]:
        """Base plus update in float64; matrices without factors as they are."""
        found = {}
        for name, matrix in super().dense_matrices(tensors, settings).items():
            plain = name.removesuffix(".base_layer")
            if plain != name:
                a, b = (tensors[f"{plain}.lora_{x}.{ADAPTER}.weight"].double() for x in "AB")
                found[plain] = matrix.double() + settings.alpha / settings.rank * (b @ a)
            elif ".lora_" not in name:
                found[name] = matrix
        return found

    def write_adapter(
        self,
        model: nn.Module,
        targets: Sequence[str],
        merged: Mapping[str, Tensor],
        settings: Lora,
        base_name: str,
        folder: Path,
    ) -> None:
        write_adapter(model, targets, merged, settings, base_name, folder)
