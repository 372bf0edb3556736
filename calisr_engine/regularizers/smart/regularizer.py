"""SMART: smoothness-inducing adversarial regularisation, and the Bregman proximal point method
(Jiang, He, Chen, Liu, Gao and Zhao, 2020).

The loss becomes L + lambda_s R_s + mu D. With x the word embeddings of an example, f the model's
answer and l_s the divergence of two answers,

    R_s = mean over examples of  max { l_s(f(x + d), f(x)) : |d|_inf <= epsilon }

The maximum is looked for as in their Algorithm 1: d ~ N(0, sigma^2), then T times
d <- cut(d + eta g / |g|_inf) with g the gradient of l_s by d, per example, where cut keeps each
entry within epsilon. D is the mean of l_s(f(x; theta), f(x; theta~)) with theta~ the moving average
of the weights (beta 0.99 in the first tenth of the steps, then 0.999).

l_s is the symmetric Kullback-Leibler divergence KL(P|Q) + KL(Q|P), and (a - b)^2 in regression.

As in the authors' code each of these passes draws its dropout anew, so f(x + d) and f(x) differ by
dropout, too; with training.dropout = 0 by d alone. Unlike there the change is cut to epsilon, as
the paper has it, and the gradient of l_s is that of both answers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from calisr_engine.methods.base import Attachment, seeded_generator
from calisr_engine.models.components import Target
from calisr_engine.regularizers.base import (
    Fixed,
    Moment,
    Regularization,
    Regularizer,
    RegularizerContext,
)
from calisr_engine.regularizers.smart.settings import Smart

EARLY, LATE, EARLY_SHARE = 0.99, 0.999, 0.1
"""Decay beta of the averaged weights, in the first tenth of the steps and later."""


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """l_s of each example, shape (rows,), from two answers (rows, ..., classes).

    One class is regression: the squared difference. Positions between are averaged over.
    """
    one, other = one.float(), other.float()
    if one.shape[-1] == 1:
        each = (one - other).square().squeeze(-1)
    else:
        p, q = functional.log_softmax(one, -1), functional.log_softmax(other, -1)
        each = ((p.exp() - q.exp()) * (p - q)).sum(-1)
    return each.flatten(1).mean(1) if each.dim() > 1 else each


def ascended(change: Tensor, gradient: Tensor, eta: float, epsilon: float) -> Tensor:
    """One ascent step of d: cut(d + eta g / |g|_inf), (rows, positions, width), per example."""
    largest = gradient.abs().amax((1, 2), keepdim=True)
    unit = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return (change + eta * unit).clamp(-epsilon, epsilon)


@contextlib.contextmanager
def shifted(table: nn.Module, change: Tensor) -> Iterator[None]:
    """Within, the embeddings that `table` gives are those plus `change`."""

    def shift(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        longer = output.shape[1] - change.shape[1]  # Longformer fills its windows up
        return output + (functional.pad(change, (0, 0, 0, longer)) if longer else change)

    hook = table.register_forward_hook(shift)
    try:
        yield
    finally:
        hook.remove()


@dataclass
class SmartRegularization(Regularization):
    """Attributes: average: theta~ by the name of its parameter; empty without a proximal term, and
    once the regulariser has ended."""

    adds_to_loss: ClassVar[bool] = True
    model: nn.Module = field(default_factory=nn.Module)
    settings: Smart = field(default_factory=Smart)
    seed: int = 0
    total_steps: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)

    def penalty(
        self, model: nn.Module, batch: Mapping[str, Tensor], logits: Tensor, at: Moment
    ) -> Tensor | None:
        if self.has_ended():
            return None
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        terms = []
        if self.settings.smart_weight > 0:
            change = self.search(model, inputs, logits.detach(), at)
            with shifted(_table(model), change):
                moved = model(**inputs).logits
            terms.append(self.settings.smart_weight * divergence(moved, logits).mean())
        if self.settings.smart_proximal > 0:
            with torch.no_grad():
                before = torch.func.functional_call(model, self._averaged(), (), inputs).logits
            terms.append(self.settings.smart_proximal * divergence(logits, before).mean())
        return torch.stack(terms).sum()

    def search(
        self, model: nn.Module, inputs: Mapping[str, Tensor], logits: Tensor, at: Moment
    ) -> Tensor:
        """d of each example, or of each of its alternatives, (rows, positions, width)."""
        settings, table = self.settings, _table(model)
        ids = inputs["input_ids"].flatten(0, -2)
        shape = (*ids.shape, table.embedding_dim)
        generator = seeded_generator(
            self.seed, "smart", at.step, at.index, at.rank, device=ids.device
        )
        change = torch.randn(shape, generator=generator, device=ids.device) * settings.smart_sigma
        for _ in range(settings.smart_steps):
            change.requires_grad_(True)
            with shifted(table, change):
                moved = model(**inputs).logits
            (gradient,) = torch.autograd.grad(divergence(moved, logits).sum(), change)
            change = ascended(
                change.detach(), gradient, settings.smart_step_size, settings.smart_epsilon
            )
        return change

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        if self.settings.smart_proximal == 0 or self.has_ended():
            return
        decay = EARLY if step <= EARLY_SHARE * self.total_steps else LATE
        own = self._averaged()
        for name, parameter in self.model.named_parameters():
            own[name].lerp_(parameter.detach(), 1.0 - decay)

    @torch.no_grad()
    def _averaged(self) -> dict[str, Tensor]:
        """theta~ of the parameters that there are now; one that a switch made begins as it is."""
        now = dict(self.model.named_parameters())
        for name, parameter in now.items():
            if name not in self.average or self.average[name].shape != parameter.shape:
                self.average[name] = parameter.detach().clone()
        for gone in self.average.keys() - now.keys():
            del self.average[gone]
        return self.average

    def has_ended(self) -> bool:
        """Whether it acts no more, for good: then nothing is averaged either, and what was is let
        go."""
        ended = not (self.settings.smart_light_phase or self.is_full_phase)
        if ended:
            self.average = {}
        return ended

    def state(self) -> dict[str, Tensor]:
        if self.settings.smart_proximal == 0 or self.has_ended():
            return {}
        return self._averaged()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if self.has_ended():  # earlier versions went on averaging
            return
        device = next(self.model.parameters()).device
        self.average = {name: value.to(device).clone() for name, value in state.items()}


def _table(model: nn.Module) -> Any:
    """The table of word embeddings."""
    return model.get_input_embeddings()  # type: ignore[operator]


class SmartRegularizer(Regularizer):
    def attach(
        self,
        model: nn.Module,
        targets: Sequence[Target],
        attachment: Attachment,
        settings: Smart,
        start: Fixed,
        context: RegularizerContext,
    ) -> Regularization:
        return SmartRegularization(
            targets,
            attachment,
            model=model,
            settings=settings,
            seed=context.seed,
            total_steps=context.total_steps,
        )
