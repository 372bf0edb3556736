"""Prefix-tuning: settings, words and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.prefix_settings import prefix_count
from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import Broken


class Prefix(MethodBase):
    order: ClassVar[int] = 8
    title: ClassVar[str] = "Prefix-tuning"
    label: ClassVar[str] = "Prefix-tuning"
    summary: ClassVar[str] = "Adds trained key and value positions to every attention layer."
    calibration_refused: ClassVar[str] = (
        "prefixes change the architecture, so there is no stable rank of the same matrix to compare"
    )
    changes_architecture: ClassVar[bool] = True
    packing_refused: ClassVar[str] = "its prefixes stand before each row of a batch"
    pair: ClassVar[tuple[Component, ...]] = ("key", "value")
    """Components that a prefix lengthens; they come together."""
    sizes: ClassVar[tuple[str, ...]] = ("length",)
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 1e-2),
        "small": Rate(5e-3, MEASURED, 5e-3),
        "base": Rate(1e-2, "Liu et al., 2022 (P-tuning v2): 5e-3 to 1e-2", 1e-2),
        "large": Rate(1e-2, "Liu et al., 2022 (P-tuning v2): 5e-3 to 1e-2", 1e-2),
    }

    name: Literal["prefix"] = "prefix"
    length: int = Field(20, ge=1, le=512, description="Number of prefix positions.")
    projection: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="Hidden size of an MLP that makes all prefixes from one vector a position "
        "(Li and Liang, 2021; P-tuning v2's prefix_projection: 512); none: each prefix is a "
        "parameter itself, as in P-tuning v2's scripts for classification.",
    )

    def broken_rules(self) -> Iterator[Broken]:
        if not set(self.covered(False)) >= set(self.pair):
            yield Broken(
                "components: a prefix is a key and a value, so it needs both",
                "list both, or leave components out",
                ("components",),
            )

    def default_components(self, calibrated: bool) -> tuple[Component, ...]:
        return self.pair

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        return prefix_count(model.layers, self.length, model.hidden, self.projection)

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head if self.reference else super().count_beside(model, covered)
