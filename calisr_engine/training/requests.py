"""What users ask of a running run; rank 0 reads it and the others hear of it at the same step."""

from __future__ import annotations

import threading
import time

from calisr_engine.runs.control import Request, take_requests
from calisr_engine.training.context import RunContext

POLL_SECONDS = 0.1
STOP_EVENT = "stop event"
"""Stands among the requests for a stop that came by signal or from the thread's owner."""


class StopTraining(Exception):  # noqa: N818
    """Leaves the loop on a user's request.

    Attributes:
        reason: why, for the log; save: whether to write a checkpoint first.
    """

    def __init__(self, reason: str, save: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.save = save


class Requests:
    """The requests of one run, read at most every `POLL_SECONDS`."""

    def __init__(self, context: RunContext, stop: threading.Event) -> None:
        self._context = context
        self._stop = stop
        self._polled = 0.0

    def new(self) -> list[Request]:
        """Requests since the last call; the same on all ranks."""
        ranks = self._context.ranks
        return ranks.from_first(self._read() if ranks.is_first else [])

    def _read(self) -> list[Request]:
        if self._stop.is_set():
            return [Request(STOP_EVENT)]
        now = time.monotonic()
        if now - self._polled < POLL_SECONDS:
            return []
        self._polled = now
        return take_requests(self._context.paths.root)
