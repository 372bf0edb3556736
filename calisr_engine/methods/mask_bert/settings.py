"""MaskBERT: settings, words and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import LARGEST_FLOAT, Broken


class MaskBert(MethodBase):
    order: ClassVar[int] = 5
    title: ClassVar[str] = "MaskBERT"
    label: ClassVar[str] = "MaskBERT"
    summary: ClassVar[str] = "Learns which weights to set to zero and leaves the rest as they are."
    rounding_refused: ClassVar[str] = "its matrices are made anew at each step, from what it froze"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 2e-3),
        "small": Rate(3e-3, MEASURED, 2e-3),
        "base": Rate(1e-3, "Zhao et al., 2020: 1e-3", 1e-3),
        "large": Rate(1e-3, "Zhao et al., 2020: 1e-3", 1e-3),
    }

    name: Literal["mask_bert"] = "mask_bert"
    threshold: float = Field(
        1e-2, description="A weight is kept where its score is above this (Zhao et al., 2020)."
    )
    sparsity: float = Field(
        0.05, gt=0, lt=1, description="Share of weights masked at the start (Zhao et al., 2020)."
    )
    score_range: float = Field(2e-2, gt=0, description="Half-width s of the initial scores.")
    mask_lr: float | None = Field(
        None, gt=0, description="Learning rate of the scores; none takes the run's."
    )

    def broken_rules(self) -> Iterator[Broken]:
        if self.threshold <= -self.score_range:
            yield Broken(
                f"scores are drawn from -score_range = {-self.score_range:g} up, so a threshold of "
                f"{self.threshold:g} masks another share than sparsity",
                "set threshold above -score_range",
                ("threshold", "score_range"),
            )
        elif self.highest_score + self.score_range > LARGEST_FLOAT:
            yield Broken(
                "scores up to (score_range + threshold) / sparsity are beyond 32-bit numbers",
                "raise sparsity",
                ("sparsity", "score_range", "threshold"),
            )

    @property
    def highest_score(self) -> float:
        """Of the uniform scores at the start, so that the share `sparsity` is masked."""
        return (self.score_range + self.threshold) / self.sparsity - self.score_range

    @property
    def full_weights_refused(self) -> str:
        return "what MaskBERT computes with is its weights behind a mask, which it writes itself"

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """A score for each weight."""
        return model.entries(covered)

    def count_added_in_full(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.entries(covered)

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        """Without the biases of the masked matrices."""
        if self.reference:
            return model.head
        return super().count_beside(model, covered) - model.biases(covered)
