"""LoRA: settings, words and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class Lora(MethodBase):
    order: ClassVar[int] = 1
    title: ClassVar[str] = "LoRA"
    label: ClassVar[str] = "LoRA"
    summary: ClassVar[str] = "Trains a low-rank update B A beside each frozen matrix."
    sizes: ClassVar[tuple[str, ...]] = ("rank",)
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-3, MEASURED, 5e-3, beside_full=1e-3),
        "small": Rate(5e-4, MEASURED, 5e-4),
        "base": Rate(4e-4, "Hu et al., 2021: 4e-4 to 5e-4 on GLUE", 4e-4, beside_full=1e-4),
        "large": Rate(3e-4, "Hu et al., 2021: 3e-4 to 4e-4 on GLUE", 3e-4, beside_full=5e-5),
    }

    name: Literal["lora"] = "lora"
    rank: int = Field(8, ge=1, le=1024, description="Rank r of the update (Hu et al., 2021: 8).")
    alpha: float = Field(16.0, gt=0, description="Scale of the update is alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the input of the update.")
    parametrisation: Literal["joint", "shadow"] = Field(
        "joint",
        description="joint: base and factors train together before the switch. shadow: plain FFT "
        "before the switch, measured with a fresh pair stepped once on a copy.",
    )

    def reading_refused(self, reading: str) -> str:
        if reading == "since_last_sample" and self.parametrisation == "shadow":
            return (
                f"with parametrisation {self.parametrisation} the light part is only tried out at "
                "each sample, so it has not changed since the last one"
            )
        return ""

    @property
    def tries_out(self) -> bool:
        return self.parametrisation == "shadow"

    def default_components(self, calibrated: bool) -> tuple[Component, ...]:
        """Query and value for the plain baseline (as published), all six where calibrated."""
        return super().default_components(calibrated) if calibrated else ("query", "value")

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """A (r x in) and B (out x r) of each matrix."""
        sides = sum(rows + columns for rows, columns in (model.shapes[name] for name in covered))
        return model.layers * self.rank * sides

    def count_added_in_full(self, model: Parts, covered: Sequence[Component]) -> int:
        return self.count_core(model, covered) if self.parametrisation == "joint" else 0

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head if self.reference else super().count_beside(model, covered)
