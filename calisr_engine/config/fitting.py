"""Settings that nobody gave, fitted to method, size of the model and number of examples.

Just above the schema's defaults, below all that anyone says. A preset, file or grid that names
`training.learning_rate` is a recipe of its own, and nothing is fitted beneath it: so presets mean
what they say, and a run's config.toml stays what was trained. The rates stand with their methods
(`methods/NAME/settings.py`), all other rules here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from calisr_engine.config.layering import Layer
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError
from calisr_engine.methods.fft.settings import FullFineTuning
from calisr_engine.methods.settings import BESIDE_FULL, Rate, Width
from calisr_engine.models import catalog
from calisr_engine.tasks import glue
from calisr_engine.tasks.formats import FORMATS, Form, read_table
from calisr_engine.tasks.settings import TaskSettings

RATE = "training.learning_rate"
LIGHT_RATE = "training.lft_learning_rate"
EPOCHS = "training.epochs"
BATCH = "training.batch_size"
WARMUP = "training.warmup_ratio"
THREADS = "training.threads"

FITTED = (RATE, LIGHT_RATE, EPOCHS, BATCH, WARMUP, THREADS)
"""The settings that are fitted."""

RECIPE = (*FITTED, "training.max_steps", "training.accumulate")
"""What a preset says of training that is right for its model and task only."""

WIDTHS: tuple[tuple[int, Width], ...] = ((256, "tiny"), (512, "small"), (896, "base"))
"""Largest hidden size of each class of encoders; wider ones are "large"."""

FEW = 1000
"""Below so many examples a batch is SMALL_BATCH, so that an epoch has steps enough."""

SMALL_BATCH, FULL_BATCH = 16, 32

EPOCHS_AT_LEAST, EPOCHS_AT_MOST = 3, 20
STEPS_AT_LEAST = 500
"""Small data is passed over until there are so many optimizer steps. Mosbach et al., 2021 (20
epochs for tasks of a few thousand examples) and Zhang et al., 2021: what looks like instability on
small data is training that ends too early. The published presets do so too: MRPC 5 to 7 epochs,
RTE 10 and more."""

LONG_RUN = 1000
"""From so many steps on 6 % of them warm up (RoBERTa's and LoRA's scripts), below a tenth (BERT's,
Houlsby et al., 2019; Mosbach et al., 2021)."""

LONG_WARMUP, SHORT_WARMUP = 0.06, 0.1

DEMO_EXAMPLES = 4000
"""Training examples of the demo task."""


@dataclass(frozen=True)
class Fit:
    """A value that nobody gave.

    Attributes:
        origin: in a few words, as it stands beside the value in config.toml.
        reason: one sentence for the user.
    """

    value: Any
    origin: str
    reason: str


def fit(config: RunConfig, given: Collection[str], examples: int | None = None) -> dict[str, Fit]:
    """Values for the settings of FITTED that are not among those that were `given`.

    Args:
        config: all settings; those that are fitted count only where they were given.
        given: dotted keys that somebody set.
        examples: rows of the training data, where the caller has read it; None looks itself.
    """
    found = {key: each for key, each in _rates(config).items() if key not in given}
    if RATE in given:  # who names the rate names all of them
        found.pop(LIGHT_RATE, None)
    training, known = config.training, train_examples(config.task, examples)
    if BATCH not in given and known is not None and known < FEW:
        reason = f"{SMALL_BATCH} for {known:,} examples, which are few: {FULL_BATCH} from {FEW:,}"
        found[BATCH] = Fit(SMALL_BATCH, f"fits {known} examples", reason)
    elif BATCH not in given:
        reason = f"{FULL_BATCH}: Devlin et al., 2019, and most scripts for GLUE"
        found[BATCH] = Fit(FULL_BATCH, "fits the data", reason)
    batch = found[BATCH].value if BATCH in found else training.batch_size
    per_epoch = None if known is None else math.ceil(known / (batch * training.accumulate))
    if EPOCHS not in given and training.max_steps is None:
        found[EPOCHS] = _epochs(known, per_epoch)
    if WARMUP not in given:
        epochs = found[EPOCHS].value if EPOCHS in found else training.epochs
        found[WARMUP] = _warmup(training.max_steps or (per_epoch and per_epoch * epochs))
    if THREADS not in given and width(config.model.name)[0] == "tiny":
        reason = "1, as more gain nothing with matrices this small"
        found[THREADS] = Fit(1, "fits a tiny encoder", reason)
    return found


def _rates(config: RunConfig) -> dict[str, Fit]:
    """Of everything (in full fine-tuning, and in the full phase of a calibrated run) or of what
    trains beside the method's core, and of the core."""
    method, switch_at = config.method, config.schedule.switch_at
    size, words = width(config.model.name)
    own = method.rates.get(size)
    full = FullFineTuning.rates[size]
    both_phases = config.calibration.variant != "off" or switch_at not in (None, 0.0)
    rest = full if own is None or both_phases else own
    who = "full fine-tuning" if rest is full else method.label
    first = f"{who}, which comes first" if both_phases else who
    found = {RATE: _rate(rest.rate, rest, first, words)}
    if own is None or own.core is None:
        return found
    if both_phases and own.beside_full is not None:
        beside = own._replace(source=BESIDE_FULL)
        found[LIGHT_RATE] = _rate(own.beside_full, beside, method.label, words)
    elif both_phases or own.core != own.rate:
        found[LIGHT_RATE] = _rate(own.core, own, method.label, words)
    return found


