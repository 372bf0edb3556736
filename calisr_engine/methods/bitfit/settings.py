"""BitFit: settings, words and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class BitFit(MethodBase):
    order: ClassVar[int] = 6
    title: ClassVar[str] = "BitFit"
    label: ClassVar[str] = "BitFit"
    summary: ClassVar[str] = "Trains the biases and the head only."

    name: Literal["bitfit"] = "bitfit"

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """Nothing of the matrices themselves."""
        return 0

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head + model.all_biases
