"""CPU threads of a run that names none: the cores that nobody else uses as it begins.

torch's own choice is every core. Where others compute too, its threads then wait for each other
at every operation, and a run takes many times longer. The number is written into the run's
config.toml, so that a resumed run computes with as many, and the same bits, as before.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import psutil

from calisr_engine.config.load import ResolvedConfig
from calisr_engine.plain_words import counted

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how many cores a container may use: microseconds, and of how many."""


def free_cores() -> tuple[int, str]:
    """Cores to compute with now, at least one, and why so many."""
    own = _own_cores()
    try:
        busy = min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    except OSError:
        busy = 0.0
    free = max(1, round(own * (1 - busy)))
    return free, f"{counted(own, 'core')}, {busy:.0%} of the machine busy"


def with_threads(resolved: ResolvedConfig, processes: int = 1) -> ResolvedConfig:
    """The settings with a number of threads; as they are where they, or OMP_NUM_THREADS, say one.

    Args:
        processes: of this run, which share the cores.
    """
    if resolved.config.training.threads is not None or os.environ.get("OMP_NUM_THREADS"):
        return resolved
    free, why = free_cores()
    training = resolved.config.training.model_copy(update={"threads": max(1, free // processes)})
    return replace(
        resolved,
        config=resolved.config.model_copy(update={"training": training}),
        origins={**resolved.origins, "training.threads": f"fits this machine: {why}"},
    )


def _own_cores() -> int:
    """Physical cores that this process may use."""
    found = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else 0
    counts = [found, psutil.cpu_count(logical=False) or 0, _quota()]
    return min((count for count in counts if count), default=1)


def _quota() -> int:
    """Cores of the container; 0 where nothing bounds them."""
    try:
        allowed, period = QUOTA.read_text().split()
        return max(1, int(allowed) // int(period))
    except (OSError, ValueError):
        return 0
