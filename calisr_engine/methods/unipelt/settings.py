"""UniPELT: settings, words and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.prefix_settings import prefix_count
from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import Broken

PUBLISHED = "Mao et al., 2022: 5e-4 (quoted from memory)"


class Unipelt(MethodBase):
    order: ClassVar[int] = 8
    title: ClassVar[str] = "UniPELT"
    label: ClassVar[str] = "UniPELT"
    summary: ClassVar[str] = "Adds adapters, prefixes and low-rank updates, each behind a gate."
    calibration_refused: ClassVar[str] = (
        "prefixes and adapters change the architecture, and gates scale the low-rank update anew "
        "for each text, so there is no stable rank of the same matrix to compare"
    )
    changes_architecture: ClassVar[bool] = True
    packing_refused: ClassVar[str] = "its prefixes stand before each row of a batch"
    reads_all_tokens: ClassVar[bool] = True
    lengthened: ClassVar[tuple[Component, ...]] = ("key", "value")
    """Components that a prefix lengthens."""
    updated: ClassVar[tuple[Component, ...]] = ("query", "value")
    """Components with a low-rank update."""
    places: ClassVar[tuple[Component, ...]] = ("output",)
    """Components whose output gets an adapter."""
    sizes: ClassVar[tuple[str, ...]] = ("bottleneck", "length", "rank")
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(5e-3, MEASURED, 5e-3),
        "small": Rate(2e-3, MEASURED, 2e-3),
        "base": Rate(5e-4, PUBLISHED, 5e-4),
        "large": Rate(5e-4, PUBLISHED, 5e-4),
    }

    name: Literal["unipelt"] = "unipelt"
    bottleneck: int = Field(
        48, ge=1, le=65_536, description="Width of the adapters (Mao et al., 2022: 48)."
    )
    length: int = Field(
        10, ge=1, le=512, description="Number of prefix positions (Mao et al., 2022: 10)."
    )
    projection: int | None = Field(
        512,
        ge=1,
        le=65_536,
        description="Hidden size of the MLP that makes the prefixes (the authors' code: 512); "
        "none: each prefix is a parameter itself.",
    )
    rank: int = Field(
        8, ge=1, le=1024, description="Rank of the update of query and value (Mao et al., 2022: 8)."
    )

    def broken_rules(self) -> Iterator[Broken]:
        if not set(self.covered(False)) >= set(self.default_components(False)):
            yield Broken(
                "components: UniPELT works on query, key, value and output together",
                "list all four, or leave components out",
                ("components",),
            )

    def default_components(self, calibrated: bool) -> tuple[Component, ...]:
        return ("query", "key", "value", "output")

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        layer = layer_count(model.hidden, self.bottleneck, self.rank)
        prefixes = prefix_count(model.layers, self.length, model.hidden, self.projection)
        return model.layers * layer + prefixes

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head if self.reference else super().count_beside(model, covered)


def layer_count(width: int, bottleneck: int, rank: int) -> int:
    """Parameters in a layer beside its prefixes: adapter, two updates and four gates (102,196 for
    768, 48 and 8)."""
    adapter = 2 * width * bottleneck + width + bottleneck
    return adapter + 2 * 2 * width * rank + 4 * (width + 1)
