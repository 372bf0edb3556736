"""Points over steps, thinned so that memory stays flat."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        if y is None:
            return
        if self._skip and self.x:
            self.x[-1], self.y[-1] = x, y
        else:
            self.x.append(x)
            self.y.append(y)
            if len(self.x) > SERIES_LIMIT:
                self.x, self.y = self.x[::2], self.y[::2]
                self.stride *= 2
                self._skip = 0
                return
        self._skip = (self._skip + 1) % self.stride

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
