"""What all regularisers share in their light half: settings, words, and what they refuse.

No torch here or in any `regularizers/NAME/settings.py`.
"""

from __future__ import annotations

from typing import ClassVar

from calisr_engine.methods.settings import MethodBase
from calisr_engine.settings import Section


class RegularizerBase(Section):
    """Settings of a regulariser, with what is said of it.

    A subclass gives the words below and its own settings with their help; the name of each begins
    with that of its folder, for they all stand in the one section [regularizer].

    Class attributes:
        order: place in lists.
        title: the name in prose; label: the short one in tables.
        summary: one sentence for lists and forms.
        source: the publication.
        needs_fp32: what it does is lost in the rounding of bf16.
        acts_within_pass: it changes forward passes or adds to the loss, so none is compiled.
        needs_one_answer: it compares answers, so each text must have one class or number.
    """

    order: ClassVar[int] = 1000
    title: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    needs_fp32: ClassVar[bool] = False
    acts_within_pass: ClassVar[bool] = False
    needs_one_answer: ClassVar[bool] = False

    @property
    def passes(self) -> float:
        """Work of a step, in forward and backward passes of a plain one."""
        return 1.0

    def refused(self, method: MethodBase, full_phase: bool, measured: bool) -> str:
        """Why it has no meaning in a run of `method`; "" where it has.

        Args:
            full_phase: whether anything is fully fine-tuned in some part of the run.
            measured: whether stable ranks are measured.
        """
        return ""


def no_full_phase(method: MethodBase) -> str:
    """The reason of those that need a full phase, for a run without one."""
    return (
        f"{method.title} without a full phase trains no whole matrix; calibrate it, set "
        "schedule.switch_at above 0, or take method fft"
    )
