"""Settings as text: resolved TOML with origins, the least TOML, and the `calisr run` line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from calisr_engine.config.describe import SECTION_NAMES, all_fields, by_key
from calisr_engine.config.options import OPTIONS, OWN_DATA, parse_value
from calisr_engine.config.schema import RunConfig
from calisr_engine.config.toml_file import OF_A_RUN
from calisr_engine.methods.fft.settings import FullFineTuning
from calisr_engine.plain_words import one_line

_OPTIONS_IN_COMMANDS = tuple(key for key in OPTIONS if key == "task.name" or key not in OWN_DATA)


def flat(config: RunConfig) -> dict[str, Any]:
    """Every setting by dotted key, in the order of the file."""
    values: dict[str, Any] = {}
    for info in all_fields(config.method.name):
        section, _, name = info.key.rpartition(".")
        values[info.key] = getattr(getattr(config, section) if section else config, name)
    return values


def toml_value(value: Any) -> str:
    """One value as TOML on one line; `"none"` for None."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    return tomli_w.dumps({"x": str(value)}).removeprefix("x = ").rstrip("\n")


def resolved_toml(config: RunConfig, origins: Mapping[str, str]) -> str:
    """Every setting, each with where it came from; loads to the same config.

    Settings that are empty by default and left so appear as comments, as TOML has no null.
    """
    defaults = by_key(config.method.name)
    lines = [OF_A_RUN]
    section = ""
    for key, value in flat(config).items():
        here, _, name = key.rpartition(".")
        if here != section:
            section = here
            lines += ["", f"[{section}]"]
        if value is None and defaults[key].default is None:
            text = f"# {name} is none"
        else:
            text = f"{name} = {toml_value(value)}"
        lines.append(f"{text:<42} # {one_line(origins.get(key, 'default'))}")
    return "\n".join(lines) + "\n"


_SETTING = re.compile(r"(?:# )?(?P<name>\w+) (?:= |is none).*?  *# (?P<origin>[^#]*)$")


def origins_of(text: str) -> dict[str, str]:
    """Where each setting of a `resolved_toml` came from, by dotted key."""
    origins: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif found := _SETTING.fullmatch(line):
            key = f"{section}.{found['name']}" if section else found["name"]
            origins[key] = found["origin"].strip()
    return origins


def minimal_toml(config: RunConfig, title: str = "") -> str:
    """Only what differs from the defaults (of the chosen method): a preset, or a look at a run.

    The rate is always there: it makes the file a recipe, beneath which nothing is fitted.

    Args:
        title: first line, as a comment, which `calisr presets` shows.
    """
    lines = [f"# {one_line(title)}"] if title else []
    start = _defaults(config)
    del start["training.learning_rate"]
    changed = _differences(config, start)
    if "notes" in changed:
        lines.append(f"notes = {toml_value(changed.pop('notes'))}")
    for section in SECTION_NAMES:
        own = {key: value for key, value in changed.items() if key.startswith(f"{section}.")}
        if own:
            lines += [""] if lines else []
            lines.append(f"[{section}]")
            lines += [f"{key.partition('.')[2]} = {toml_value(own[key])}" for key in own]
    return "\n".join(lines) + "\n" if lines else ""


def command_words(
    config: RunConfig, base: str, start: Mapping[str, Any], without: Collection[str] = ()
) -> list[str]:
    """What follows `calisr run` in the line that makes this config.

    Args:
        base: preset or file to start from; "" for none.
        start: what a run has from there, by dotted key; what is left out there is named.
        without: settings that are not named in any case.
    """
    words = [base] if base else []
    changed = {k: v for k, v in _differences(config, start).items() if k not in without}
    for key in (*(OWN_DATA if config.task.is_own else ()), *_OPTIONS_IN_COMMANDS):
        value = changed.get(key)
        if isinstance(value, tuple):
            value = _in_words(key, value)
        if value is not None and not str(value).startswith("-"):
            words += [OPTIONS[key], str(value)]
            changed.pop(key)
    for key, value in changed.items():
        words += ["--set", f"{key}={_set_value(key, value)}"]
    return words


def _defaults(config: RunConfig) -> dict[str, Any]:
    """What a run has without files, but for the settings of its method."""
    defaults = {info.key: info.default for info in all_fields(config.method.name)}
    return {**defaults, "method.name": FullFineTuning.model_fields["name"].default}


def _differences(config: RunConfig, start: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in flat(config).items() if key not in start or start[key] != value
    }


def _in_words(key: str, value: tuple[str, ...]) -> str | None:
    """A list with neither brackets nor quotes; None where it would be read as another one."""
    text = ",".join(value)
    return text if parse_value(key, text.strip()) == list(value) else None


def _set_value(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return _in_words(key, value) or toml_value(value)
    if isinstance(value, str | Path):
        text = str(value)
        return text if parse_value(key, text.strip()) == text else toml_value(text)
    return toml_value(value)
