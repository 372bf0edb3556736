"""The torch half of each regulariser, imported when it is first asked for."""

from __future__ import annotations

import importlib
from functools import cache

from calisr_engine.methods.catalog import only_class
from calisr_engine.regularizers.base import Regularizer


@cache
def get(name: str) -> Regularizer:
    """The regulariser of that name: the subclass of `Regularizer` in its `regularizer.py`."""
    module = importlib.import_module(f"calisr_engine.regularizers.{name}.regularizer")
    found: Regularizer = only_class(module, Regularizer)()
    return found
