"""A run's row and column in words, as the paper's tables write them."""

from __future__ import annotations

from typing import Any

from calisr_engine.errors import NotFoundError
from calisr_engine.grid.plan import Cell
from calisr_engine.methods import catalog
from calisr_engine.models import component_names
from calisr_engine.tasks import glue

GROUPS = {members: name for name, members in component_names.GROUPS["S3"].items()}
GROUPS[component_names.COMPONENTS] = "all"
MODELS = {
    "bert-base-uncased": "BERT-base",
    "bert-large-uncased": "BERT-large",
    "roberta-base": "RoBERTa-base",
    "roberta-large": "RoBERTa-large",
}


def label(cell: Cell, keys: tuple[str, ...]) -> str:
    """The values of `keys` in one run, in words."""
    words = [_word(cell, key, _value(cell, key)) for key in keys]
    return " ".join(word for word in words if word).replace(" +", "+")


def _word(cell: Cell, key: str, value: Any) -> str:
    full = not cell.resolved.config.method.has_light_phase
    if key == "model.name":
        return MODELS.get(value, str(value))
    if key == "method.name":
        return catalog.label(value)
    if key == "calibration.variant":
        return "" if value == "off" else f"+CaliSr-{value}"
    if key == "task.name":
        try:
            return glue.find(value).title
        except NotFoundError:  # own data may have any name
            return str(value)
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


def _value(cell: Cell, key: str) -> Any:
    value: Any = cell.resolved.config
    for part in key.split("."):
        value = getattr(value, part, None)
    return value
