"""ChildTuning-D: settings, words and counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MEASURED, Certainty, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class ChildTuningD(MethodBase):
    order: ClassVar[int] = 3
    title: ClassVar[str] = "ChildTuning-D"
    label: ClassVar[str] = "ChildTuning"
    summary: ClassVar[str] = (
        "Trains the share of each matrix with the largest Fisher information on the task."
    )
    rounding_refused: ClassVar[str] = "its matrices go on as a whole, masked"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 1e-3),
        "small": Rate(1e-3, MEASURED, 3e-4),
        "base": Rate(4e-5, "Xu et al., 2021: 4e-5 on RTE", 4e-5),
        "large": Rate(4e-5, "Xu et al., 2021: 4e-5 on RTE", 4e-5),
    }

    name: Literal["child_tuning_d"] = "child_tuning_d"
    p: float = Field(
        0.3, gt=0, lt=1, description="Share of weights that is trained (Xu et al., 2021: 0.3)."
    )
    fisher_examples: int | None = Field(
        None, ge=1, description="Examples that the Fisher pass reads; none takes all."
    )
    refresh_at_switch: bool = Field(
        False, description="Compute the mask anew, from the weights at the switch of a group."
    )

    def reading_refused(self, reading: str) -> str:
        if reading == "branches" and self.refresh_at_switch:
            return "with refresh_at_switch each branch would need a pass over the data for its mask"
        return ""

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        return fisher_kept(self.p, model.entries(covered))

    @property
    def certainty(self) -> Certainty:
        return "ties"


def fisher_kept(p: float, entries: int) -> int:
    """Entries at or above the (1 - p) percentile of `entries` different values.

    The percentile lies at position (1 - p)(entries - 1) of the sorted values, interpolated
    (`fisher_threshold`). Ties at the threshold keep more.
    """
    return entries - math.ceil((1 - Fraction(repr(float(p)))) * (entries - 1))
