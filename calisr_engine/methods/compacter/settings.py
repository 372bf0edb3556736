"""Compacter: settings, words and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.bottleneck_settings import BottleneckBase
from calisr_engine.methods.settings import MEASURED, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import Broken

PUBLISHED = "Karimi Mahabadi et al., 2021: 3e-3"


class Compacter(BottleneckBase):
    order: ClassVar[int] = 7
    title: ClassVar[str] = "Compacter"
    label: ClassVar[str] = "Compacter"
    summary: ClassVar[str] = (
        "Adds adapters whose matrices are sums of Kronecker products with shared factors."
    )
    sizes: ClassVar[tuple[str, ...]] = ("bottleneck", "rank", "division")
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 1e-2),
        "small": Rate(3e-3, MEASURED, 3e-3),
        "base": Rate(3e-3, PUBLISHED, 3e-3),
        "large": Rate(3e-3, PUBLISHED, 3e-3),
    }

    name: Literal["compacter"] = "compacter"
    bottleneck: int = Field(
        24,
        ge=1,
        le=65_536,
        description="Width of the bottleneck (Karimi Mahabadi et al., 2021: a 32nd of the hidden "
        "size, 24 of 768).",
    )
    division: int = Field(
        4,
        ge=1,
        le=64,
        description="Number n of Kronecker products in a matrix, which divides bottleneck and "
        "hidden size (Karimi Mahabadi et al., 2021: 4, also 8 and 12).",
    )
    rank: int = Field(
        1,
        ge=1,
        le=1024,
        description="Rank of the factors s t^T of each product (Karimi Mahabadi et al., 2021: 1).",
    )

    def broken_rules(self) -> Iterator[Broken]:
        yield from super().broken_rules()
        if self.bottleneck % self.division:
            yield Broken(
                f"division: {self.division} does not divide the bottleneck of {self.bottleneck}",
                "set bottleneck to a multiple of division",
                ("division", "bottleneck"),
            )

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """The shared factors, and the own factors and biases of each bottleneck."""
        places = self.count_places(model, covered)
        own = compacter_count(model.hidden, self.bottleneck, self.rank)
        return self.division**3 + places * own


def compacter_count(width: int, bottleneck: int, rank: int) -> int:
    """Parameters of one bottleneck beside the shared ones: own factors of two matrices and two
    biases (2,376 for 768, 24 and 1). The number of products does not matter."""
    return 2 * rank * (width + bottleneck) + width + bottleneck
