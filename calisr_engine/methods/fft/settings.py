"""Full fine-tuning: settings, words and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class FullFineTuning(MethodBase):
    order: ClassVar[int] = 0
    title: ClassVar[str] = "Full fine-tuning"
    label: ClassVar[str] = "FFT"
    summary: ClassVar[str] = "Trains every weight; the baseline of all comparisons."
    calibration_refused: ClassVar[str] = "full fine-tuning has no light phase to switch to"
    has_light_phase: ClassVar[bool] = False
    rounding_refused: ClassVar[str] = "nothing of it ever freezes"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(3e-4, MEASURED),
        "small": Rate(1e-4, MEASURED),
        "base": Rate(2e-5, "Devlin et al., 2019: 2e-5 to 5e-5"),
        "large": Rate(1e-5, "Liu et al., 2019: 1e-5 to 3e-5"),
    }

    name: Literal["fft"] = "fft"

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        return 0
