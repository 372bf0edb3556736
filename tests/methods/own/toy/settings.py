"""The toy: settings, words and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class Toy(MethodBase):
    title: ClassVar[str] = "Row scaling"
    label: ClassVar[str] = "Rows"
    summary: ClassVar[str] = "Trains one factor for each row of a matrix."

    name: Literal["toy"] = "toy"
    decay: float = Field(0.0, ge=0, description="Weight decay of the factors.")

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.layers * sum(model.shapes[name][0] for name in covered)

    def count_added_in_full(self, model: Parts, covered: Sequence[Component]) -> int:
        return self.count_core(model, covered)
