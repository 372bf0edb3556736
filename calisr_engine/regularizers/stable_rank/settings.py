"""Stable rank normalisation: settings and words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from calisr_engine.methods.settings import MethodBase
from calisr_engine.regularizers.settings import RegularizerBase, no_full_phase
from calisr_engine.settings import Broken


class StableRankNormalization(RegularizerBase):
    order: ClassVar[int] = 1
    title: ClassVar[str] = "Stable rank normalisation"
    label: ClassVar[str] = "SRN"
    summary: ClassVar[str] = (
        "Holds the stable rank of each matrix at or below a target and keeps its spectral norm."
    )
    source: ClassVar[str] = "Sanyal, Torr and Dokania, ICLR 2020"

    stable_rank_target: float = Field(
        0.9,
        gt=0,
        description="The target as a share of what stable_rank_of says (Sanyal et al., 2020: 0.3 "
        "to 0.9 of the smaller side); a stable rank is never pressed below 1.",
    )
    stable_rank_of: Literal["start", "side", "one"] = Field(
        "start",
        description="start: of each matrix's stable rank before training. side: of its smaller "
        "side, as published; those of pretrained encoders are below 0.3 of it, so that changes "
        "nothing. one: the target is a stable rank itself.",
    )
    stable_rank_iterations: int = Field(
        1,
        ge=1,
        le=100,
        description="Power iterations a step for the largest singular value, begun where the last "
        "step ended (Sanyal et al., 2020: 1).",
    )

    def broken_rules(self) -> Iterator[Broken]:
        target, of = self.stable_rank_target, self.stable_rank_of
        if of == "one" and target < 1:
            yield Broken(
                f"no matrix has a stable rank of {target:g}; it is at least 1",
                'raise stable_rank_target, or set stable_rank_of = "start"',
                ("stable_rank_target", "stable_rank_of"),
            )
        if of != "one" and target > 1:
            what = "its start" if of == "start" else "its smaller side"
            yield Broken(
                f"a share of {target:g} of {what} presses nothing",
                'set stable_rank_target to at most 1, or stable_rank_of = "one"',
                ("stable_rank_target", "stable_rank_of"),
            )

    def refused(self, method: MethodBase, full_phase: bool, measured: bool) -> str:
        return no_full_phase(method) if not full_phase else method.full_weights_refused
