"""What users ask of a running run; rank 0 reads it and the others hear of it at the same step."""

from __future__ import annotations

import threading
import time

from calisr_engine.errors import RunFailedError
from calisr_engine.events.types import Warned
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
        self._told: set[str] = set()

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
        self._check_in_place()
        found, odd = take_requests(self._context.paths.root)
        for name in odd:
            if name not in self._told:
                self._told.add(name)
                message = f"control/{name} is no request and was passed over"
                self._context.emit(self._context.writer.last_step, Warned(message=message))
        return found

    def _check_in_place(self) -> None:
        """Stop when the run directory is gone, rather than write somewhere else."""
        if not self._context.writer.in_place:
            raise RunFailedError(
                f"the run directory {self._context.paths.root} was removed, renamed or replaced "
                "while the run trained",
                "if it was renamed: calisr resume with its new path",
            )
