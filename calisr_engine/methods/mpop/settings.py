"""MPOP: settings, words and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.mpop.shapes import factorise_matrix, parameter_counts
from calisr_engine.methods.settings import MEASURED, Certainty, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import Broken


class Mpop(MethodBase):
    order: ClassVar[int] = 2
    title: ClassVar[str] = "MPOP"
    label: ClassVar[str] = "MPOP"
    summary: ClassVar[str] = (
        "Splits each matrix into five tensors (MPO) and trains the four small ones."
    )
    rounding_refused: ClassVar[str] = "its matrices are made anew at each step, from what it froze"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 1e-3),
        "small": Rate(1e-3, MEASURED, 2e-4),
        "base": Rate(3e-5, "Liu et al., 2021: 1e-5 to 5e-5", 3e-5),
        "large": Rate(2e-5, "Liu et al., 2021: 1e-5 to 5e-5", 2e-5),
    }

    name: Literal["mpop"] = "mpop"
    embeddings: Literal["freeze", "train", "mpo"] = Field(  # type: ignore[assignment]
        "freeze",
        description="Word and position embeddings once every group has switched: freeze, train, or "
        "mpo (the word embeddings are five tensors too and keep training the four small ones; "
        "costs the contraction of the whole table at every step).",
    )
    bond: int | None = Field(
        None, ge=1, description="Cap on the bond dimension; none is exact (Liu et al., 2021)."
    )
    mpo_lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate of the five tensors; none takes 0.14 times the run's "
        "(reference runs used 2.8e-6 beside 2e-5).",
    )
    parametrisation: Literal["throughout", "at_switch"] = Field(
        "throughout",
        description="throughout: decompose at step 0 and train all five tensors in FFT. "
        "at_switch: dense FFT, decomposed when the group switches.",
    )
    squeeze_gap: float | None = Field(
        None,
        ge=0,
        description="Dimension squeezing (Liu et al., 2021): at each evaluation of the light phase "
        "the bond whose truncation costs least shrinks, until the metric has fallen by more than "
        "this; none: left out. Needs parametrisation throughout.",
    )
    squeeze_share: float = Field(
        0.1, gt=0, lt=1, description="Share of its dimension that a squeezed bond loses."
    )
    squeeze_bonds: int = Field(1, ge=1, description="Bonds that shrink at one evaluation.")

    def broken_rules(self) -> Iterator[Broken]:
        if self.squeeze_gap is not None and self.parametrisation != "throughout":
            yield Broken(
                "squeeze_gap needs the tensors from the first step",
                'set parametrisation = "throughout" or remove squeeze_gap',
                ("squeeze_gap", "parametrisation"),
            )

    def reading_refused(self, reading: str) -> str:
        if reading == "since_last_sample" and self.parametrisation == "at_switch":
            return (
                f"with parametrisation {self.parametrisation} the light part is only tried out at "
                "each sample, so it has not changed since the last one"
            )
        return ""

    @property
    def full_weights_refused(self) -> str:
        if self.parametrisation == "at_switch":
            return ""
        return (
            "MPOP trains the tensors of a matrix, not the matrix; set method.parametrisation = "
            '"at_switch"'
        )

    @property
    def tries_out(self) -> bool:
        return self.parametrisation == "at_switch"

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """The auxiliary tensors of each matrix, and of the word embeddings where they are MPO."""
        auxiliary = model.layers * sum(self._operator(model.shapes[name])[0] for name in covered)
        return auxiliary + (self._operator(model.word_table)[0] if self.embeddings == "mpo" else 0)

    def count_added_in_full(self, model: Parts, covered: Sequence[Component]) -> int:
        """All five tensors in the place of the dense matrix."""
        more = 0
        if self.parametrisation == "throughout":
            operators = sum(sum(self._operator(model.shapes[name])) for name in covered)
            more += model.layers * operators - model.entries(covered)
        if self.embeddings == "mpo":
            more += sum(self._operator(model.word_table)) - model.words
        return more

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        """Without the table of word embeddings where it is a working copy of tensors."""
        copied = self.embeddings == "mpo" and self.trains_embeddings(covered)
        return super().count_beside(model, covered) - (model.words if copied else 0)

    @property
    def certainty(self) -> Certainty:
        return "exact" if self.squeeze_gap is None else "ceiling"

    def _operator(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(auxiliary, central) entries of a matrix as five tensors."""
        return parameter_counts(*factorise_matrix(*shape), self.bond)
