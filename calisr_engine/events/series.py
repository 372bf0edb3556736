"""Points over steps, thinned so that memory stays flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

SERIES_LIMIT = 4000


@dataclass
class Series:
    """Points (x, y) in order of x.

    Beyond SERIES_LIMIT points every second one is dropped and the stride doubles; the newest point
    is always there.
    """

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    stride: int = 1
    _skip: int = 0

    def add(self, x: float, y: float | None) -> None:
        self.extend((x,), (y,))

    def extend(self, x: Sequence[float], y: Sequence[float | None]) -> None:
        """Add points in their order; those without a y are left out."""
        if None in y:
            known = [each for each in zip(x, y, strict=True) if each[1] is not None]
            x, y = [each[0] for each in known], [each[1] for each in known]
        at, end = 0, len(x)
        while at < end:
            if self._skip and self.x:  # up to `stride` points share a place, which the newest has
                taken = min(self.stride - self._skip, end - at)
                self.x[-1], self.y[-1] = x[at + taken - 1], cast(float, y[at + taken - 1])
            else:
                taken = 1
                self.x.append(x[at])
                self.y.append(cast(float, y[at]))
            at += taken
            self._skip = (self._skip + taken) % self.stride
            if len(self.x) > SERIES_LIMIT:
                self.x, self.y = self.x[::2], self.y[::2]
                self.stride *= 2
                self._skip = 0

    def cut_after(self, x: float) -> None:
        """Drop all points beyond `x`."""
        while self.x and self.x[-1] > x:
            self.x.pop()
            self.y.pop()

    @property
    def last(self) -> float | None:
        return self.y[-1] if self.y else None

    def __len__(self) -> int:
        return len(self.x)
