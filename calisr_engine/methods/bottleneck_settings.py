"""What settings of methods that add bottlenecks (`bottleneck.py`) share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import Broken


class BottleneckBase(MethodBase):
    """A subclass gives the sizes of its bottleneck and `count_core`."""

    calibration_refused: ClassVar[str] = (
        "adapters change the architecture, so there is no stable rank of the same matrix to compare"
    )
    changes_architecture: ClassVar[bool] = True
    places: ClassVar[tuple[Component, ...]] = ("attention_output", "output")
    """Components whose output gets a bottleneck."""

    def broken_rules(self) -> Iterator[Broken]:
        if not set(self.covered(False)) & set(self.places):
            yield Broken(
                "components: adapters go behind attention_output and output only",
                "list one or both of them, or leave components out",
                ("components",),
            )

    def default_components(self, calibrated: bool) -> tuple[Component, ...]:
        return self.places

    def count_places(self, model: Parts, covered: Sequence[Component]) -> int:
        """How many bottlenecks there are."""
        return model.layers * sum(name in self.places for name in covered)

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        if self.reference:
            return model.head + model.norms
        return super().count_beside(model, covered)
