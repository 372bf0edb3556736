"""MPOP: each matrix as a product of five tensors, of which the light phase trains four.

What it trains: in FFT all five tensors, in LFT the four small auxiliary ones ("Enabling Lightweight
Fine-tuning for Pre-trained Language Model Compression based on Matrix Product Operators", Liu et
al., 2021). The dense matrix is contracted once an optimizer step and used like any other; its
gradient goes back through the contraction once. Costs that contraction, and memory of about twice
the covered matrices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from calisr_engine.methods.mpop.settings import Mpop
from calisr_engine.methods.mpop.shapes import central_index, factorise_matrix, parameter_counts
from calisr_engine.methods.mpop.squeeze import Squeezer
from calisr_engine.methods.mpop.tensors import bond_spectra, contract, decompose
from calisr_engine.models.components import Target, word_embeddings

DEFAULT_LR_RATIO = 0.14
"""2.8e-6 beside 2e-5, the learning rates of the reference runs."""


def relative_distance(rebuilt: Tensor, weight: Tensor) -> float:
    """||rebuilt - weight||_F / ||weight||_F, for float64 matrices."""
    return float((rebuilt - weight).norm() / weight.norm().clamp_min(1e-300))


def truncation(weight: Tensor, bond: int) -> float:
    """Relative error that capping the bonds of `weight` makes."""
    rows, columns = factorise_matrix(*weight.shape)
    dense = weight.detach().double()
    return relative_distance(contract(decompose(dense.cpu(), rows, columns, bond)), dense.cpu())


class MpoForm(TargetForm):
    """The dense weight is a working copy of the contraction of five tensors."""

    def __init__(self, target: Target, bond: int | None) -> None:
        super().__init__(target)
        weight = target.weight.detach()
        rows, columns = factorise_matrix(*weight.shape)
        pieces = decompose(weight, rows, columns, bond)
        self.tensors = nn.ParameterList(
            nn.Parameter(piece.to(weight.device, weight.dtype)) for piece in pieces
        )
        target.module.calisr_mpo = self.tensors
        self.central: nn.Parameter = self.tensors[central_index(len(pieces))]
        self._factors = rows, columns
        self._squeezed = False
        self._graph: Tensor | None = None
        self._before: Tensor | None = None
        self.error = 0.0
        if bond is not None:
            self.error = relative_distance(self.effective(), weight.double())
        self.push()
        self._graph = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies: they contract anew, as a graph cannot be copied."""
        return self.__dict__ | {"_graph": None}

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

    def bonds(self) -> list[int]:
        """Dimensions of the inner bonds."""
        return [tensor.shape[3] for tensor in self.tensors[:-1]]

    def spectra(self) -> list[Tensor]:
        """Singular values at each inner bond of the present matrix, float64, on the CPU."""
        return bond_spectra(self.effective(), *self._factors)

    def squeeze(self, bonds: Sequence[int]) -> None:
        """Decompose the present matrix anew with these inner bonds; the parameters stay the same
        objects. Their optimizer state means nothing any more."""
        pieces = decompose(self.effective(), *self._factors, bonds)
        self._squeezed = True
        self._resize([tuple(piece.shape) for piece in pieces])
        with torch.no_grad():
            for tensor, piece in zip(self.tensors, pieces, strict=True):
                tensor.copy_(piece)
        self.push()

    def _resize(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._graph = None
        for tensor, shape in zip(self.tensors, shapes, strict=True):
            tensor.grad = None
            tensor.data = tensor.new_empty(shape)

    def state(self) -> dict[str, Tensor]:
        """The inner bonds, once they have shrunk."""
        return {"bonds": torch.tensor(self.bonds())} if self._squeezed else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the shapes of a squeezed operator; its numbers come with the model's weights.

        An operator that has these shapes already keeps its numbers.
        """
        rest = dict(state)
        bonds = rest.pop("bonds", None)
        super().load_state(rest)
        if bonds is not None:
            self._squeezed = True
        if bonds is not None and bonds.tolist() != self.bonds():
            r = [1, *bonds.tolist(), 1]
            sides = zip(*self._factors, strict=True)
            self._resize([(r[k], i, j, r[k + 1]) for k, (i, j) in enumerate(sides)])


class LateMpoForm(TargetForm):
    """Dense full fine-tuning of W until the switch, which decomposes it.

    W_LFT of a sample is the old W, decomposed, with the auxiliary tensors after one trial step of a
    fresh optimizer. Costs a decomposition of every matrix at each sample.
    """

    def __init__(
        self,
        target: Target,
        bond: int | None,
        rule: ParameterRule,
        rules: dict[nn.Parameter, ParameterRule],
        context: AttachContext,
    ) -> None:
        super().__init__(target)
        self._bond, self._rule, self._context = bond, rule, context
        self._rules = rules
        self._step = 0
        self._mpo: MpoForm | None = None
        self._tried: Tensor | None = None
        rows, columns = factorise_matrix(*target.weight.shape)
        self._auxiliary, _ = parameter_counts(rows, columns, bond)

    def begin_step(self, step: int) -> None:
        self._step = step

    def core(self) -> list[nn.Parameter]:
        return [] if self._mpo is None else self._mpo.core()

    def extra(self) -> list[nn.Parameter]:
        return [self.weight] if self._mpo is None else self._mpo.extra()

    def trainable_count(self, phase: Phase) -> int:
        return self.weight.numel() if phase == "fft" else self._auxiliary

    def pull(self) -> None:
        if self._mpo is not None:
            self._mpo.pull()

    def push(self) -> None:
        if self._mpo is not None:
            self._mpo.push()

    def remember(self) -> None:
        gradient = self.weight.grad
        assert gradient is not None
        weight = self.weight.detach()
        rows, columns = factorise_matrix(*weight.shape)
        pieces = [
            piece.to(weight.device, weight.dtype).requires_grad_(True)
            for piece in decompose(weight, rows, columns, self._bond)
        ]
        central = central_index(len(pieces))
        auxiliary = [piece for i, piece in enumerate(pieces) if i != central]
        with torch.enable_grad():
            gradients = torch.autograd.grad(contract(pieces), auxiliary, gradient)
        stepped = shadow_step(
            self._context, self._step, auxiliary, list(gradients), [self._rule] * len(auxiliary)
        )
        stepped.insert(central, pieces[central].detach())
        self._tried = contract([piece.double() for piece in stepped])

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._tried is not None
        result = self._tried, self.weight.detach().double()
        self._tried = None
        return result

    def effective(self) -> Tensor:
        return self.weight.detach().double() if self._mpo is None else self._mpo.effective()

    def switch(self) -> Switched:
        self._mpo = MpoForm(self.target, self._bond)
        self._rules.update(dict.fromkeys(self._mpo.tensors, self._rule))
        self._mpo.central.requires_grad_(False)
        # The dense weight goes on as the working copy, but is stepped no more.
        return Switched(
            frozen=(self._mpo.central,), added=tuple(self._mpo.core()), left=(self.weight,)
        )


class MpopMethod(Method):
    def attach(
        self, model: nn.Module, targets: list[Target], settings: Mpop, context: AttachContext
    ) -> Attachment:
        rate = settings.mpo_lr or context.lft_learning_rate
        rule = ParameterRule(rate or DEFAULT_LR_RATIO * context.learning_rate, weight_decay=0.0)
        forms: dict[str, TargetForm] = {}
        rules: dict[nn.Parameter, ParameterRule] = {}
        for target in targets:
            if settings.parametrisation == "at_switch":
                forms[target.name] = LateMpoForm(target, settings.bond, rule, rules, context)
            else:
                forms[target.name] = MpoForm(target, settings.bond)
        if settings.embeddings == "mpo":
            words = word_embeddings(model)
            forms[words.name] = MpoForm(words, settings.bond)
        early = [form for form in forms.values() if isinstance(form, MpoForm)]
        rules.update({p: rule for form in early for p in form.tensors})
        attachment = Attachment(model, forms, rules=rules)
        if settings.squeeze_gap is not None:
            squeezed = [form for form in early if form.target in targets]
            _squeeze(attachment, squeezed, settings.squeeze_gap, settings)
        if settings.bond is not None or settings.squeeze_gap is not None:
            attachment.compressed = lambda: compressed_size(model, forms.values())
        if settings.bond is not None:
            errors = [
                form.error if isinstance(form, MpoForm) else truncation(form.weight, settings.bond)
                for form in forms.values()
            ]
            attachment.notes.append(
                f"MPO bond capped at {settings.bond}: relative reconstruction error "
                f"{sum(errors) / len(errors):.3f} on average, {max(errors):.3f} at most"
            )
            if early:
                attachment.notes.append(
                    f"with the capped operators the model is {compressed_size(model, early):,} "
                    "numbers; its export is dense again"
                )
        shapes: dict[tuple[int, ...], Any] = {
            tuple(form.weight.shape): factorise_matrix(*form.weight.shape)
            for form in forms.values()
        }
        for (height, width), (rows, columns) in shapes.items():
            attachment.facts.append(f"MPO of {height} x {width}: {rows} x {columns}")
        return attachment

    def dense_matrices(self, tensors: Mapping[str, Tensor], settings: Mpop) -> dict[str, Tensor]:
        """The contraction in float64 where there are tensors (not yet with `at_switch`)."""
        found = super().dense_matrices(tensors, settings)
        for name in found:
            pieces: list[Tensor] = []
            while (key := f"{name}.calisr_mpo.{len(pieces)}") in tensors:
                pieces.append(tensors[key].double())
            if pieces:
                found[name] = contract(pieces)
        return found


def compressed_size(model: nn.Module, forms: Iterable[TargetForm]) -> int:
    """Numbers of the model with operators in the place of the matrices that they stand for."""
    whole = sum(parameter.numel() for parameter in model.parameters())
    operators = [form for form in forms if hasattr(form.target.module, "calisr_mpo")]
    return whole - sum(form.weight.numel() for form in operators)


def _squeeze(attachment: Attachment, forms: list[MpoForm], gap: float, settings: Mpop) -> None:
    squeezer = Squeezer(
        {form.target.name: form for form in forms},
        gap,
        settings.squeeze_share,
        settings.squeeze_bonds,
    )
    attachment.after_evaluation = squeezer.after_evaluation
    attachment.extra_state = squeezer.state
    attachment.load_extra_state = squeezer.load_state
