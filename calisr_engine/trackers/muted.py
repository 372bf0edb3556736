"""Keeping what trackers print off the terminal: stdout is data, and the app owns the screen."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

PREFIX = "calisr-tracker-"
"""Threads of this name print nothing."""


class _MutedThreads:
    """A stream that swallows what the threads of trackers write, and passes on all else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith(PREFIX):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Swallow what trackers' threads print to stdout and stderr.

    Where another has replaced a stream by the end of the block, it is left as it is; so it is while
    a tracker hangs, whose thread might print later.
    """
    own: dict[str, tuple[Any, _MutedThreads]] = {}
    for name in ("stdout", "stderr"):
        before = getattr(sys, name)
        own[name] = (before, _MutedThreads(before))
        setattr(sys, name, own[name][1])
    try:
        yield
    finally:
        hanging = any(thread.name.startswith(PREFIX) for thread in threading.enumerate())
        for name, (before, stream) in own.items():
            if getattr(sys, name) is stream and not hanging:
                setattr(sys, name, before)
