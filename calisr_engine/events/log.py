"""Writing and reading events.jsonl: one JSON object a line, one write a line, history kept.

Floats that are not finite become null: the log stays standard JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from calisr_engine.events.types import FORMAT_VERSION, Event
from calisr_engine.storage.whole import storage_error

SYNCED = frozenset(
    {
        "run_created",
        "run_started",
        "srs_evaluated",
        "group_switched",
        "evaluated",
        "checkpoint_saved",
        "paused",
        "resumed",
        "stopped",
        "settings_changed",
        "failed",
        "completed",
    }
)
"""Types after which the log is synced to disk."""


class EventWriter:
    """Appends events to a log; repairs an unterminated last line when it opens.

    Safe to use from several threads of one process.

    Attributes:
        listener: called with each record after it was written; must not raise. None for nobody.
    """

    def __init__(self, path: Path, attempt: int) -> None:
        self.path = path
        self.attempt = attempt
        self.last_step = 0
        self.listener: Callable[[dict[str, Any]], None] | None = None
        self._lock = threading.Lock()
        self._torn_at: int | None = None  # where a line begins that is not whole, or not yet
        self._seq = _repair(path)
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_error(path, "the event log", error) from error

    def write(self, step: int, event: Event) -> None:
        """Append one event.

        Raises:
            StorageError: the disk is full or the file cannot be written; the log is as it was.
        """
        fields = _plain(dataclasses.asdict(event))
        with self._lock:
            record = {
                "v": FORMAT_VERSION,
                "seq": self._seq,
                "attempt": self.attempt,
                "time": round(time.time(), 3),
                "step": step,
                "type": event.type,
                **fields,
            }
            line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
            self._append(line, synced=event.type in SYNCED)
            self._seq += 1
            self.last_step = step
        if self.listener is not None:
            self.listener(record)

    def _append(self, line: bytes, synced: bool) -> None:
        """Write a line whole, or leave the log as it was: the next one must not stand behind a
        fragment, nor bear the number of one that stands there though its sync failed."""
        try:
            if self._torn_at is None:
                self._torn_at = os.fstat(self._descriptor).st_size
            else:
                os.ftruncate(self._descriptor, self._torn_at)
            if os.write(self._descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if synced:
                os.fsync(self._descriptor)
        except OSError as error:
            if self._torn_at is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._torn_at)
                    self._torn_at = None
            hint = "then `calisr resume` the run"
            raise storage_error(self.path, "the event log", error, hint) from error
        self._torn_at = None

    @property
    def in_place(self) -> bool:
        """Whether the path still names the file that is written to."""
        try:
            there, own = os.stat(self.path), os.fstat(self._descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    @property
    def is_empty(self) -> bool:
        """Whether the log holds no event yet."""
        return self._seq == 0

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what must not be lost was synced
            os.close(self._descriptor)

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class EventReader:
    """Reads what is new in a log.

    Attributes:
        garbage: lines that were no event records.
        vanished: whether the file was missing when it was last looked at.
        replaced: whether it was another file than before, so that reading began anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.garbage = 0
        self.vanished = False
        self.replaced = False
        self._offset = 0
        self._inode: int | None = None

    def poll(self) -> tuple[list[dict[str, Any]], bool]:
        """(new records, whether the log was replaced so that reading began anew)."""
        records = list(self.stream())
        return records, self.replaced

    def stream(self) -> Iterator[dict[str, Any]]:
        """New records, one at a time, so that a long log is never in memory whole.

        `replaced` and `vanished` hold once the first was asked for.
        """
        self.replaced = False
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                self.replaced = self._inode is not None and (
                    status.st_ino != self._inode or status.st_size < self._offset
                )
                if self.replaced:
                    self._offset, self.garbage = 0, 0
                self._inode = status.st_ino
                self.vanished = False
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    self._offset += len(line)
                    record = parse(line)
                    if record is None:
                        self.garbage += 1
                    else:
                        yield record
        except OSError:
            self.vanished = True


def parse(line: bytes) -> dict[str, Any] | None:
    """One line as a record, or None where it is not one."""
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    if type(record) is not dict:
        return None
    get = record.get
    whole = type(get("seq")) is type(get("attempt")) is type(get("step")) is int
    return record if whole and type(get("type")) is str else None


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """All whole records of a log, in order; garbage is skipped."""
    return EventReader(path).stream()


def last_attempt(path: Path) -> int:
    """The highest attempt in a log; 0 where no process has trained yet."""
    return max((record["attempt"] for record in read_records(path)), default=0)


def _repair(path: Path) -> int:
    """Cut off an unterminated last line; returns the next sequence number."""
    try:
        with path.open("r+b") as file:
            end = 0
            following = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                record = parse(line)
                following = following if record is None else int(record["seq"]) + 1
            file.truncate(end)
            return following
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise storage_error(path, "the event log", error) from error


def _plain(value: Any) -> Any:
    """JSON values only; floats that are not finite become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
