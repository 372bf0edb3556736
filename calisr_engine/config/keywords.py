"""Settings that a Python program gives: keywords named after options, and dicts of settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calisr_engine.config.layering import dotted
from calisr_engine.config.options import OPTIONS
from calisr_engine.errors import ConfigError

KEYS = {
    **{option.lstrip("-").replace("-", "_"): key for key, option in OPTIONS.items()},
    "header": "task.header",  # an option of two names, --header and --no-header
}
"""Keyword -> setting; the keywords are the options of `calisr run`."""

_OPTION = re.compile(r"--([a-z][a-z-]*)(?: ([A-Z]{2,}))?")
_PATHS = ("data_dir", "output_dir", "train", "validation", "test")


def keyword_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords, and the settings in `settings`, as overrides by dotted key.

    Raises:
        ConfigError: there is no such keyword, or `settings` are no dict.
    """
    options = _flat(given.get("settings"))
    for name, value in given.items():
        if name == "settings" or value is None:
            continue
        if name not in KEYS:
            near = difflib.get_close_matches(name, [*KEYS, "settings"], n=1)
            hint = f"did you mean {near[0]}?" if near else "other settings stand in settings={...}"
            raise ConfigError(f"there is no keyword {name!r}", hint)
        path = name in _PATHS and isinstance(value, str)
        options[KEYS[name]] = Path(value) if path else _plain(value)
    return options


def by_keyword(text: str) -> str:
    """A text about options of the command line with their keywords: `label=...` for `--label`."""

    def keyword(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        return f"{name}={found[2] or '...'}" if name in KEYS else found[0]

    return _OPTION.sub(keyword, text)


def by_setting(text: str) -> str:
    """A text about options of the command line with the settings' keys: `task.label_column` for
    `--label`."""

    def key(found: re.Match[str]) -> str:
        return KEYS.get(found[1].replace("-", "_"), found[0])

    return _OPTION.sub(key, text)


def as_sets(settings: Mapping[str, Any] | None) -> list[str]:
    """Settings as the texts of `--set`.

    Raises:
        ConfigError: they are no dict.
    """
    return [f"{key}={_word(value)}" for key, value in _flat(settings).items()]


def _flat(given: object) -> dict[str, Any]:
    """Settings by dotted key."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"settings are a {type(given).__name__}, not a dict",
            'write them as {"training.epochs": 2}',
        )
    flat = dotted(given)
    for key in flat:
        if not isinstance(key, str):
            raise ConfigError(
                f"settings: {key!r} is no key", 'write them as {"training.epochs": 2}'
            )
    return {key: _plain(value) for key, value in flat.items()}


def _plain(value: Any) -> Any:
    """A number of numpy as Python's own."""
    is_number = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return value.item() if is_number else value


def _word(value: Any) -> str:
    """A value as the text of a `--set`."""
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
