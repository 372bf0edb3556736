"""A run's settings as dotted keys, and in which of them runs differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calisr_engine.config.deciding import decides

Settings = Mapping[str, Any]
"""Dotted key -> value, as JSON has it."""

SEED = "training.seed"


def told_apart(runs: Sequence[Settings], first: Iterable[str] = ()) -> list[str]:
    """The least keys, in order, whose values tell apart all runs that differ in more than a seed.

    A setting that only some methods have counts among runs that have it.

    Args:
        first: keys that are taken before others which tell the same runs apart.
    """
    keys = dict.fromkeys([*first, *(key for run in runs for key in run)])
    groups = [list(runs)]
    taken = []
    for key in keys:
        if key == SEED or not decides(key):
            continue
        split = [part for group in groups for part in _by_value(group, key)]
        if len(split) > len(groups):
            taken.append(key)
            groups = split
    return taken


def _by_value(runs: list[Settings], key: str) -> list[list[Settings]]:
    found: dict[str, list[Settings]] = {}
    for run in runs:
        found.setdefault(repr(run[key]) if key in run else "", []).append(run)
    return list(found.values())
