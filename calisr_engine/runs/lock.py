"""One training process a run directory: a file lock that a killed process gives back by itself."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from types import TracebackType
from typing import Any

from calisr_engine.errors import LockedError, RunFailedError
from calisr_engine.runs.layout import RunPaths


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
            descriptor = os.open(self._paths.lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunFailedError(
                f"the run directory cannot be written: {self._paths.root}: {error}"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            holder = holder_of(self._paths)
            who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
            raise LockedError(
                f"{self._paths.root} is being trained by {who}",
                f"follow it with: calisr watch {self._paths.root}",
            ) from error
        os.ftruncate(descriptor, 0)
        facts: dict[str, Any] = {"pid": os.getpid(), "host": self._host or socket.gethostname()}
        facts["since"] = time.time()
        os.write(descriptor, json.dumps(facts).encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(paths: RunPaths) -> bool:
    """Whether some process trains in this directory now."""
    try:
        descriptor = os.open(paths.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder_of(paths: RunPaths) -> dict[str, Any] | None:
    """Process id, host and start time of whoever holds the lock, as far as it can be read."""
    try:
        facts = json.loads(paths.lock.read_text())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and {"pid", "host"} <= facts.keys() else None
