"""Which of many alike parameters the quick tests keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def quick_where(values: Iterable[Any], kept: Callable[[Any], bool]) -> list[Any]:
    """All values, those not `kept` marked as slow; a tuple holds those of several names."""
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=() if kept(value) else pytest.mark.slow,
        )
        for value in values
    ]
