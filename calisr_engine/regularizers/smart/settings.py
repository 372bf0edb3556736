"""SMART: settings and words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from calisr_engine.methods.settings import MethodBase
from calisr_engine.regularizers.settings import RegularizerBase, no_full_phase
from calisr_engine.settings import Broken


class Smart(RegularizerBase):
    order: ClassVar[int] = 3
    title: ClassVar[str] = "SMART"
    label: ClassVar[str] = "SMART"
    summary: ClassVar[str] = (
        "Adds to the loss how far the worst small change of the embeddings moves the answer."
    )
    acts_within_pass: ClassVar[bool] = True
    needs_one_answer: ClassVar[bool] = True
    source: ClassVar[str] = "Jiang, He, Chen, Liu, Gao and Zhao, ACL 2020"
    needs_fp32: ClassVar[bool] = True

    smart_weight: float = Field(
        1.0,
        ge=0,
        description="Weight lambda_s of the smoothness term (Jiang et al., 2020: 1, 3 or 5).",
    )
    smart_epsilon: float = Field(
        1e-5, gt=0, description="Largest change of an embedding's entry (Jiang et al., 2020: 1e-5)."
    )
    smart_sigma: float = Field(
        1e-5,
        gt=0,
        description="Deviation of the noise that the search begins with (Jiang et al., 2020: "
        "1e-5).",
    )
    smart_steps: int = Field(
        1,
        ge=1,
        le=100,
        description="Ascent steps of the search (Jiang et al., 2020: 1). Each costs a forward and "
        "a backward pass.",
    )
    smart_step_size: float = Field(
        1e-3,
        gt=0,
        description="Length eta of an ascent step, before the change is cut to epsilon "
        "(Jiang et al., 2020: 1e-3).",
    )
    smart_proximal: float = Field(
        0.0,
        ge=0,
        description="Weight mu of the distance to the answers of the averaged weights (Bregman "
        "proximal point; Jiang et al., 2020: 1). Costs one copy of the model and a forward pass; "
        "0 leaves it out.",
    )
    smart_light_phase: bool = Field(
        True,
        description="Go on once every group has switched; false: only while any matrix is fully "
        "fine-tuned.",
    )

    def broken_rules(self) -> Iterator[Broken]:
        if self.smart_weight == 0 and self.smart_proximal == 0:
            yield Broken(
                "both terms of SMART have weight 0, so nothing is regularised",
                'raise one of them, or set name = "off"',
                ("smart_weight", "smart_proximal"),
            )

    @property
    def passes(self) -> float:
        """Each ascent step and the term itself are a pass more; the averaged weights a forward."""
        searched = self.smart_steps + 1 if self.smart_weight > 0 else 0
        return 1 + searched + (1 / 3 if self.smart_proximal > 0 else 0)

    def refused(self, method: MethodBase, full_phase: bool, measured: bool) -> str:
        if not full_phase and not self.smart_light_phase:
            return no_full_phase(method) + ", or set smart_light_phase = true"
        return ""
