"""Mixout: settings and words."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from calisr_engine.methods.settings import MethodBase
from calisr_engine.regularizers.settings import RegularizerBase, no_full_phase


class Mixout(RegularizerBase):
    order: ClassVar[int] = 2
    title: ClassVar[str] = "Mixout"
    label: ClassVar[str] = "Mixout"
    summary: ClassVar[str] = (
        "Computes each training step with pretrained columns in the place of most trained ones."
    )
    acts_within_pass: ClassVar[bool] = True
    source: ClassVar[str] = "Lee, Cho and Kang, ICLR 2020"

    mixout_probability: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="Share of the columns of each matrix that a forward pass takes from the "
        "pretrained weights (Lee et al., 2020: 0.7 to 0.9; 0.9 in their code). It was published in "
        "the place of dropout: training.dropout = 0 turns that off.",
    )

    def refused(self, method: MethodBase, full_phase: bool, measured: bool) -> str:
        if not full_phase:
            return no_full_phase(method)
        if measured and method.tries_out:
            return (
                "a sample tries the light part out with the gradient of the whole matrix, of which "
                'mixing hides most; set method.parametrisation to its default, or name = "off"'
            )
        return ""
