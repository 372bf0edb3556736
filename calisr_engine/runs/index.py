"""The index beside run directories: their history lines, so that unchanged logs are not read.

It is a cache and no more: what is damaged, out of date or of another version is made anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from calisr_engine.errors import StorageError
from calisr_engine.events.decode import MALFORMED
from calisr_engine.storage.plain import read_plain
from calisr_engine.storage.whole import write_text

INDEX = ".calisr-index.json"
LARGEST_INDEX = 1 << 26
"""Bytes: many ten thousands of runs."""

T = TypeVar("T")
Key = tuple[int, int, int]
"""When a log was changed last (nanoseconds), its size, and when what is said about the run was."""


class _Entry(msgspec.Struct, Generic[T]):
    key: Key
    summary: T


class _Content(msgspec.Struct, Generic[T]):
    version: Literal[5]
    runs: dict[str, _Entry[T]]


class Index(Generic[T]):
    """The index of a folder of runs: its file is read once, and written when asked.

    Args:
        kind: class of the history lines.
    """

    def __init__(self, root: Path, kind: type[T]) -> None:
        self._path = root / INDEX
        self._entries: dict[str, _Entry[T]] = {}
        self._changed = False
        form: Any = _Content[kind]  # type: ignore[valid-type]
        with contextlib.suppress(OSError, *MALFORMED):
            self._entries = msgspec.json.decode(
                read_plain(self._path, LARGEST_INDEX), type=form
            ).runs

    def get(self, run_id: str, key: Key) -> T | None:
        """The history line of a log that has not changed since; None for any other."""
        entry = self._entries.get(run_id)
        return entry.summary if entry is not None and entry.key == key else None

    def put(self, run_id: str, key: Key, summary: T) -> None:
        """Take in a history line; what JSON cannot hold is read anew each time."""
        before = self._entries.get(run_id)
        if before is not None and before.summary is summary and before.key == key:
            return
        entry = _Entry(key, summary)
        if entry != before and (run_id.isascii() or _is_utf8(run_id)):
            self._entries[run_id] = entry
            self._changed = True

    def keep(self, run_ids: Collection[str]) -> None:
        """Forget all other runs."""
        for gone in self._entries.keys() - run_ids:
            del self._entries[gone]
            self._changed = True

    def write(self) -> None:
        """Write the file if something changed; a read-only folder goes without one."""
        if self._changed:
            self._changed = False
            text = msgspec.json.encode(_Content(version=5, runs=self._entries)).decode()
            with contextlib.suppress(StorageError):
                write_text(self._path, text, "the index of the runs")


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in name)
