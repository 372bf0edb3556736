"""How often costly drawings are made while the same process trains."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """Allows a drawing while this thread has used no more than a share of one core's time.

    Python runs one thread at a time, so what the screen takes, the training beside it loses.

    Args:
        share: of a core's time, in (0, 1].
        longest_wait: seconds after which a drawing is allowed whatever was used.
        cpu, clock: seconds of this thread and of the wall, for tests.
    """

    def __init__(
        self,
        share: float,
        longest_wait: float,
        cpu: Callable[[], float] = time.thread_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._longest_wait = share, longest_wait
        self._cpu, self._clock = cpu, clock
        self._used, self._now = cpu(), clock()
        self._drawn = self._drawn_any = self._now
        self._left = 0.0

    def tick(self) -> None:
        """Count what was used and what was granted since the last tick."""
        used, now = self._cpu(), self._clock()
        self._left += self._share * (now - self._now) - (used - self._used)
        # An idle hour does not pay for a minute of drawing, nor a busy start for a blank minute.
        limit = self._share * self._longest_wait
        self._left = max(-limit, min(limit, self._left))
        self._used, self._now = used, now

    def allows(self) -> bool:
        """Whether a drawing may be made now."""
        return self._left > 0 or self._clock() - self._drawn >= self._longest_wait

    def since_any(self) -> float:
        """Seconds since the last drawing of any kind."""
        return self._clock() - self._drawn_any

    def drew(self, costly: bool = True) -> None:
        """A drawing is being made; `costly` ones are what the budget is for."""
        self._drawn_any = self._clock()
        if costly:
            self._drawn = self._drawn_any
