"""The regulariser of the settings, in one run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from calisr_engine.config.schema import RunConfig
from calisr_engine.models.components import Target
from calisr_engine.regularizers import registry
from calisr_engine.regularizers.base import Fixed, Regularization, RegularizerContext
from calisr_engine.training.switch import PhaseChange, Phases


def weights_as_loaded(config: RunConfig, targets: Sequence[Target]) -> Fixed:
    """What the regulariser keeps of the model, asked before the method attaches itself."""
    if config.regularizer.chosen is None:
        return Fixed({})
    return registry.get(config.regularizer.name).start(targets)


def open_regularization(
    config: RunConfig,
    model: nn.Module,
    targets: Sequence[Target],
    phases: Phases,
    planned: Sequence[PhaseChange],
    start: Fixed,
    total_steps: int,
    resuming: bool,
) -> Regularization | None:
    """The regulariser in a run whose phases are open; None where the settings name none.

    Targets that are light from the first step on (`planned`) are none of its business. What it has
    to say stands with the method's facts and notes.
    """
    settings = config.regularizer.chosen
    if settings is None:
        return None
    attachment, light = phases.attachment, phases.light_after(planned, 0)
    found = registry.get(config.regularizer.name).attach(
        model,
        [target for target in targets if target.name not in light],
        attachment,
        settings,
        start,
        RegularizerContext(config.training.seed, total_steps, resuming),
    )
    attachment.facts += found.facts
    attachment.notes += found.notes
    return found
