"""The components of an encoder layer, and the groups that share a counter and a switch."""

from __future__ import annotations

from typing import Literal, get_args

Component = Literal["query", "key", "value", "attention_output", "intermediate", "output", "gate"]
COMPONENTS: tuple[Component, ...] = get_args(Component)

SIX = COMPONENTS[:6]
"""Those of every encoder, and all that the paper's have. Newer ones have a `gate` too: the matrix
whose product with `intermediate` the feed-forward layer takes, such as `gate_proj`."""

GROUPS: dict[str, dict[str, tuple[Component, ...]]] = {
    "D": {"model": COMPONENTS},
    "S": {component: (component,) for component in COMPONENTS},
    "S3": {
        "att": ("query", "key", "value", "attention_output"),
        "ffn1": ("intermediate", "gate"),
        "ffn2": ("output",),
    },
}
"""Calibration variant -> group name -> components. What a model has none of is no group of it. Who
asks for the groups of a run asks `grouping.py`, which has the other variants, too."""
