"""What a run will train, need and take, from closed formulas: no model is loaded.

Counts are those of `calisr_engine.methods.counts`; memory and time are estimates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from calisr_engine.config import fitting
from calisr_engine.config.schema import RunConfig
from calisr_engine.methods.counts import CountRefusedError, Counts, NotCountedError
from calisr_engine.methods.counts import counts as method_counts
from calisr_engine.models.catalog import ModelEntry, find, from_folder
from calisr_engine.task_kinds import KINDS
from calisr_engine.tasks import glue

CPU_FLOPS, GPU_FLOPS = 5e10, 5e13
"""Assumed speeds: a few CPU cores in fp32; a data-centre GPU in bf16, at usual load."""

LIBRARIES = 0.6e9
"""Bytes that a process takes beside the model: torch and other libraries (0.5 GB as measured on a
CPU), tokenizer and data."""


@dataclass(frozen=True)
class Known:
    """What is known of the user's own data: training rows, and outputs of the head."""

    rows: int | None = None
    labels: int | None = None


NOTHING = Known()


@dataclass(frozen=True)
class Estimate:
    """Memory in bytes and time in seconds.

    Attributes:
        steps: optimizer steps.
        memory: of the model and its training: weights, gradients, the optimizer's moments and
            activations in fp32, inputs at their longest. Beside `LIBRARIES`.
        cpu_seconds, gpu_seconds: of the full phase all through, inputs at their longest.
    """

    steps: int
    memory: float
    cpu_seconds: float
    gpu_seconds: float


def entry_of(config: RunConfig) -> ModelEntry | None:
    """The model's sizes, from the catalogue or from the config.json of a local folder."""
    name = config.model.name
    return find(name) or from_folder(Path(name).expanduser())


def labels(config: RunConfig, known: Known = NOTHING) -> int | None:
    """Outputs of the head; None for classes that only the user's own files tell."""
    task = config.task
    if task.data_kind in ("regression", "choice"):
        return 1
    if task.is_own:
        return known.labels
    if glue.is_task(task.name):
        return len(glue.find(task.name).label_names) or 1
    return 2 if task.name == "demo" else None


def counts(config: RunConfig, known: Known = NOTHING, wait: bool = False) -> Counts | None:
    """Trainable parameters of a run, with two labels where their number is not known here.

    `fft` is None where the run has no full phase, `lft` where it never leaves it. None as a whole
    for models whose sizes are not at hand or of an architecture without a formula.

    Args:
        wait: also where a library must be asked; not in the app's own turn.
    """
    calibrated, switch_at = config.calibration.variant != "off", config.schedule.switch_at
    try:
        found = _counted(config, known, wait)
    except ValueError:
        return None
    if found is None:
        return None
    if not calibrated and not switch_at and found.lft is not None:
        return replace(found, fft=None)
    return replace(found, lft=None) if switch_at == 1.0 else found


def uncounted(config: RunConfig, known: Known = NOTHING) -> str:
    """Why the library that was asked counts nothing for these settings; "" where it was not asked,
    or has counted."""
    try:
        _counted(config, known, False)
    except CountRefusedError as error:
        return str(error)
    except ValueError:
        pass
    return ""


def are_awaited(config: RunConfig) -> bool:
    """Whether `counts` must ask a library first, which takes a moment."""
    try:
        _counted(config, NOTHING, False)
    except NotCountedError:
        return True
    except ValueError:
        pass
    return False


def _counted(config: RunConfig, known: Known, wait: bool) -> Counts | None:
    entry, outputs = entry_of(config), labels(config, known) or 2
    if entry is None:
        return None
    begins_full = config.calibration.variant != "off" or config.schedule.switch_at is not None
    task = KINDS[config.task.data_kind or "classification"]
    return method_counts(entry, config.method, outputs, begins_full, task, wait)


def train_examples(config: RunConfig, known: Known = NOTHING) -> int | None:
    """Training examples, where the table of tasks or a look at the data knows them."""
    task = config.task
    if task.is_own:
        return (
            None if known.rows is None else min(known.rows, task.max_train_examples or known.rows)
        )
    return fitting.train_examples(task)


