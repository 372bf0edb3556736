"""Setting runs side by side: what differs in their settings, mean and spread over seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calisr_engine.events.view import RunView

IGNORED = ("output.", "notes")
SEED = "training.seed"


@dataclass(frozen=True)
class SeedGroup:
    """Runs that are equal but for the seed.

    Attributes:
        mean, deviation: of the best metric; the deviation is that of a sample (n - 1), 0 for one.
    """

    label: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    metric: str
    mean: float
    deviation: float


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def differences(views: Mapping[str, RunView]) -> dict[str, dict[str, Any]]:
    """Dotted key -> run -> value, for the settings in which the runs differ."""
    flat = {name: flatten(view.config) for name, view in views.items()}
    keys = sorted({key for values in flat.values() for key in values})
    result = {}
    for key in keys:
        if key.startswith(IGNORED):
            continue
        values = {name: settings.get(key) for name, settings in flat.items()}
        if len({json.dumps(value, sort_keys=True) for value in values.values()}) > 1:
            result[key] = values
    return result


def over_seeds(views: Mapping[str, RunView]) -> list[SeedGroup]:
    """Groups of runs equal but for the seed, with mean and sample deviation of the best metric."""
    grouped: dict[str, list[str]] = {}
    for name, view in views.items():
        settings = {
            key: value
            for key, value in flatten(view.config).items()
            if key != SEED and not key.startswith(IGNORED)
        }
        grouped.setdefault(json.dumps(settings, sort_keys=True), []).append(name)
    result = []
    for names in grouped.values():
        scored = [name for name in names if views[name].best is not None]
        if not scored:
            continue
        values = [float(views[name].best or 0.0) for name in scored]
        first = views[scored[0]]
        result.append(
            SeedGroup(
                label=f"{first.task} {first.method} {first.variant}",
                runs=tuple(scored),
                seeds=tuple(int(views[name].seed or 0) for name in scored),
                metric=first.metric,
                mean=statistics.fmean(values),
                deviation=statistics.stdev(values) if len(values) > 1 else 0.0,
            )
        )
    return result
