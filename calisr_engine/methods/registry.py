"""The methods by name. A method's folder registers itself when it is first asked for."""

from __future__ import annotations

import importlib

from calisr_engine.config.methods import ALL_SETTINGS
from calisr_engine.errors import NotFoundError
from calisr_engine.methods.base import Method

_HOMES = {
    "fft": "fft",
    "lora": "lora",
    "mpop": "mpop.method",
    "child_tuning_d": "child_tuning.data_driven",
    "child_tuning_f": "child_tuning.task_free",
    "mask_bert": "mask_bert",
    "bitfit": "bitfit",
    "adapter": "adapter",
    "prefix": "prefix",
    "diff_pruning": "diff_pruning",
}
"""Method name -> module below `calisr_engine.methods` that registers it."""

_registered: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Make `method` known under its name; called once at the end of its module."""
    if method.name in _registered:
        raise ValueError(f"method {method.name} is registered twice")
    _registered[method.name] = method
    return method


def available() -> list[str]:
    """Names of all methods, in the order of lists and forms. Imports none of them."""
    return [
        name
        for settings in ALL_SETTINGS
        if (name := settings.model_fields["name"].default) in _HOMES
    ]


def get(name: str) -> Method:
    """The method of that name.

    Raises:
        NotFoundError: there is none.
    """
    if name not in _HOMES:
        raise NotFoundError(f"there is no method {name!r}", f"methods: {', '.join(available())}")
    if name not in _registered:
        importlib.import_module(f"calisr_engine.methods.{_HOMES[name]}")
    return _registered[name]
