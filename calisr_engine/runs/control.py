"""Requests to a run's training process, as small files in its control/ folder."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calisr_engine.errors import ConfigError
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.whole import storage_error, write_text

LARGEST = 64 * 1024
"""Bytes of a request at most."""

KINDS = (
    "pause",
    "resume",
    "stop",
    "stop_and_save",
    "end_early",
    "evaluate",
    "checkpoint",
    "switch",
)


@dataclass(frozen=True)
class Request:
    """One request: `kind` of KINDS, and its arguments (switch: `group`)."""

    kind: str
    args: dict[str, Any] = field(default_factory=dict)


def request(run_dir: Path, kind: str, **args: Any) -> None:
    """Ask the process that trains `run_dir` for something; it obeys at its next step.

    Raises:
        ConfigError: there is no such kind of request.
        StorageError: the folder cannot be written.
    """
    if kind not in KINDS:
        raise ConfigError(f"no request {kind!r}", f"requests: {', '.join(KINDS)}")
    folder = RunPaths(run_dir).control
    name = f"{time.time_ns():020d}-{os.getpid()}"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise storage_error(folder, "the request", error) from error
    write_text(folder / f"{name}.json", json.dumps({"kind": kind, "args": args}), "the request")


def take_requests(run_dir: Path) -> tuple[list[Request], list[str]]:
    """(all waiting requests, oldest first; names of entries that are none).

    A file that is no request is removed; what is no small plain file is left where it is. So is a
    request that cannot be removed: it would be obeyed again and again.
    """
    folder = RunPaths(run_dir).control
    taken: list[Request] = []
    odd: list[str] = []
    for name in _waiting(folder):
        found = _read(folder / name)
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError:
            found = None
        if found is None:
            odd.append(name)
        else:
            taken.append(found)
    return taken, odd


def forget_requests(run_dir: Path, before: float) -> None:
    """Remove requests made before the Unix time `before`: they were for an earlier process.

    A run that was asked to stop when nobody trained it would otherwise stop at once when resumed.
    """
    folder = RunPaths(run_dir).control
    for name in _waiting(folder):
        made = name.partition("-")[0]
        if made.isdigit() and int(made) < before * 1e9:
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)


def _waiting(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return []


def _read(path: Path) -> Request | None:
    """The request in a file; None for anything else, which may be a folder, a pipe or huge."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            content = json.loads(file.read(LARGEST))
        found = Request(content["kind"], dict(content.get("args", {})))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if found.kind in KINDS else None
