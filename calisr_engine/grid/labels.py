"""A run's row and column in words, as the paper's tables write them."""

from __future__ import annotations

from typing import Any

from calisr_engine.errors import NotFoundError
from calisr_engine.grid.settings import Settings
from calisr_engine.methods import catalog
from calisr_engine.models import component_names
from calisr_engine.regularizers import catalog as regularizers
from calisr_engine.regularizers.catalog import OFF
from calisr_engine.tasks import glue

GROUPS = {members: name for name, members in component_names.GROUPS["S3"].items()}
GROUPS |= dict.fromkeys((component_names.COMPONENTS, component_names.SIX), "all")
GROUPS[component_names.GROUPS["S3"]["ffn1"][:1]] = "ffn1"
MODELS = {
    "bert-base-uncased": "BERT-base",
    "bert-large-uncased": "BERT-large",
    "roberta-base": "RoBERTa-base",
    "roberta-large": "RoBERTa-large",
}
METHOD = ("method.name", "calibration.variant", "calibration.control", "regularizer.name")
"""Settings that make a row where nothing else is said."""
TASK = ("task.name",)
"""The setting that makes a column there."""


def label(settings: Settings, keys: tuple[str, ...]) -> str:
    """The values of `keys` in one run, in words."""
    words = [_word(settings, key, settings[key]) for key in keys if key in settings]
    return " ".join(word for word in words if word).replace(" +", "+")


def further(settings: Settings, keys: list[str]) -> str:
    """The values of `keys` in one run, each with its name: "rank=4 epochs=3"."""
    return " ".join(f"{_short(key)}={_plain(settings[key])}" for key in keys if key in settings)


def task_title(name: str) -> str:
    """A task as the paper writes it; own data may have any name."""
    try:
        return glue.find(name).title
    except NotFoundError:
        return name


def _short(key: str) -> str:
    section, _, name = key.rpartition(".")
    return section if name == "name" else name


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_plain, value))
    return "none" if value is None else str(value)


def _word(settings: Settings, key: str, value: Any) -> str:
    full = not catalog.has_light_phase(str(settings.get("method.name")))
    if key == "model.name":
        return MODELS.get(value, str(value))
    if key == "method.name":
        return catalog.label(value)
    if key == "calibration.variant":
        return "" if value == "off" else f"+CaliSr-{value}"
    if key == "calibration.control":
        off = settings.get("calibration.variant") == "off"
        return "" if off or value == "off" else str(value)
    if key == "regularizer.name":
        return "" if value == OFF else f"+{regularizers.label(str(value))}"
    if key == "task.name":
        return task_title(str(value))
    if key == "method.components":
        if full:
            return ""
        return "all" if value is None else GROUPS.get(tuple(value), "+".join(value))
    if key == "schedule.switch_at" and value is None:
        return "1.0" if full else ""  # full fine-tuning is the share 1.0 of Table 5
    if key == "training.learning_rate":
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return "" if value is None else str(value)
