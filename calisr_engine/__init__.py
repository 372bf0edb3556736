"""CaliSr's engine: calibrated fine-tuning of text encoders, run directories and their event log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calisr_engine.version import __version__

if TYPE_CHECKING:
    from calisr_engine.api import Run, start, train

__all__ = ["Run", "__version__", "start", "train"]


def __getattr__(name: str) -> Any:
    """The names of `calisr_engine.api`, loaded when they are asked for."""
    if name not in ("Run", "start", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from calisr_engine import api

    return getattr(api, name)
