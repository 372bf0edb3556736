"""What a benchmark must say of the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets")


def describe(threads: int, seeds: list[int]) -> dict[str, Any]:
    """Date, processor, threads, versions and seeds."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "seeds": seeds,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def heading(title: str, facts: dict[str, Any]) -> str:
    """Markdown heading of a result file."""
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    seeds = "; seeds " + ", ".join(map(str, facts["seeds"])) if facts["seeds"] else ""
    return (
        f"# {title}\n\n{facts['date']}; {facts['processor']}, {facts['cores']} cores, "
        f"{facts['threads']} threads; Python {facts['python']}, {versions}{seeds}.\n"
    )
