"""Full fine-tuning: every weight trains, nothing ever freezes. The baseline of all comparisons."""

from __future__ import annotations

from torch import nn

from calisr_engine.methods.base import AttachContext, Attachment, Method
from calisr_engine.methods.fft.settings import FullFineTuning
from calisr_engine.models.components import Target


class FullFineTuningMethod(Method):
    def attach(
        self,
        model: nn.Module,
        targets: list[Target],
        settings: FullFineTuning,
        context: AttachContext,
    ) -> Attachment:
        return Attachment(model, forms={}, has_light_phase=False)
