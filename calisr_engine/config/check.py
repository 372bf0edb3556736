"""Is this a value of that setting? If not: what was expected, what was found, what to write."""

from __future__ import annotations

import math
import os
import re
from datetime import date, time
from pathlib import Path
from typing import Any

from calisr_engine.config.describe import FieldInfo
from calisr_engine.config.names import nearest

EMPTY_WORDS = ("none", "null")
"""What empties a setting that may be empty; TOML has no word of its own for it."""


def clean(info: FieldInfo, value: Any, folder: Path | None = None) -> Any:
    """The value as the run's config holds it: paths resolved, lists as tuples, `none` as None.

    Nothing is converted silently: "3", 3.5 and true are no whole numbers.

    Args:
        info: the setting.
        value: what a file, an option or a form gave.
        folder: what a relative path of the task is relative to; None for the current directory.

    Raises:
        ValueError: the message says what was expected, what was found, and what to write.
    """
    if info.optional and (value is None or _means_empty(value)):
        return None
    if info.kind == "path" and isinstance(value, Path):
        value = str(value)
    if info.kind == "flag":
        good: Any = value if isinstance(value, bool) else None
    elif info.kind == "int":
        good = value if isinstance(value, int) and not isinstance(value, bool) else None
    elif info.kind == "float":
        good = _number(value)
    elif info.kind == "list":
        good = tuple(value) if _is_list(info, value) else None
    else:
        good = value if isinstance(value, str) else None
    if good is None or not _inside(info, good):
        raise ValueError(f"expected {info.expects}, found {found(value)}{_mend(info, value)}")
    if info.kind == "path":
        return _path(info, good, folder)
    if info.key == "model.name" and good.startswith(("./", "../", "~")):
        return str(Path(folder or Path(), os.path.expanduser(good)).absolute())
    return good


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


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_list(info: FieldInfo, value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) >= info.min_length
        and all(isinstance(each, str) and each in info.choices for each in value)
        and len(set(value)) == len(value)
    )


def _inside(info: FieldInfo, value: Any) -> bool:
    if info.kind in ("int", "float"):
        low, high = info.minimum, info.maximum
        above = low is None or value > low or (value == low and not info.minimum_excluded)
        below = high is None or value < high or (value == high and not info.maximum_excluded)
        return above and below
    if info.kind == "choice":
        return value in info.choices
    if info.kind == "path":
        return bool(value.strip()) and "\0" not in value
    if info.kind == "text":
        matches = info.pattern is None or re.search(info.pattern, value) is not None
        printable = "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
        return (
            matches
            and printable
            and len(value.strip()) >= info.min_length
            and (info.pattern is None or "\n" not in value)
        )
    return True


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
                return f"; did you mean {_quoted(near)}?"
        if info.kind == "list" and isinstance(value, str) and value in info.choices:
            return f"; write [{_quoted(value)}]"
        return ""
    if isinstance(value, str) and info.kind in ("int", "float"):
        try:
            number = clean(info, float(value) if info.kind == "float" else int(value))
        except ValueError:
            return ""
        return f"; write {number} without quotes"
    if info.kind == "int" and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if info.kind == "flag" and value in (0, 1, "0", "1", "yes", "no", "on", "off"):
        return f"; write {'true' if value in (1, '1', 'yes', 'on') else 'false'}"
    if info.kind == "flag" and str(value).lower() in ("true", "false"):
        return f"; write {str(value).lower()} without quotes"
    if info.kind in ("text", "path") and isinstance(value, bool | int | float):
        return f"; write {_quoted(str(value).lower())}"
    return ""


def _path(info: FieldInfo, value: str, folder: Path | None) -> Path:
    path = Path(os.path.expanduser(value))
    return path if info.key == "output.dir" else Path(folder or Path(), path).absolute()


def _means_empty(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in EMPTY_WORDS


def _quoted(text: str) -> str:
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + '"'
