"""Dimension squeezing: bonds shrink during the light phase (Liu et al., 2021).

    at each evaluation in the light phase, until the metric has fallen by more than `squeeze_gap`:
        of all bonds of all matrices, shrink the one whose truncation costs least
        go on with light fine-tuning

The operator of the matrix is made anew from its present dense matrix, in canonical form, so that
the estimate (the dropped singular values of the bond) is the exact error of the truncation. The new
tensors therefore start with fresh optimizer state, and the new central tensor is frozen again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import Phase, Reworked


class SqueezableForm(Protocol):
    """A matrix as an operator whose bonds can shrink."""

    tensors: nn.ParameterList
    phase: Phase

    def bonds(self) -> list[int]: ...

    def spectra(self) -> list[Tensor]: ...

    def squeeze(self, bonds: Sequence[int]) -> None: ...


@dataclass(frozen=True)
class Truncation:
    """One bond that shrinks.

    Attributes:
        form: number of the matrix, in the order of the forms.
        bond: number of the inner bond, from 1.
        before, after: its dimension.
        error: ||W - W'||_F / ||W||_F.
    """

    form: int
    bond: int
    before: int
    after: int
    error: float


def shrunk(dimension: int, share: float) -> int:
    """The dimension after one truncation: `share` of it less, by at least one; never below one."""
    return max(1, min(dimension - 1, math.floor(dimension * (1.0 - share))))


def candidates(
    form: int, bonds: Sequence[int], spectra: Sequence[Tensor], share: float
) -> list[Truncation]:
    """What shrinking each bond of one matrix would cost.

    Args:
        bonds: dimensions of the inner bonds now.
        spectra: singular values of the unfolding at each inner bond, in descending order.

    Truncating one bond of the canonical form is the best approximation of that unfolding, so its
    error is the norm of the dropped singular values, exactly.
    """
    found = []
    for k, (dimension, spectrum) in enumerate(zip(bonds, spectra, strict=True), start=1):
        after = shrunk(dimension, share)
        if after < dimension:
            norm = float(torch.linalg.vector_norm(spectrum))
            dropped = float(torch.linalg.vector_norm(spectrum[after:]))
            found.append(Truncation(form, k, dimension, after, dropped / norm if norm else 0.0))
    return found


def cheapest(options: Sequence[Truncation]) -> Truncation | None:
    """The truncation of least error; of equals the first matrix and bond. None if there is none."""
    return min(options, key=lambda t: (t.error, t.form, t.bond), default=None)


class Squeezer:
    """Decides at evaluations, remembers what was truncated, and can be stored and resumed.

    Attributes:
        reference: metric at the first evaluation of the light phase; None before it.
        truncations: (step, truncation), in order.
        stopped: the metric fell too far, or no bond can shrink any more.
    """

    def __init__(
        self, forms: Mapping[str, SqueezableForm], gap: float, share: float, bonds: int
    ) -> None:
        self._forms = forms
        self._gap, self._share, self._count = gap, share, bonds
        self.reference: float | None = None
        self.truncations: list[tuple[int, Truncation]] = []
        self.stopped = False

    def after_evaluation(self, step: int, value: float) -> Reworked | None:
        """Shrink the next bonds, or stop; what happened (None: nothing did)."""
        if self.stopped or any(form.phase == "fft" for form in self._forms.values()):
            return None
        if self.reference is None:
            self.reference = value
        if self.reference - value > self._gap:
            self.stopped = True
            return Reworked(
                (
                    f"dimension squeezing stopped: the metric fell from {self.reference:.4f} to "
                    f"{value:.4f}, by more than {self._gap:g}",
                )
            )
        messages, fresh = [], []
        spectra = {name: form.spectra() for name, form in self._forms.items()}
        for _ in range(self._count):
            name = self._truncate(step, spectra)
            if name is None:
                self.stopped = True
                messages.append("dimension squeezing stopped: every bond has dimension 1")
                break
            fresh += list(self._forms[name].tensors)
            messages.append(self._describe(name))
        return Reworked(tuple(messages), tuple(dict.fromkeys(fresh)))

    def _truncate(self, step: int, spectra: dict[str, list[Tensor]]) -> str | None:
        """Shrink the cheapest bond and measure its matrix anew; the matrix, or None."""
        options = [
            option
            for number, (name, form) in enumerate(self._forms.items())
            for option in candidates(number, form.bonds(), spectra[name], self._share)
        ]
        chosen = cheapest(options)
        if chosen is None:
            return None
        name = list(self._forms)[chosen.form]
        form = self._forms[name]
        bonds = form.bonds()
        bonds[chosen.bond - 1] = chosen.after
        form.squeeze(bonds)
        spectra[name] = form.spectra()
        self.truncations.append((step, chosen))
        return name

    def _describe(self, name: str) -> str:
        _, last = self.truncations[-1]
        return (
            f"squeezed bond {last.bond} of {name} from {last.before} to {last.after} (relative "
            f"error {last.error:.2e}); the operators hold {self.parameters():,} parameters"
        )

    def parameters(self) -> int:
        """Numbers in all operators, central tensors included."""
        return sum(p.numel() for form in self._forms.values() for p in form.tensors)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint; `load_state` takes it back. The bonds themselves are the forms' own."""
        rows = [(step, t.form, t.bond, t.before, t.after) for step, t in self.truncations]
        return {
            "truncations": torch.tensor(rows, dtype=torch.int64).reshape(-1, 5),
            "errors": torch.tensor([t.error for _, t in self.truncations], dtype=torch.float64),
            "reference": torch.tensor(
                math.nan if self.reference is None else self.reference, dtype=torch.float64
            ),
            "stopped": torch.tensor(self.stopped),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.truncations = [
            (row[0], Truncation(row[1], row[2], row[3], row[4], error))
            for row, error in zip(
                state["truncations"].tolist(), state["errors"].tolist(), strict=True
            )
        ]
        reference = float(state["reference"])
        self.reference = None if math.isnan(reference) else reference
        self.stopped = bool(state["stopped"])
