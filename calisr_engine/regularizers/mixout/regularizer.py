"""Mixout: training mixes the weights with the pretrained ones (Lee, Cho and Kang, 2020).

With W a matrix (out, in), U the pretrained one, p the probability and m in {0, 1}^in drawn anew for
each forward pass, P(m = 1) = 1 - p, the forward pass uses

    (m W + (1 - m) U - p U) / (1 - p)        (columns: all that goes out of an input neuron)

whose mean over m is W. Evaluation uses W. The gradient of W is m / (1 - p) times that of the mixed
matrix. (The authors' code leaves 1 / (1 - p) out of its backward pass; ours is the derivative.)

It covers the target matrices while they are fully fine-tuned: with LoRA the base, not the factors
(where the factors begin as a part of the matrix, U is what is left in the base); with MPO and masks
the dense matrix that they make. The authors mix every linear layer, the pooler
included, which here trains in the light phase, too, and is left as it is. Costs two copies of the
matrices that it covers: the pretrained ones and the mixed ones of a step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import Attachment, seeded_generator
from calisr_engine.models.components import Target
from calisr_engine.regularizers.base import (
    Fixed,
    Moment,
    Regularization,
    Regularizer,
    RegularizerContext,
)
from calisr_engine.regularizers.mixout.settings import Mixout


def mixed(weight: Tensor, pretrained: Tensor, kept: Tensor, p: float) -> Tensor:
    """(m W + (1 - m) U - p U) / (1 - p) for matrices (out, in) and m = `kept`, bool, (in,).

    Where nothing is kept that is U, to the bit.
    """
    return torch.where(kept, (weight - p * pretrained) / (1.0 - p), pretrained)


@dataclass
class _Scaled:
    """d mixed / d W: the gradient of the columns that were kept, over 1 - p."""

    factor: Tensor

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient * self.factor


@dataclass
class MixoutRegularization(Regularization):
    """Attributes: pretrained: U by the name of its target; p: the probability."""

    pretrained: Fixed = field(default_factory=lambda: Fixed({}))
    p: float = 0.0
    seed: int = 0

    def kept(self, target: Target, at: Moment) -> Tensor:
        """m of a pass: the same on every rank, and in a run that was resumed."""
        device = target.weight.device
        generator = seeded_generator(
            self.seed, "mixout", target.name, at.step, at.index, device=device
        )
        drawn = torch.rand(target.weight.shape[1], generator=generator, device=device)
        return drawn >= self.p

    @contextlib.contextmanager
    def around(self, at: Moment) -> Iterator[None]:
        """The mixed matrices stand in the place of the weights, which come back untouched."""
        with contextlib.ExitStack() as stack:
            for target in self.in_full():
                stack.enter_context(self._in_place(target, self.kept(target, at)))
            yield

    def after_step(self, step: int) -> None:
        """What has switched is mixed no more: its pretrained copy goes."""
        full = {target.name for target in self.in_full()}
        for name in self.pretrained.tensors.keys() - full:
            del self.pretrained.tensors[name]

    @contextlib.contextmanager
    def _in_place(self, target: Target, kept: Tensor) -> Iterator[None]:
        weight = target.weight
        own, pretrained = weight.data, self.pretrained.tensors[target.name]
        hook = weight.register_hook(_Scaled(kept.to(own.dtype) / (1.0 - self.p)))
        weight.data = mixed(own, pretrained, kept, self.p)
        try:
            yield
        finally:
            weight.data = own
            hook.remove()


def _start_of(target: Target, attachment: Attachment, pretrained: Tensor) -> Tensor:
    """U of a target: what its matrix began as.

    That is the pretrained one, unless the method has moved a part of it out of a base that trains
    beside that part (PiSSA and OLoRA of peft): then it is the base as it was left.
    """
    form = attachment.forms.get(target.name)
    trains_itself = form is not None and any(
        parameter is target.weight for parameter in [*form.core(), *form.extra()]
    )
    if trains_itself and not torch.equal(target.weight, pretrained):
        return target.weight.detach().clone()
    return pretrained


class MixoutRegularizer(Regularizer):
    def start(self, targets: Sequence[Target]) -> Fixed:
        return Fixed({target.name: target.weight.detach().clone() for target in targets})

    def attach(
        self,
        model: nn.Module,
        targets: Sequence[Target],
        attachment: Attachment,
        settings: Mixout,
        start: Fixed,
        context: RegularizerContext,
    ) -> Regularization:
        p = settings.mixout_probability
        own = Fixed({t.name: _start_of(t, attachment, start.tensors[t.name]) for t in targets})
        return MixoutRegularization(targets, attachment, pretrained=own, p=p, seed=context.seed)
