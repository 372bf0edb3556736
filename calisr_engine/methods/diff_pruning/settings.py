"""Diff pruning: settings, words and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MEASURED, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts


class DiffPruning(MethodBase):
    order: ClassVar[int] = 9
    title: ClassVar[str] = "Diff pruning"
    label: ClassVar[str] = "Diff pruning"
    summary: ClassVar[str] = "Learns a sparse difference to the pretrained weights."
    calibration_refused: ClassVar[str] = (
        "diff pruning trains a gated difference of every weight from the start, so it has no full "
        "phase of the same matrices"
    )
    rounding_refused: ClassVar[str] = "its matrices are made anew at each step, from what it froze"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-2, MEASURED, 3e-4),
        "small": Rate(3e-3, MEASURED, 3e-4),
        "base": Rate(1e-5, "Guo et al., 2021: 1e-5", 1e-5),
        "large": Rate(1e-5, "Guo et al., 2021: 1e-5", 1e-5),
    }

    name: Literal["diff_pruning"] = "diff_pruning"
    target_share: float = Field(
        0.005, gt=0, lt=1, description="Share of changed weights kept (Guo et al., 2021: 0.5 %)."
    )
    structured: bool = Field(True, description="Also learn one gate for each matrix.")
    sparsity_penalty: float = Field(
        1.25e-7, ge=0, description="Weight of the expected-L0 penalty (Guo et al., 2021)."
    )
    alpha_init: float = Field(5.0, ge=-50, le=50, description="Start of the gates' log-odds.")
    gate_lr: float = Field(
        0.1,
        gt=0,
        description="Learning rate of the gates' log-odds (0.1 in the authors' code). They start "
        "at 5 and close below 0; the penalty's gradient is so small beside Adam's epsilon that "
        "this takes about a thousand steps, so in short runs magnitude alone decides.",
    )
    fixed_mask_share: float = Field(
        0.3, ge=0, lt=1, description="Share of steps, at the end, that tunes the pruned mask."
    )

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """The differences that stay."""
        return pruned_count(self.target_share, model.entries(covered))

    def count_before_pruning(self, model: Parts, covered: Sequence[Component]) -> int:
        """A difference and a gate for each entry, and a gate for each matrix."""
        gates = model.layers * len(covered) if self.structured else 0
        return 2 * model.entries(covered) + gates

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head if self.reference else super().count_beside(model, covered)


def pruned_count(share: float, entries: int) -> int:
    """Differences that diff pruning keeps of `entries`: at least one."""
    return max(1, round(share * entries))
