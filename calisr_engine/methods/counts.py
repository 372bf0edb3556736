"""Trainable parameters of a run in closed formulas: no model is built, nothing needs torch.

The formulas stand with the methods' settings. They say what `Phases.trainable` counts on the
attached model, for the encoders of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

from calisr_engine.methods.settings import Certainty, MethodBase
from calisr_engine.models.catalog import ModelEntry
from calisr_engine.models.parts import parts
from calisr_engine.task_kinds import KINDS, TaskKind


class NotCountedError(ValueError):
    """A library must be asked first."""


class CountRefusedError(ValueError):
    """The library that was asked gives no count; the message is its reason, in one line."""


@dataclass(frozen=True)
class Counts:
    """Trainable parameters of one method on one encoder.

    Attributes:
        total: of the dense model, whatever the method adds left out.
        fft: in the full phase, what the method adds included; None where it has no full phase.
        lft: once every group is in the light phase; None for full fine-tuning. For a method that
            prunes: once pruned.
        core: what of `lft` the method itself trains, in the covered matrices or beside them.
        before_pruning: until the method has pruned; None for the others.
        certainty: of `lft`.
        fixed: numbers that the method holds beside the model and never trains.
    """

    total: int
    fft: int | None
    lft: int | None
    core: int
    before_pruning: int | None = None
    certainty: Certainty = "exact"
    fixed: int = 0


def counts(
    entry: ModelEntry,
    method: MethodBase,
    labels: int,
    calibrated: bool,
    task: TaskKind = KINDS["classification"],
    wait: bool = True,
) -> Counts:
    """Trainable parameters of `method` on `entry`.

    Args:
        labels: outputs of the head (1 for regression and a choice).
        calibrated: whether the run is calibrated or has `schedule.switch_at`: some methods cover
            more components then.
        task: the kind of task.
        wait: where there is no formula, ask the library that knows, which takes torch.

    Raises:
        NotCountedError: that would take asking the library.
        CountRefusedError: the library gives none for these settings.
        ValueError: no closed formula for the architecture.
    """
    model = parts(entry, labels, task)
    if not method.has_light_phase:
        return Counts(model.total, model.total, None, 0)
    covered = model.has(method.covered(calibrated))
    if not wait and not method.is_counted(model, covered):
        raise NotCountedError
    core = method.count_core(model, covered)
    # What changes the architecture stands beside the matrices, which all have no light form then.
    beside = method.count_beside(model, () if method.changes_architecture else covered)
    first = method.count_before_pruning(model, covered)
    return Counts(
        total=model.total,
        fft=None
        if method.calibration_refused
        else model.total + method.count_added_in_full(model, covered),
        lft=beside + core,
        core=core,
        before_pruning=None if first is None else beside + first,
        certainty=method.certainty,
        fixed=method.count_fixed(model, covered),
    )
