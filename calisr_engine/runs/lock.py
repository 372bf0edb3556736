"""One training process a run directory: a file lock that a killed process gives back by itself.

Whoever trains holds it alone; whoever only asks takes a shared one for a moment, which needs no
right to write and does not stand in the way of others who ask. It could stand in the way of a
start, so a start that finds the lock taken looks again for a second before it gives up.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from types import TracebackType
from typing import Any

from calisr_engine.errors import LockedError, RunFailedError
from calisr_engine.runs.layout import RunPaths

PATIENCE_SECONDS = 1.0
LONGEST = 4096
"""Bytes of what a lock file says; more is none of ours."""

UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class RunLock:
    """Holds the lock of a run directory while in its `with` block.

    Args:
        host: where the run trains, if not on this machine.

    Raises (on entering):
        LockedError: another process holds it; the message names process and host.
    """

    def __init__(self, paths: RunPaths, host: str | None = None) -> None:
        self._paths = paths
        self._host = host
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        try:
            # A link could lead to a file of somebody else's.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._paths.lock, flags, 0o644)
        except OSError as error:
            raise RunFailedError(
                f"the run directory cannot be written: {self._paths.lock}: {error.strerror}",
                "make it writable; the lock must be a plain file, not a link",
            ) from error
        try:
            _take(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in UNSUPPORTED:
                raise RunFailedError(
                    f"{self._paths.root} lies on a file system without locks ({error.strerror}), "
                    "so two processes could train there at once",
                    "choose an output.dir on another file system",
                ) from error
            holder = holder_of(self._paths)
            who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
            raise LockedError(
                f"{self._paths.root} is being trained by {who}",
                f"follow it with: calisr watch {self._paths.root}",
            ) from error
        self._descriptor = descriptor
        facts: dict[str, Any] = {"pid": os.getpid(), "host": self._host or socket.gethostname()}
        facts["since"] = time.time()
        with contextlib.suppress(OSError):  # on a full disk nobody can read who holds it
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(facts).encode())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def _take(descriptor: int) -> None:
    """Lock the file alone; those who only ask hold it for moments."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def is_locked(paths: RunPaths) -> bool:
    """Whether some process trains in this directory now. Needs only the right to read."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks on this file system: nobody can train here
        return False
    finally:
        os.close(descriptor)
    return False


def holder_of(paths: RunPaths) -> dict[str, Any] | None:
    """Process id, host and start time of whoever holds the lock, as far as it can be read."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        facts = json.loads(os.read(descriptor, LONGEST))
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)
    return facts if isinstance(facts, dict) and {"pid", "host"} <= facts.keys() else None
