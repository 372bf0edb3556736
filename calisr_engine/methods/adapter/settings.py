"""Adapters: settings, words and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.bottleneck_settings import BottleneckBase
from calisr_engine.methods.settings import MEASURED, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class Adapter(BottleneckBase):
    order: ClassVar[int] = 7
    title: ClassVar[str] = "Adapters (Houlsby)"
    label: ClassVar[str] = "Adapters"
    summary: ClassVar[str] = "Adds two small bottleneck layers to each encoder layer."
    sizes: ClassVar[tuple[str, ...]] = ("bottleneck",)
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 2e-3),
        "small": Rate(2e-3, MEASURED, 2e-3),
        "base": Rate(3e-4, "Houlsby et al., 2019: 3e-4", 3e-4),
        "large": Rate(3e-4, "Houlsby et al., 2019, and Hu et al., 2021: 3e-4", 3e-4),
    }

    name: Literal["adapter"] = "adapter"
    bottleneck: int = Field(
        64, ge=1, le=65_536, description="Width of the bottleneck (Houlsby et al., 2019: 64)."
    )

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        places = self.count_places(model, covered)
        return places * bottleneck_count(model.hidden, self.bottleneck)


def bottleneck_count(width: int, bottleneck: int) -> int:
    """Parameters of one adapter: two matrices and two biases (99,136 for 768 and 64)."""
    return 2 * width * bottleneck + width + bottleneck
