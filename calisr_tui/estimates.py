"""What a run will train, need and take, from closed formulas: no model is loaded.

Counts are exact for BERT-like encoders of the catalogue; memory and time are estimates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from calisr_engine.config.methods import (
    ChildTuningD,
    ChildTuningF,
    Lora,
    MaskBert,
    MethodBase,
    Mpop,
)
from calisr_engine.config.schema import COMPONENTS, RunConfig
from calisr_engine.models.catalog import ModelEntry, find, parameter_total, target_shapes
from calisr_engine.tasks import glue

DEMO_EXAMPLES = 4000
CPU_FLOPS, GPU_FLOPS = 5e10, 5e13
"""Assumed speeds: a few CPU cores in fp32; a data-centre GPU in bf16, at usual load."""

_MPO_FACTORS = {
    (768, 768): ((3, 4, 4, 4, 4), (4, 4, 4, 4, 3)),
    (3072, 768): ((4, 4, 8, 6, 4), (3, 4, 4, 4, 4)),
    (768, 3072): ((3, 4, 4, 4, 4), (4, 4, 8, 6, 4)),
    (1024, 1024): ((4, 4, 4, 4, 4), (4, 4, 4, 4, 4)),
    (4096, 1024): ((4, 4, 8, 8, 4), (4, 4, 4, 4, 4)),
    (1024, 4096): ((4, 4, 4, 4, 4), (4, 4, 8, 8, 4)),
}


@dataclass(frozen=True)
class Counts:
    """Trainable parameters.

    Attributes:
        total: of the dense model.
        fft: in the full phase, what the method adds included.
        lft: once every group is in the light phase; None where no closed formula is known here.
    """

    total: int
    fft: int
    lft: int | None


@dataclass(frozen=True)
class Estimate:
    """Memory in bytes and time in seconds.

    Attributes:
        steps: optimizer steps.
        memory: weights, gradients, AdamW's moments and activations in the full phase.
        cpu_seconds, gpu_seconds: of the full phase all through, inputs at their longest.
    """

    steps: int
    memory: float
    cpu_seconds: float
    gpu_seconds: float


def labels(config: RunConfig) -> int:
    """Outputs of the head, as far as the table of tasks knows."""
    if glue.is_task(config.task.name):
        return len(glue.find(config.task.name).label_names) or 1
    return 1 if config.task.kind == "regression" else 2


def counts(config: RunConfig) -> Counts | None:
    """Trainable parameters of a run; None for models without a catalogue entry."""
    entry = find(config.model.name)
    if entry is None:
        return None
    outputs = labels(config)
    total = parameter_total(entry, outputs)
    method = config.method
    chosen = method.components or COMPONENTS
    shapes = target_shapes(entry)
    targets = entry.layers * sum(shapes[name][0] * shapes[name][1] for name in chosen)
    always = always_trained(entry, outputs)
    if method.embeddings == "train":
        always += (entry.vocabulary + entry.positions + entry.types) * entry.hidden
    if method.elsewhere == "fft":
        others = [name for name in COMPONENTS if name not in chosen]
        always += entry.layers * sum(shapes[name][0] * shapes[name][1] for name in others)
    if method.name == "fft":
        return Counts(total, total, None)
    core = _core(method, entry, chosen, targets)
    if isinstance(method, Mpop):
        central = _mpo(method, entry, chosen)[1] if core is not None else 0
        fft = total - targets + (core or 0) + central
    elif isinstance(method, Lora | MaskBert):
        fft = total + (core or 0)
    else:
        fft = total
    return Counts(total, fft, None if core is None else core + always)


def always_trained(entry: ModelEntry, outputs: int) -> int:
    """Biases, LayerNorms, pooler and head: trained in both phases."""
    hidden = entry.hidden
    layer = 5 * hidden + entry.intermediate + 4 * hidden
    return entry.layers * layer + 2 * hidden + hidden * hidden + hidden + hidden * outputs + outputs


def _core(
    method: MethodBase, entry: ModelEntry, chosen: tuple[str, ...], targets: int
) -> int | None:
    shapes = target_shapes(entry)
    if isinstance(method, Lora):
        return entry.layers * sum(method.rank * sum(shapes[name]) for name in chosen)
    if isinstance(method, Mpop):
        found = _mpo(method, entry, chosen)
        return found[0] if found[0] else None
    if isinstance(method, ChildTuningD | ChildTuningF):
        return round(method.p * targets)
    if isinstance(method, MaskBert):
        return targets
    return 0 if method.title == "BitFit" else None


def _mpo(method: Mpop, entry: ModelEntry, chosen: tuple[str, ...]) -> tuple[int, int]:
    """(auxiliary, central) entries of all targets; (0, 0) for shapes without published factors."""
    auxiliary = central = 0
    for name in chosen:
        factors = _MPO_FACTORS.get(target_shapes(entry)[name])
        if factors is None:
            return 0, 0
        modes = [i * j for i, j in zip(*factors, strict=True)]
        bonds = [min(math.prod(modes[:k]), math.prod(modes[k:])) for k in range(len(modes) + 1)]
        if method.bond is not None:
            bonds = [min(b, method.bond) for b in bonds]
        sizes = [bonds[k] * mode * bonds[k + 1] for k, mode in enumerate(modes)]
        auxiliary += entry.layers * (sum(sizes) - sizes[2])
        central += entry.layers * sizes[2]
    return auxiliary, central


def train_examples(config: RunConfig) -> int | None:
    """Training examples, where the table of tasks knows them."""
    task = config.task
    known = None
    if task.name == "demo":
        known = DEMO_EXAMPLES
    elif task.train_file is None and glue.is_task(task.name):
        known = glue.find(task.name).sizes["train"]
    if known is None:
        return None
    return min(known, task.max_train_examples or known)


def estimate(config: RunConfig) -> Estimate | None:
    """Memory and time; None where model or data are not known here."""
    entry, examples, counted = find(config.model.name), train_examples(config), counts(config)
    if entry is None or examples is None or counted is None:
        return None
    training = config.training
    batches = math.ceil(examples / training.batch_size)
    steps = math.ceil(batches / training.accumulate) * training.epochs
    if training.max_steps is not None:
        steps = min(steps, training.max_steps)
    length = config.task.max_length
    # Korthikanti et al., 2022, equation 1: s b h (34 + 5 a s / h) bytes a layer in 16 bits.
    activations = (
        2.0
        * entry.layers
        * length
        * training.batch_size
        * entry.hidden
        * (34 + 5 * entry.heads * length / entry.hidden)
    )
    memory = 4.0 * max(counted.total, counted.fft) + 12.0 * counted.fft + activations
    dense = counted.total - entry.vocabulary * entry.hidden
    work = 6.0 * dense * training.batch_size * training.accumulate * length * steps
    return Estimate(steps, memory, work / CPU_FLOPS, work / GPU_FLOPS)


def meaning(config: RunConfig) -> str:
    """What a choice of settings means, in two sentences."""
    method, calibration = config.method, config.calibration
    where = f"{config.model.name} on {config.task.name}"
    if method.name == "fft":
        return (
            f"Every weight of {where} is trained from the first to the last step. This is the "
            "baseline that calibrated runs are measured against; nothing switches."
        )
    summary = method.summary[0].lower() + method.summary[1:].rstrip(".")
    if calibration.variant != "off":
        who = {
            "D": "The whole model begins",
            "S": "Each of the six components begins",
            "S3": "Each of three groups begins",
        }[calibration.variant]
        samples = calibration.samples
        each = f"{samples} times an epoch" if samples else f"every {calibration.every_steps} steps"
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
