"""One tracker in a daemon thread of its own, behind a bounded queue.

Nothing here can hold up or fail the thread that offers figures: a tracker that raises, hangs or
falls behind is given up, and says why once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from calisr_engine.trackers.muted import PREFIX
from calisr_engine.trackers.scalars import Scalars

T = TypeVar("T")

QUEUE_LIMIT = 10_000
"""Records that may wait; at a few a second, most of an hour."""

STALL_SECONDS = 120.0
"""How long one call of a tracker may take. Longer than W&B's own patience at its start."""

CLOSE_SECONDS = 30.0
"""How long a run waits at its end for its trackers to write what they have."""


class Tracker(Protocol):
    """The part of accelerate's GeneralTracker that a feed needs."""

    def log(self, values: Scalars, step: int | None = None) -> None: ...

    def finish(self) -> None: ...


class TrackerQueue:
    """Hands scalars to a tracker. All its methods return at once, but for `wait`.

    Attributes:
        name: the tracker's, for messages.
    """

    def __init__(self, name: str, start: Callable[[], Tracker]) -> None:
        self.name = name
        self._start = start
        self._waiting: queue.Queue[tuple[Scalars, int] | None] = queue.Queue(QUEUE_LIMIT)
        self._trouble: str | None = None
        self._given_up = threading.Event()
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"{PREFIX}{name}", daemon=True)
        self._thread.start()

    def offer(self, values: Scalars, step: int) -> None:
        """Queue figures of one step."""
        try:
            self._waiting.put_nowait((values, step))
        except queue.Full:
            self._give_up(f"it fell {QUEUE_LIMIT:,} records behind")

    @property
    def trouble(self) -> str | None:
        """Why the tracker was given up; None while all is well."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > STALL_SECONDS:
            self._give_up(f"it has not answered for {STALL_SECONDS:g} seconds")
        return self._trouble

    def finish(self) -> None:
        """Ask the tracker to take what waits and finish."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._give_up(f"it fell {QUEUE_LIMIT:,} records behind")

    def wait(self, deadline: float) -> None:
        """Wait until it has finished, but not beyond `deadline` (of time.monotonic)."""
        if not self._given_up.is_set():
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._give_up(f"it did not finish within {CLOSE_SECONDS:g} seconds of the run's end")

    def _give_up(self, why: str) -> None:
        if not self._given_up.is_set():
            self._trouble = why
            self._given_up.set()

    def _work(self) -> None:
        try:
            tracker = self._timed(self._start)
            while (item := self._waiting.get()) is not None:
                values, step = item
                if self._given_up.is_set():
                    return
                self._timed(partial(tracker.log, values, step=step))
            self._timed(tracker.finish)
        except BaseException as error:  # some libraries raise SystemExit
            lines = str(error).strip().splitlines()
            self._give_up(f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}")

    def _timed(self, call: Callable[[], T]) -> T:
        self._busy_since = time.monotonic()
        try:
            return call()
        finally:
            self._busy_since = None
