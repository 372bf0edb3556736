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
from typing import Any, BinaryIO

from calisr_engine.events.decode import envelopes, parse
from calisr_engine.events.types import FORMAT_VERSION, LARGEST, Event
from calisr_engine.storage.plain import open_plain
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

BLOCK = 1 << 16
"""Bytes that a reader takes at once."""

LONGEST_LINE = 1 << 24
"""Bytes; a line of ours is far shorter."""


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
        problem: why it could not be read when it was last looked at ("" if it could).
        replaced: whether it was another file than before, so that reading began anew.
        offset: bytes that were read; what follows is no whole line yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.garbage = 0
        self.vanished = False
        self.problem = ""
        self.replaced = False
        self.offset = 0
        self._inode: int | None = None

    def poll(self) -> tuple[list[dict[str, Any]], bool]:
        """(new records, whether the log was replaced so that reading began anew)."""
        records = list(self.stream())
        return records, self.replaced

    def stream(self) -> Iterator[dict[str, Any]]:
        """New records, one at a time, so that a long log is never in memory whole.

        `replaced`, `vanished` and `problem` hold once the first was asked for.
        """
        for block in self.blocks():
            end = self.offset
            self.offset -= len(block)
            for line in _lines(block):
                self.offset += len(line)
                record = parse(line)
                if record is None:
                    self.garbage += 1
                else:
                    yield record
            self.offset = end

    def blocks(self) -> Iterator[bytes]:
        """New whole lines, about BLOCK bytes of them at a time; else as `stream`.

        A line that is longer than LONGEST_LINE is passed over, as garbage.
        """
        self.replaced = False
        try:
            with open_plain(self.path) as file:
                self._look_at(os.fstat(file.fileno()))
                file.seek(self.offset)
                yield from self._read(file)
        except FileNotFoundError:
            self.vanished = not os.path.lexists(self.path)
            self.problem = "it is gone" if self.vanished else "it is a link that leads nowhere"
        except OSError as error:
            self.problem = f"it cannot be read: {error.strerror or error}"

    def _look_at(self, status: os.stat_result) -> None:
        self.replaced = self._inode is not None and (
            status.st_ino != self._inode or status.st_size < self.offset
        )
        if self.replaced:
            self.offset, self.garbage = 0, 0
        self._inode = status.st_ino
        self.vanished, self.problem = False, ""

    def _read(self, file: BinaryIO) -> Iterator[bytes]:
        begun = b""
        passing_over = 0
        while data := file.read(BLOCK):
            end = data.rfind(b"\n") + 1
            if passing_over:
                first = data.find(b"\n") + 1
                passing_over += first or len(data)
                if not first:
                    continue
                self.offset += passing_over
                self.garbage += 1
                data, end, passing_over = data[first:], end - first, 0
            if end:
                self.offset += len(begun) + end
                yield begun + data[:end]
                begun = data[end:]
            else:
                begun += data
            if len(begun) > LONGEST_LINE:
                begun, passing_over = b"", len(begun)
        if passing_over:
            self.problem = f"its last line does not end within {passing_over:,} bytes"


def _lines(block: bytes) -> list[bytes]:
    """The lines of a block that ends with one; a carriage return ends none."""
    return [line + b"\n" for line in block.split(b"\n")[:-1]]


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """All whole records of a log, in order; garbage is skipped."""
    return EventReader(path).stream()


def last_attempt(path: Path) -> int:
    """The highest attempt in a log; 0 where no process has trained yet."""
    lines = (line for block in EventReader(path).blocks() for line in envelopes(block))
    found = max((line.attempt for line in lines if line is not None), default=0)
    return min(found, LARGEST - 1)


def _repair(path: Path) -> int:
    """Cut off an unterminated last line; returns the next sequence number."""
    if not os.path.lexists(path):
        return 0
    reader = EventReader(path)
    following = 0
    for block in reader.blocks():
        for line in envelopes(block):
            following = following if line is None else line.seq + 1
    try:
        with open_plain(path, os.O_RDWR) as file:
            file.truncate(reader.offset)
    except FileNotFoundError:
        pass  # a link that leads nowhere yet
    except OSError as error:
        raise storage_error(path, "the event log", error) from error
    return min(following, LARGEST)


def _plain(value: Any) -> Any:
    """JSON values only; floats that are not finite become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
