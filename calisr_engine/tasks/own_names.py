"""What the names of files and data sets say: what they are for, and what their task is called.

Imports nothing heavy, so that settings can be read at once.
"""

from __future__ import annotations

import re
from pathlib import Path

from calisr_engine.tasks import glue

VALIDATION = ("validation", "valid", "val", "dev", "development", "eval")
"""What a split or a file is called that validates."""

WORDS = {
    "train": ("train", "training"),
    "validation": VALIDATION,
    "test": ("test", "testing", "predict"),
}
"""What the words of a file's name say."""


def use_of(file: Path) -> str:
    """train, validation, test, or "" where the name does not say."""
    words = re.split(r"[^a-z]+", file.stem.lower())
    found = [use for use, names in WORDS.items() if any(word in names for word in words)]
    return found[0] if len(found) == 1 else ""


def task_name(source: Path) -> str:
    """A name for the task of a file or data set: its own, or its folder's where it says only what
    it is for; never that of a task that ships."""
    stem = source.stem
    if use_of(source) and len(re.findall(r"[a-z]+", stem.lower())) == 1:
        stem = source.absolute().parent.name
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "own-data"
    return f"my-{name}" if glue.is_task(name) or glue.plain(name) == "demo" else name
