"""SAID: settings, words and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts

SOURCE = "Karimi Mahabadi et al., 2021: 3e-2 for Intrinsic-SAID; beside it BitFit's rate"


class Said(MethodBase):
    order: ClassVar[int] = 6
    title: ClassVar[str] = "SAID"
    label: ClassVar[str] = "SAID"
    summary: ClassVar[str] = (
        "Moves all matrices through one short random projection, and a scale for each."
    )
    sizes: ClassVar[tuple[str, ...]] = ("dimension",)
    rounding_refused: ClassVar[str] = "its matrices are made anew at each step, from what it froze"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 3e-3),
        "small": Rate(5e-3, MEASURED, 3e-3),
        "base": Rate(1e-3, SOURCE, 3e-2),
        "large": Rate(1e-3, SOURCE, 3e-2),
    }

    name: Literal["said"] = "said"
    dimension: int = Field(
        20_000,
        ge=1,
        le=2**24,
        description="Numbers that the method trains: the vector and, where structure_aware, one "
        "scale for each matrix (Karimi Mahabadi et al., 2021: 20,000).",
    )
    structure_aware: bool = Field(
        True,
        description="One trained scale for each matrix; false: plain intrinsic dimension, all "
        "scales are 1.",
    )

    @property
    def full_weights_refused(self) -> str:
        return (
            "what SAID computes with is its weights plus a projected vector, which it adds itself"
        )

    def scales(self, matrices: int) -> int:
        """Of `dimension`, the numbers that scale a matrix each."""
        return matrices if self.structure_aware else 0

    def length(self, matrices: int, largest: int) -> int:
        """Of the vector; what the largest matrix (so many entries) has no room for is left out.

        Below 1 the dimension is too small for the scales.
        """
        return min(self.dimension - self.scales(matrices), padded(largest))

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """The vector and the scales."""
        if not covered:
            return 0
        matrices = model.layers * len(covered)
        largest = max(_entries(model, covered))
        return max(1, self.length(matrices, largest)) + self.scales(matrices)

    def count_fixed(self, model: Parts, covered: Sequence[Component]) -> int:
        """The map of each matrix, three numbers for each of its padded entries, and of the matrix
        itself, which is computed, a second copy."""
        return model.layers * sum(3 * padded(each) + each for each in _entries(model, covered))

    def count_added_in_full(self, model: Parts, covered: Sequence[Component]) -> int:
        return self.count_core(model, covered)

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head if self.reference else super().count_beside(model, covered)


def _entries(model: Parts, covered: Sequence[Component]) -> list[int]:
    """Of one layer's covered matrices."""
    return [rows * columns for rows, columns in (model.shapes[name] for name in covered)]


def padded(entries: int) -> int:
    """The smallest power of two that is not below `entries`."""
    return 1 << max(0, entries - 1).bit_length()
