"""What a run would do: counts and steps, without training anything (`calisr run --dry-run`)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calisr_engine.config.schema import RunConfig

if TYPE_CHECKING:
    from calisr_engine.tasks.data import TaskData
    from calisr_engine.training.build import PreparedRun


def _reading_memory(run: PreparedRun) -> int:
    """Bytes that the reading holds beside training while all groups are in FFT.

    The extra parts in float32; or the branch: its model, and gradient and moments of what it
    trains.
    """
    config = run.context.config
    if config.calibration.reading == "since_last_sample":
        forms = run.attachment.forms.values()
        return sum(4 * parameter.numel() for form in forms for parameter in form.extra()) or sum(
            4 * form.weight.numel() for form in forms
        )
    if config.calibration.reading == "branches":
        moments = 2 if config.training.optimizer == "adamw" else 1
        held = sum(p.numel() * p.element_size() for p in run.model.parameters())
        return held + 4 * (1 + moments) * run.calibrator.phases.trainable_when_complete()
    return 0


def plan_run(config: RunConfig, data: TaskData | None = None) -> dict[str, Any]:
    """Load data and model, attach the method, count; train nothing and leave nothing behind.

    `data` is what the settings name, where it was read just before.

    Raises:
        CalisrError: data, model or settings cannot be used, as the run itself would say.
    """
    from calisr_engine.events.log import EventWriter
    from calisr_engine.runs.installed import check_installed
    from calisr_engine.runs.layout import RunPaths
    from calisr_engine.training.build import prepare
    from calisr_engine.training.schedule import without_effect

    check_installed(config.output.trackers)
    with tempfile.TemporaryDirectory(prefix="calisr-plan-") as folder:
        paths = RunPaths(Path(folder))
        with EventWriter(paths.events, attempt=0) as writer:
            run = prepare(config, paths, writer, resume=False, dry=True, data=data)
            phases, plan = run.calibrator.phases, run.plan
            shown: dict[str, Any] = {
                "device": str(run.context.device),
                "precision": run.context.precision,
                "model": run.loaded.description,
                "train_examples": run.batches.train_count,
                "validation_examples": run.batches.validation_count,
                "metric": run.data.metric,
                "steps_per_epoch": plan.steps_per_epoch,
                "total_steps": plan.total_steps,
                "groups": list(phases.groups),
                "targets": len(run.targets),
                "parameters": run.total_parameters,
                "trainable_in_fft": phases.counted,
                "notes": [
                    *run.loaded.notes,
                    *run.attachment.facts,
                    *run.attachment.notes,
                    *run.data.notes,
                    *run.batches.notes,
                    *without_effect(config, plan, run.batches.train_count),
                ],
            }
            if phases.groups or run.attachment.has_light_phase:
                shown["trainable_in_lft"] = phases.trainable_when_complete()
                shown["trainable_share_in_lft"] = round(
                    phases.trainable_when_complete() / run.total_parameters, 6
                )
            calibration = config.calibration
            if calibration.control != "off":
                shown["control"] = calibration.control
            if calibration.decides or calibration.measures:
                shown["sample_steps_in_window"] = list(plan.samples) or (
                    f"every {plan.every_steps}"
                )
                shown["window_steps"] = plan.window
            if calibration.measures:
                shown["reading"] = calibration.reading
                shown["reading_memory_bytes"] = _reading_memory(run)
            if calibration.decides:
                shown["decision_steps"] = list(plan.decision_steps())
    return shown
