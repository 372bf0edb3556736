"""Values as the settings' models take them, and in words what a model refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from calisr_engine.config.describe import FieldInfo
from calisr_engine.config.names import nearest
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import Problem
from calisr_engine.settings import RULE, Reading

EMPTY_WORDS = ("none", "null")
"""What empties a setting that may be empty; TOML has no word of its own for it."""


def clean(info: FieldInfo, value: Any, folder: Path | None = None) -> Any:
    """The value as the run's config holds it: paths resolved, lists as tuples, `none` as None.

    Args:
        info: the setting.
        value: what a file, an option or a form gave.
        folder: what a relative path of the task is relative to; None for the current directory.

    Raises:
        ValidationError: the setting does not take this value; `problems` says why.
    """
    if info.optional and (value is None or _means_empty(value)):
        return None
    name = info.key.rpartition(".")[2]
    reading = Reading(folder or Path())
    if info.key == "method.name":  # it says which model checks the rest
        run = RunConfig.model_validate({"method": {name: value}}, context=reading)
        return run.method.name
    return getattr(info.model.model_validate({name: value}, context=reading), name)


def problems(
    error: ValidationError, info: FieldInfo | None = None, value: Any = None
) -> list[Problem]:
    """What pydantic refused, in words and with its keys; nobody else reads its errors.

    Args:
        error: from one setting, or from a whole run whose settings are right one by one.
        info, value: the one setting and what was given for it; it gets one problem.
    """
    told: list[Problem] = []
    for line in error.errors(include_url=False):
        section = str(line["loc"][0]) if line["loc"] else ""
        context = line.get("ctx", {})
        if line["type"] == RULE:
            keys = tuple(f"{section}.{key}" if section else key for key in context["keys"])
            told.append(Problem(context["message"], context["mend"], keys))
        elif info is None or line["type"] == "value_error":  # a validator that knows no keys
            message = str(context.get("error", line["msg"]))
            told.append(Problem(message, keys=(section,) if section else ()))
    if info is None:
        return told
    if told:
        return [replace(told[0], keys=(info.key,))]
    message = f"expected {info.expects}, found {found(value)}"
    return [Problem(message, _mend(info, value), (info.key,))]


def found(value: Any) -> str:
    """A value as an error shows it: its TOML spelling, shortened, and its type where that helps."""
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."
        return f"{_quoted(shown)} (text)"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, date | time):
        return f"{value} (a date or time)"
    if isinstance(value, int):
        text = str(value) if abs(value) < 10**30 else "a huge number"
        return text
    return repr(value) if isinstance(value, float) else f"a {type(value).__name__}"


def _mend(info: FieldInfo, value: Any) -> str:
    if info.kind in ("choice", "list"):
        given = [value] if isinstance(value, str) else value
        wrong = (
            [each for each in given if isinstance(each, str) and each not in info.choices]
            if (isinstance(given, list | tuple))
            else []
        )
        for word in wrong:
            near = nearest(word, info.choices)
            if near:
                return f"did you mean {_quoted(near)}?"
        if info.kind == "list" and isinstance(value, str) and value in info.choices:
            return f"write [{_quoted(value)}]"
        return ""
    if isinstance(value, str) and info.kind in ("int", "float"):
        try:
            number = clean(info, float(value) if info.kind == "float" else int(value))
        except ValueError:
            return ""
        return f"write {number} without quotes"
    if info.kind == "int" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if info.kind == "flag" and value in (0, 1, "0", "1", "yes", "no", "on", "off"):
        return f"write {'true' if value in (1, '1', 'yes', 'on') else 'false'}"
    if info.kind == "flag" and str(value).lower() in ("true", "false"):
        return f"write {str(value).lower()} without quotes"
    if info.kind in ("text", "path") and isinstance(value, bool | int | float):
        return f"write {_quoted(str(value).lower())}"
    return ""


def _means_empty(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in EMPTY_WORDS


def _quoted(text: str) -> str:
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + '"'
