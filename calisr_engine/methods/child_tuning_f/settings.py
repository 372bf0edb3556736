"""ChildTuning-F: settings, words and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class ChildTuningF(MethodBase):
    order: ClassVar[int] = 4
    title: ClassVar[str] = "ChildTuning-F"
    label: ClassVar[str] = "ChildTuning-F"
    summary: ClassVar[str] = "Trains a random share of each matrix, drawn anew at every step."
    rounding_refused: ClassVar[str] = "its matrices go on as a whole, masked"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-3, MEASURED),
        "small": Rate(6e-4, MEASURED),
        "base": Rate(4e-5, "Xu et al., 2021: 4e-5 on RTE"),
        "large": Rate(4e-5, "Xu et al., 2021: 4e-5 on RTE"),
    }

    name: Literal["child_tuning_f"] = "child_tuning_f"
    p: float = Field(
        0.3, ge=1e-4, lt=1, description="Share of weights that each step trains (Xu et al., 2021)."
    )

    def reading_refused(self, reading: str) -> str:
        if reading == "since_last_sample":
            return (
                "its light part is another random mask at each step, so no part of the weights is "
                "the light one from sample to sample"
            )
        return ""

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        shapes = [model.shapes[name] for name in covered]
        return model.layers * sum(drawn_count(self.p, rows * columns) for rows, columns in shapes)


def drawn_count(p: float, entries: int) -> int:
    """Entries that a step moves in a matrix of so many, as a round expectation."""
    return round(p * entries)
