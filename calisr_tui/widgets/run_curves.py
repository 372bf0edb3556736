"""The curves of a run, or of several, as far as their logs are: they grow while those train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual import work
from textual.timer import Timer

from calisr_tui import late
from calisr_tui.charts.compare_plots import preview
from calisr_tui.charts.plot import Plot
from calisr_tui.feed import RunFeed
from calisr_tui.widgets.chart import Chart

TITLE = "Curves"
SETTLE_SECONDS = 0.08
"""How long a choice must stand before its logs are read, so that one can go past runs."""
LEAST_FOR_TWO = 8
"""Lines that metric and loss need; in fewer stands the metric alone."""
LIVE_SECONDS = 1.0
"""Between two looks at runs in training."""


class RunCurves(Chart):
    """Metric above loss of the runs that it is told of; nothing is read while it is hidden.

    Args:
        several: what its title calls more than one of them.
        none: what stands in the place of the curves where there is none.
    """

    def __init__(
        self, several: str = "marked runs", none: str = "no run is chosen", **kwargs: Any
    ) -> None:
        super().__init__(TITLE, **kwargs)
        self._several, self._none = several, none
        self._followed: list[Path] = []
        self._feeds: dict[Path, RunFeed] = {}
        """Of what is drawn; while it is read, they are with the thread that reads."""
        self._settling: Timer | None = None
        self._awaited: list[Path] | None = None
        """The choice that is being read; what comes of any other is dropped."""
        self._since = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is read, or about to be."""
        return self._settling is None and self._awaited is None

    def follow(self, run_dirs: Sequence[Path]) -> None:
        """Show these runs, once the choice has stood for a moment; none: show nothing."""
        if list(run_dirs) != self._followed:
            self._awaited = None
        self._followed = list(run_dirs)
        if self._settling is not None:
            self._settling.stop()
            self._settling = None
        if run_dirs:
            self._settling = self.set_timer(SETTLE_SECONDS, self.look)
        else:
            self._feeds = {}
            self.show(Plot(empty=self._none), title=TITLE)

    def on_resize(self) -> None:
        """Read what was not read while it was hidden; both charts, or one, as its height has it."""
        if self._settling is None:
            self.look()

    def on_tick(self, elapsed: float) -> None:
        """Look again at runs in training."""
        self._since += elapsed
        if self._since > LIVE_SECONDS and any(feed.trained for feed in self._feeds.values()):
            self.look()

    def look(self) -> None:
        """Read what is new of the runs, and draw it."""
        self._settling, self._since = None, 0.0
        if self.size.height and self._followed and self._awaited is None:
            self._awaited, known = list(self._followed), self._feeds
            self._feeds = {}  # no two threads read one log by the same feed
            self._read(self._awaited, known)

    @work(thread=True, group="curves")
    def _read(self, wanted: list[Path], known: dict[Path, RunFeed]) -> None:
        feeds = {each: known.get(each) or RunFeed(each) for each in wanted}
        for feed in feeds.values():
            feed.poll()
        plots = preview({each.name: feed.view for each, feed in feeds.items()})
        late.from_thread(self, self._draw, wanted, feeds, plots)

    def _draw(
        self, wanted: list[Path], feeds: dict[Path, RunFeed], plots: tuple[Plot, Plot]
    ) -> None:
        if wanted is not self._awaited:  # the choice has changed meanwhile
            return
        self._feeds, self._awaited = feeds, None
        both = self.content_size.height >= LEAST_FOR_TWO
        names = {feed.view.metric for feed in feeds.values() if feed.view.metric}
        what = " / ".join(sorted(names)) or "metric"
        whose = next(iter(feeds)).name if len(feeds) == 1 else f"{len(feeds)} {self._several}"
        shown = plots if both else (replace(plots[0], x_labels=True),)
        self.show(*shown, title=f"{what}{' above loss' if both else ''} · {whose}")
