"""The one reader of TOML: a file, whatever is wrong with it, with the line of each key."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli

from calisr_engine.errors import ConfigError, Place, Problem
from calisr_engine.plain_words import command, one_line

OF_A_RUN = "# The settings of one run, each with where it came from."
"""First line of a run's config.toml, which has every setting."""

MAX_BYTES = 1_000_000
"""A config file is a few kilobytes; more is some other file given by mistake."""

_PART = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")
_BARE_VALUE = re.compile(r"^\s*[\w.\"'-]+\s*=\s*([A-Za-z][\w./:+-]*)\s*(?:#.*)?$")


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        shown: the path as errors show it.
        data: the tables.
        lines: line of each dotted key and of each section header, from 1.
        of_a_run: it is what a run wrote.
    """

    shown: str
    data: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)
    of_a_run: bool = False


def read(path: Path) -> Document:
    """Read and parse one file; a byte-order mark and an empty file are fine.

    Raises:
        ConfigError: one problem that says what is wrong with the file, where, and how to mend it.
    """
    shown = show(path)
    text = _text(path, shown)
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise _bad_toml(shown, text, error) from None
    except RecursionError:
        raise _problem(shown, "is nested too deeply", "a config has sections and keys") from None
    except ValueError as error:  # such as a number of more digits than Python reads
        reason = str(error)
        if "integer string conversion" in reason:
            reason = "a number has thousands of digits"
        raise _problem(shown, f"is not valid TOML: {reason}", "shorten that value") from None
    return Document(shown, data, key_lines(text), text.startswith(OF_A_RUN))


def value_of(text: str) -> Any:
    """One value as it stands behind `=`.

    Raises:
        ValueError: it is no TOML value.
    """
    try:
        data = tomli.loads(f"x = {text}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if list(data) != ["x"]:
        raise ValueError("more than one value")
    return data["x"]


def show(path: Path) -> str:
    """A path as errors and origins show it: one line, relative where that is shorter."""
    text = str(path)
    if path.is_absolute():
        try:
            relative = os.path.relpath(text)
        except (ValueError, OSError):
            relative = text
        text = relative if not relative.startswith("..") else text
    return one_line(text)


def toml_names(folder: Path) -> list[str]:
    """The TOML files of a folder, for suggestions; none where it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".toml"))
    except (OSError, ValueError):
        return []


def key_lines(text: str) -> dict[str, int]:
    """Line of each key and section header of a TOML text, as far as a scan by line can tell."""
    found: dict[str, int] = {}
    section = ""
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if fence:
            fence = "" if line.count(fence) % 2 else fence
            continue
        header, key = _HEADER.match(line), _KEY.match(line)
        if header and not key:
            section = _plain(header[1])
            found.setdefault(section, number)
        elif key:
            name = _plain(key[1])
            found.setdefault(f"{section}.{name}" if section else name, number)
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                fence = mark
    return found


def _plain(dotted: str) -> str:
    return ".".join(part.strip("\"'") for part in re.findall(_PART, dotted))


def _text(path: Path, shown: str) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _problem(shown, *_directory(path, shown))
        if not stat.S_ISREG(mode):
            raise _problem(shown, "is not an ordinary file", "give a TOML file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _problem(shown, "there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message, mend = f"cannot be read: {reason}", "check the path and its rights"
        raise _problem(shown, message, mend) from None
    if len(raw) > MAX_BYTES:
        message = "is larger than 1 MB, so it is no config file"
        raise _problem(shown, message, "give a TOML file")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _problem(shown, "is UTF-16 text", "save it as UTF-8")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte 0x{raw[error.start]:02x})"
        raise _problem(shown, message, "save the file as UTF-8", line) from None


def _directory(path: Path, shown: str) -> tuple[str, str]:
    if (path / "config.toml").is_file():
        return "is a directory, not a config file", (
            f"to go on with that run: {command('resume', Path(shown))}; "
            f"to start anew with its settings: {command('run', Path(shown, 'config.toml'))}"
        )
    return "is a directory", "give a TOML file inside it"


def _bad_toml(shown: str, text: str, error: tomli.TOMLDecodeError) -> ConfigError:
    lines = text.split("\n")
    line = lines[error.lineno - 1] if error.lineno <= len(lines) else ""
    bare = _BARE_VALUE.match(line)
    if bare and error.msg == "Invalid value":
        word = bare[1]
        right = word.lower() if word.lower() in {"true", "false"} else f'"{word}"'
        found = f"{word} is no TOML value", f"write {right}"
    elif error.msg == "Invalid value" and line.rstrip().endswith("="):
        found = "a value is missing after =", ""
    elif error.msg == "Cannot overwrite a value":
        found = "this key is set twice", "remove one"
    elif error.msg.startswith("Cannot declare"):
        found = "this section appears twice", "merge the two"
    else:
        found = f"{error.msg[:1].lower()}{error.msg[1:]}", f"found {one_line(line.strip())!r}"
    message = f"column {error.colno}: is not valid TOML: {found[0]}"
    return _problem(shown, message, found[1], error.lineno)


def _problem(shown: str, message: str, mend: str = "", line: int | None = None) -> ConfigError:
    place = Place(shown, line)
    return ConfigError(f"{place}: {message}", problems=[Problem(message, mend, place=place)])
