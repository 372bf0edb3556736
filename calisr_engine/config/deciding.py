"""Which settings change what a run computes."""

from __future__ import annotations

NOT_DECIDING = (
    "output.",
    "diagnostics.",
    "notes",
    "task.data_dir",
    "calibration.matched_to",
    "calibration.switch_steps",
)
"""Beginnings of keys that do not change what a run computes, or that follow from the others: the
runs of a cell that differ in the seed alone are matched to runs of these seeds."""


def decides(key: str) -> bool:
    """Whether a setting changes what a run computes."""
    return not key.startswith(NOT_DECIDING)