def _rate(value: float, source: Rate, who: str, words: str) -> Fit:
    return Fit(
        value,
        f"fits {who.partition(',')[0]}, {words}",
        f"{value:g} for {who}, {words}: {source.source}",
    )


def _epochs(examples: int | None, per_epoch: int | None) -> Fit:
    if examples is None or per_epoch is None:
        return Fit(
            EPOCHS_AT_LEAST,
            "fits unknown data",
            f"{EPOCHS_AT_LEAST}, as the size of the data is not known here",
        )
    wanted = math.ceil(STEPS_AT_LEAST / per_epoch)
    epochs = min(max(wanted, EPOCHS_AT_LEAST), EPOCHS_AT_MOST)
    why = f"so that {per_epoch} steps each make {STEPS_AT_LEAST} or more (Mosbach et al., 2021)"
    if wanted <= EPOCHS_AT_LEAST:
        why = "enough for so many examples (Devlin et al., 2019)"
    elif wanted > EPOCHS_AT_MOST:
        why = f"the most, though {per_epoch} steps each are few"
    return Fit(epochs, f"fits {examples} examples", f"{epochs} for {examples:,} examples, {why}")


def _warmup(steps: int | None) -> Fit:
    if steps is None or steps >= LONG_RUN:
        return Fit(
            LONG_WARMUP, "fits a long run", f"{LONG_WARMUP} of the steps, as RoBERTa's scripts"
        )
    reason = f"{SHORT_WARMUP} of the steps, as there are only {steps} (Mosbach et al., 2021)"
    return Fit(SHORT_WARMUP, f"fits {steps} steps", reason)


def width(model: str) -> tuple[Width, str]:
    """The class of an encoder by its hidden size, and that in words. A model of which nothing is
    here yet counts as one of BERT-base's size."""
    entry = catalog.find(model)
    if entry is None and os.path.isdir(model):
        entry = catalog.from_folder(Path(model))
    if entry is None:
        return "base", "size unknown"
    words = f"hidden size {entry.hidden}"
    for largest, name in WIDTHS:
        if entry.hidden <= largest:
            return name, words
    return "large", words


def train_examples(task: TaskSettings, rows: int | None = None) -> int | None:
    """Examples that a run trains on; None for data that is not here.

    Args:
        rows: of the user's own training data, where it has been read.
    """
    if task.is_own:
        known = _rows(task) if rows is None else rows
        if known is not None and task.validation_file is None and task.validation_split is None:
            known -= round(known * task.validation_share)
    else:
        known = glue.find(task.name).sizes["train"] if glue.is_task(task.name) else None
        known = DEMO_EXAMPLES if glue.plain(task.name) == "demo" else known
    if known is None:
        return None
    return max(1, min(known, task.max_train_examples or known))


def _rows(task: TaskSettings) -> int | None:
    """Rows of an own training file; None where it cannot be read (which training will say)."""
    path = task.train_file
    if path is None or path.suffix.lower() not in FORMATS:
        return None
    try:
        status = os.stat(path)
        form = Form(task.encoding, task.header)
        return _count(path, form, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, CalisrError):
        return None


@lru_cache(maxsize=64)
def _count(path: Path, form: Form, modified: int, size: int) -> int:
    return len(read_table(path, None, form))


def is_recipe(layers: Sequence[Layer]) -> bool:
    """Whether presets, files or a grid name a rate, so that nothing is fitted beneath them."""
    return any(RATE in layer.values for layer in layers)


def without_recipe(
    layers: Sequence[Layer], above: Sequence[Layer]
) -> tuple[list[Layer], list[str]]:
    """The layers without what presets say of training for another model or task.

    Args:
        layers: of presets and files, lowest first.
        above: layers of guesses and options.

    Returns:
        The layers, and a sentence for each preset that lost settings.
    """
    kept, notes = list(layers), []
    for number, layer in enumerate(layers):
        name = _preset(layer)
        lost = [key for key in RECIPE if key in layer.values]
        if not name or not lost:
            continue
        same = [each for each in layers if _preset(each)]
        other = _other(same, [*[each for each in layers if not _preset(each)], *above])
        if other:
            kept[number] = replace(
                layer, values={k: v for k, v in layer.values.items() if k not in lost}
            )
            words = ", ".join(key.partition(".")[2] for key in lost)
            notes.append(f"preset {name} is for {other}, so its {words} are not taken")
    return kept, notes


def _preset(layer: Layer) -> str:
    """The preset that a layer is from; "" for files of the user's own."""
    origin = next(iter(layer.origins.values()), "")
    return origin.removeprefix("preset ") if origin.startswith("preset ") else ""


def _other(presets: Sequence[Layer], above: Sequence[Layer]) -> str:
    """The model or task that the presets name and the layers above change; "" for none."""
    before, after = _named(presets), _named(above)
    model, task = before.get("model.name"), before.get("task.name")
    if model is not None and after.get("model.name", model) != model:
        return str(model)
    own = {"task.train_file", "task.dataset"} & (after.keys() - before.keys())
    if task is not None and (own or _plain(after.get("task.name", task)) != _plain(task)):
        return str(task)
    return ""


def _named(layers: Sequence[Layer]) -> Mapping[str, Any]:
    keys = ("model.name", "task.name", "task.train_file", "task.dataset")
    return {key: layer.values[key] for layer in layers for key in keys if key in layer.values}


def _plain(task: Any) -> str:
    return glue.find(task).name if isinstance(task, str) and glue.is_task(task) else str(task)
