"""BitFit: the biases and the head (Ben Zaken et al., 2021).

What it trains: in LFT every parameter named `bias`, LayerNorm's included, and the head. The
smallest share of all; its light phase is fast, since no matrix needs a gradient.
"""

from __future__ import annotations

from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    Switched,
    TargetForm,
)
from calisr_engine.methods.bitfit.settings import BitFit
from calisr_engine.models.architectures import architecture_of
from calisr_engine.models.components import Target, head_parameters


class FrozenLaterForm(TargetForm):
    """A matrix that is all extra: full fine-tuning trains it, the light method leaves it."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._before: Tensor | None = None

    def core(self) -> list[nn.Parameter]:
        return []

    def extra(self) -> list[nn.Parameter]:
        return [self.weight]

    def remember(self) -> None:
        self._before = self.weight.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        result = self._before.double(), self.weight.detach().double()
        self._before = None
        return result

    def effective(self) -> Tensor:
        return self.weight.detach().double()

    def switch(self) -> Switched:
        return Switched(frozen=(self.weight,))


class BitFitMethod(Method):
    def check_model(self, model: nn.Module) -> None:
        head = set(head_parameters(model))
        if not any("bias" in name and p not in head for name, p in model.named_parameters()):
            kind = architecture_of(model)
            raise ConfigError(
                f"method.name: BitFit trains biases, and this {kind} encoder has none",
                "choose another method",
            )

    def attach(
        self, model: nn.Module, targets: list[Target], settings: BitFit, context: AttachContext
    ) -> Attachment:
        self.check_model(model)
        forms: dict[str, TargetForm] = {t.name: FrozenLaterForm(t) for t in targets}
        kept = set(head_parameters(model)) | {target.weight for target in targets}
        biases = [p for name, p in model.named_parameters() if "bias" in name]
        kept |= set(biases)
        rules = {}
        if context.lft_learning_rate is not None:
            rules = {p: ParameterRule(context.lft_learning_rate) for p in biases}
        return Attachment(
            model,
            forms,
            frozen_at_last=[p for p in model.parameters() if p not in kept],
            rules=rules,
        )
