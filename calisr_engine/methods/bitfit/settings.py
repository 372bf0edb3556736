"""BitFit: settings, words and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class BitFit(MethodBase):
    order: ClassVar[int] = 6
    title: ClassVar[str] = "BitFit"
    label: ClassVar[str] = "BitFit"
    summary: ClassVar[str] = "Trains the biases and the head only."
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(2e-2, MEASURED, 2e-2),
        "small": Rate(5e-3, MEASURED, 5e-3),
        "base": Rate(1e-3, "Ben Zaken et al., 2021: 1e-3", 1e-3),
        "large": Rate(1e-3, "Ben Zaken et al., 2021: 1e-3", 1e-3),
    }

    name: Literal["bitfit"] = "bitfit"

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """Nothing of the matrices themselves."""
        return 0

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head + model.all_biases
