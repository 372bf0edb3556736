"""Which trackers are installed here. Imports nothing heavy."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from calisr_engine.errors import UnavailableError


def missing(names: Sequence[str]) -> list[str]:
    """Those whose package is not installed; a tracker is named as its package."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def pip_line(names: Sequence[str]) -> str:
    """What installs them."""
    return f"pip install 'calisr[{','.join(names)}]'"


def check_installed(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed, before a run is made.

    Raises:
        UnavailableError: with the line that installs them.
    """
    lacking = missing(names)
    if lacking:
        raise UnavailableError(
            f"output.trackers: {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not "
            "installed",
            f"install with: {pip_line(lacking)}, or take the name out of output.trackers",
        )
