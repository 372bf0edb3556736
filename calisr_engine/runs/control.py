"""Requests to a run's training process, as small files in its control/ folder."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.runs.layout import RunPaths

KINDS = ("pause", "resume", "stop", "stop_and_save", "evaluate", "checkpoint", "switch")


@dataclass(frozen=True)
class Request:
    """One request: `kind` of KINDS, and its arguments (switch: `group`)."""

    kind: str
    args: dict[str, Any] = field(default_factory=dict)


def request(run_dir: Path, kind: str, **args: Any) -> None:
    """Ask the process that trains `run_dir` for something; it obeys at its next step.

    Raises:
        ConfigError: there is no such kind of request.
        CalisrError: the folder cannot be written.
    """
    if kind not in KINDS:
        raise ConfigError(f"no request {kind!r}", f"requests: {', '.join(KINDS)}")
    folder = RunPaths(run_dir).control
    name = f"{time.time_ns():020d}-{os.getpid()}"
    try:
        folder.mkdir(exist_ok=True)
        part = folder / f"{name}.tmp"
        part.write_text(json.dumps({"kind": kind, "args": args}))
        part.rename(folder / f"{name}.json")
    except OSError as error:
        raise CalisrError(f"the request could not be written: {folder}: {error}") from error


def take_requests(run_dir: Path) -> list[Request]:
    """Take all waiting requests, oldest first; files that are none are removed and ignored."""
    folder = RunPaths(run_dir).control
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return []
    taken = []
    for name in names:
        path = folder / name
        try:
            content = json.loads(path.read_text())
            found = Request(content["kind"], dict(content.get("args", {})))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found = None
        path.unlink(missing_ok=True)
        if found is not None and found.kind in KINDS:
            taken.append(found)
    return taken
