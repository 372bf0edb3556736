"""The torch half of each method, imported when it is first asked for."""

from __future__ import annotations

import importlib
from functools import cache

from calisr_engine.errors import NotFoundError
from calisr_engine.methods.base import Method
from calisr_engine.methods.catalog import METHODS, only_class


@cache
def get(name: str) -> Method:
    """The method of that name: the subclass of `Method` in its folder's `method.py`.

    Raises:
        NotFoundError: there is none.
    """
    if name not in METHODS:
        raise NotFoundError(f"there is no method {name!r}", f"methods: {', '.join(METHODS)}")
    module = importlib.import_module(f"calisr_engine.methods.{name}.method")
    found: Method = only_class(module, Method)()
    return found
