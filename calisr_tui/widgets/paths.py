"""A typed path that completes itself, and what folders hold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.suggester import Suggester
from textual.widgets import Input

MOST = 2000
"""Entries of one folder that are looked at."""


@dataclass(frozen=True)
class Wanted:
    """What a path may lead to.

    Attributes:
        endings: of the files; none where only folders do.
        words: that are no paths and do as well.
        marker: a file that shows a folder to be one of those that are wanted.
    """

    endings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    marker: str = ""


@dataclass(frozen=True)
class Entry:
    """One name in a folder.

    Attributes:
        size: in bytes; None for a folder.
    """

    name: str
    size: int | None

    @property
    def is_folder(self) -> bool:
        return self.size is None


def entries(folder: str, wanted: Wanted, hidden: bool = False) -> list[Entry]:
    """Folders, then files with a wanted ending, by name; at most `MOST` of all that is there.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    with os.scandir(folder or ".") as each_entry:
        for number, each in enumerate(each_entry):
            if number >= MOST:
                break
            if each.name.startswith(".") and not hidden:
                continue
            try:
                if each.is_dir():
                    found.append(Entry(each.name, None))
                elif each.name.lower().endswith(wanted.endings or ("\0",)) and each.is_file():
                    found.append(Entry(each.name, each.stat().st_size))
            except OSError:  # a link to nowhere
                continue
    return sorted(found, key=lambda each: (not each.is_folder, each.name.lower()))


def completions(typed: str, wanted: Wanted) -> list[str]:
    """Paths and words that begin with what was typed; folders end with a slash."""
    words = [each for each in wanted.words if each.startswith(typed)]
    start = typed.rpartition("/")[2]
    if wanted.words and not typed.startswith((".", "/", "~")):
        return words  # a plain name is rather one of the words
    prefix = typed[: len(typed) - len(start)]
    root = os.path.expanduser(prefix) if prefix else "."
    if typed == "~":
        return ["~/"]
    try:
        there = entries(root, wanted, hidden=start.startswith("."))
    except OSError:
        return words
    paths = [f"{prefix}{each.name}{'/' if each.is_folder else ''}" for each in there]
    return words + sorted(
        (path for path in paths if path.startswith(typed) and path != typed),
        key=lambda path: path.endswith("/") if wanted.endings else path,
    )


class PathSuggester(Suggester):
    """Proposes the first path that fits; reads folders in the background."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.wanted = wanted

    async def get_suggestion(self, value: str) -> str | None:
        found = await asyncio.to_thread(completions, value, self.wanted) if value else []
        return found[0] if found else None


class PathInput(Input):
    """A line for a path: Tab takes the proposal, or goes on where there is none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete the path", show=False, id="path.complete")
    ]

    def __init__(self, value: str, wanted: Wanted, placeholder: str) -> None:
        super().__init__(
            value,
            placeholder=placeholder,
            compact=True,
            select_on_focus=False,
            suggester=PathSuggester(wanted),
        )

    async def action_complete(self) -> None:
        # Asked again: what is shown may not have caught up with what was typed.
        assert self.suggester is not None
        proposed = await self.suggester.get_suggestion(self.value) if self.cursor_at_end else None
        if proposed:
            self.value = proposed
            self.cursor_position = len(proposed)
        else:
            self.screen.focus_next()


def matching(found: Sequence[Entry], typed: str) -> list[Entry]:
    """Those whose name has what was typed, whatever its case."""
    return [each for each in found if typed.lower() in each.name.lower()]