def estimate(config: RunConfig, known: Known = NOTHING) -> Estimate | None:
    """Memory and time; None where model or data are not known here."""
    entry, examples = entry_of(config), train_examples(config, known)
    counted = counts(config, known)
    if entry is None or examples is None or counted is None:
        return None
    training = config.training
    batches = math.ceil(examples / training.batch_size)
    steps = math.ceil(batches / training.accumulate) * training.epochs
    if training.max_steps is not None:
        steps = training.max_steps
    length, inputs = config.task.max_length, training.batch_size * config.task.inputs_of_a_row
    # Korthikanti et al., 2022, equation 1: s b h (34 + 5 a s / h) bytes a layer in 16 bits. In fp32
    # twice that, and a fifth more as measured on a CPU (hidden 128 and 384).
    activations = (
        2.4
        * entry.layers
        * length
        * inputs
        * entry.hidden
        * (34 + 5 * entry.heads * length / entry.hidden)
    )
    trained = counted.fft or counted.before_pruning or counted.lft or 0
    held = max(counted.total, trained, counted.total + counted.core)
    moments = 2 if training.optimizer == "adamw" else 1
    memory = 4.0 * (held + counted.fixed + (1 + moments) * trained) + activations
    passes = 1.0 if config.regularizer.chosen is None else config.regularizer.chosen.passes
    if config.calibration.measures and config.calibration.reading != "step":
        memory += 4.0 * counted.total  # at most: the extra part of what is in FFT
        if config.calibration.reading == "branches":
            passes *= 2  # at most: until the last group switches
            memory += 4.0 * (1 + moments) * (counted.lft or 0)
    dense = counted.total - entry.vocabulary * entry.hidden
    if training.frozen_weights == "bf16" and counted.fft is None:
        # From the first step on; the model is loaded whole.
        memory = max(4.0 * held, memory - 2.0 * max(0, dense - trained))
    work = 6.0 * dense * inputs * training.accumulate * length * steps * passes
    return Estimate(steps, memory, work / CPU_FLOPS, work / GPU_FLOPS)


def meaning(config: RunConfig) -> str:
    """What a choice of settings means, in two or three sentences."""
    regularizer = config.regularizer.chosen
    if regularizer is None:
        return _meaning(config)
    return f"{_meaning(config)} Beside it {regularizer.title}: {regularizer.summary}"


def _meaning(config: RunConfig) -> str:
    method, calibration = config.method, config.calibration
    where = f"{config.model.name} on {config.task.name}"
    if not method.has_light_phase:
        return (
            f"Every weight of {where} is trained from the first to the last step. This is the "
            "baseline that calibrated runs are measured against; nothing switches."
        )
    summary = method.summary[0].lower() + method.summary[1:].rstrip(".")
    if calibration.variant != "off":
        who = {
            "D": "The whole model begins",
            "S": "Each component begins",
            "S3": "Each of three groups begins",
            "L": "Each layer begins",
            "LC": "Each component of each layer begins",
            "own": "Each group of calibration.groups begins",
        }[calibration.variant]
        samples = calibration.samples
        if calibration.follows_steps:
            whose = calibration.matched_to or "the steps given"
            dealt = ", dealt to other groups," if calibration.control == "shuffled" else ""
            return (
                f"A control: {who[0].lower()}{who[1:]} in full fine-tuning of {where} and goes "
                f"over to {method.title} at the step of {whose}{dealt} whatever its stable rank. "
                f"{method.title}: it {summary}."
            )
        each = f"{samples} times an epoch" if samples else f"every {calibration.every_steps} steps"
        if calibration.control == "coin":
            return (
                f"A control: {who[0].lower()}{who[1:]} in full fine-tuning of {where}, and {each} "
                f"a fair coin is flipped in the place of a measurement. Where heads come up in a "
                f"share above {calibration.delta:g}, {method.title} takes over, which {summary}."
            )
        return (
            f"{who} in full fine-tuning of {where}, and {each} one step is measured in two parts. "
            f"Where the light part alone lowers the stable rank more in a share above "
            f"{calibration.delta:g} of the samples, {method.title} takes over, which {summary}."
        )
    switch_at = config.schedule.switch_at
    if switch_at is not None and switch_at > 0:
        return (
            f"All of {where} is trained for {switch_at:.0%} of the steps, then {method.title} "
            f"takes over, which {summary}. The moment is fixed beforehand and nothing is measured."
        )
    return (
        f"{method.title} from the first step on {where}: it {summary}. Nothing is measured and "
        "nothing switches."
    )


def millions(count: int) -> str:
    """A count of parameters, short ("4.4 M")."""
    return f"{count / 1e6:.1f} M"
