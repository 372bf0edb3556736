"""What somebody says about a run: its name, notes, tags and pin. None of it is part of the run.

It stands in `about.json` of the run directory, beside the log. Nothing that trains reads it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from calisr_engine.errors import ConfigError, DamagedError
from calisr_engine.plain_words import quoted
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import write_text

LONGEST_NAME, LONGEST_TAG, LONGEST_NOTES, MOST_TAGS = 80, 40, 4000, 32
"""Characters of a name, a tag and the notes; tags of a run."""
LARGEST = 1 << 16
"""Bytes of the file."""

_TAG = re.compile(r"[^\s,\"=<>:!-][^\s,\"=<>:!]*")


@dataclass(frozen=True)
class About:
    """Attributes: name: beside the id; tags: words without spaces and commas, each once."""

    name: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False


def read_about(run_dir: Path) -> About:
    """What is said about a run; nothing where there is no file.

    Raises:
        DamagedError: the file is none of ours.
    """
    path = RunPaths(run_dir).about
    try:
        said = read_json(path, LARGEST)
        return _checked(
            About(
                **_of(said, name=str, notes=str, pinned=bool),
                tags=tuple(_of(said, tags=list).get("tags", ())),
            )
        )
    except FileNotFoundError:
        return About()
    except (OSError, ValueError, TypeError, ConfigError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        raise DamagedError(f"{path} cannot be used: {reason}", "mend or delete it") from error


def write_about(run_dir: Path, about: About) -> None:
    """Put down what is said about a run, whole or not at all; nothing said leaves no file.

    Raises:
        ConfigError: a name, a tag or the notes cannot be used.
        StorageError: the file cannot be written.
    """
    path = RunPaths(run_dir).about
    about = _checked(about)
    if about == About():
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return
    write_text(path, json.dumps(asdict(about), indent=1) + "\n", "what is said about the run")


def retagged(about: About, words: Iterable[str]) -> About:
    """With tags added ("x", "+x") and taken away ("-x"), in order.

    Raises:
        ConfigError: a word cannot be a tag.
    """
    tags = dict.fromkeys(about.tags)
    for word in words:
        tag = word.removeprefix("-").removeprefix("+")
        if word.startswith("-"):
            tags.pop(tag, None)
        else:
            tags[tag] = None
    return _checked(replace(about, tags=tuple(tags)))


def _of(said: dict[str, Any], **kinds: type) -> dict[str, Any]:
    """The named fields that are there.

    Raises:
        TypeError: one is of another type.
    """
    for name, kind in kinds.items():
        if name in said and type(said[name]) is not kind:
            raise TypeError(f"{name} is no {kind.__name__}")
    return {name: said[name] for name in kinds if name in said}


def _checked(about: About) -> About:
    for tag in about.tags:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag) or len(tag) > LONGEST_TAG:
            raise ConfigError(
                f"{quoted(str(tag))} cannot be a tag",
                f"a tag is a word of at most {LONGEST_TAG} characters, without spaces and "
                'without , " = < > : ! and does not begin with -',
            )
    if len(about.tags) > MOST_TAGS:
        raise ConfigError(f"a run has at most {MOST_TAGS} tags, not {len(about.tags)}")
    name = " ".join(about.name.split())
    for what, text, most in (("name", name, LONGEST_NAME), ("notes", about.notes, LONGEST_NOTES)):
        if len(text) > most:
            raise ConfigError(f"the {what} of a run has at most {most} characters, not {len(text)}")
    # JSON holds no half of a character pair, such as an odd file name gives.
    name, notes = (each.encode(errors="replace").decode() for each in (name, about.notes.strip()))
    return replace(about, name=name, notes=notes)
