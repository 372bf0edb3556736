"""The six components of an encoder layer, and the groups that share a counter and a switch."""

from __future__ import annotations

from typing import Literal, get_args

Component = Literal["query", "key", "value", "attention_output", "intermediate", "output"]
COMPONENTS: tuple[Component, ...] = get_args(Component)

GROUPS: dict[str, dict[str, tuple[Component, ...]]] = {
    "D": {"model": COMPONENTS},
    "S": {component: (component,) for component in COMPONENTS},
    "S3": {
        "att": ("query", "key", "value", "attention_output"),
        "ffn1": ("intermediate",),
        "ffn2": ("output",),
    },
}
"""Calibration variant -> group name -> components."""
