"""Reading the data and checking the settings of the setup, in the background of the form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.screen import Screen
from textual.timer import Timer

from calisr_engine.config.load import ResolvedConfig
from calisr_tui import data_source, estimates, late, marked_grid, marked_search
from calisr_tui.data_source import DataRead, Request
from calisr_tui.draft import Draft
from calisr_tui.marked_grid import Marked, Outlook
from calisr_tui.marked_search import Searched, SearchOutlook

if TYPE_CHECKING:
    from calisr_engine.forecast.before_start import Checked

PAUSE = 0.3
"""Seconds without a change after which data is read and settings are checked."""


class Checks:
    """What is read and checked of a draft, a moment after its last change.

    Args:
        may_check: whether settings are checked before somebody waits for it.
        show: called, with whether it was the data, when something was found out.
    """

    def __init__(
        self,
        screen: Screen[Any],
        draft: Draft,
        may_check: Callable[[], bool],
        show: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._screen, self._draft = screen, draft
        self._may_check, self._show = may_check, show
        self._timer: Timer | None = None
        self._then: Callable[[], Awaitable[None]] | None = None
        self._checking: ResolvedConfig | None = None
        self._last: Checked | None = None
        self._outlook: Outlook | SearchOutlook | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is read or checked, nor about to be."""
        return self._timer is None and self._draft.asked is None and self._checking is None

    @property
    def outlook(self) -> Outlook | SearchOutlook | None:
        """What the grid or the search of the marks comes to, once it is known."""
        return self._outlook if self._draft.marked and self._draft.unchecked is None else None

    def look_later(self) -> None:
        """Look once nothing has changed for a moment."""
        self._stop_timer()
        self._timer = self._screen.set_timer(PAUSE, self._look)

    def wait_then(self, act: Callable[[], Awaitable[None]]) -> None:
        """Look now, and do something when it is known; `forget` calls it off."""
        self._then = act
        self._stop_timer()
        self._look()

    def forget(self) -> None:
        """Somebody changed something or went on: what waits is not wanted any more."""
        self._then = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    def _look(self) -> None:
        """Read the data, or check settings that are complete, if there is anything to do."""
        self._timer = None
        asked, unchecked = self._draft.asked, self._draft.unchecked
        resolved = self._draft.resolved
        if resolved is not None and estimates.are_awaited(resolved.config):
            self._work("count", partial(self._count, resolved))
        if asked is not None:
            self._work("data", partial(self._read, asked))
        elif unchecked is not None and (self._then is not None or self._may_check()):
            self._checking = unchecked
            draft = self._draft
            many: Marked | Searched | None = None
            if draft.searched:
                many = marked_search.searched(draft)
            elif draft.marked:
                many = marked_grid.marked(draft)
            self._work("check", partial(self._check, unchecked, draft.marks_now, many, draft.data))

    def _work(self, group: str, what: Callable[[], None]) -> None:
        self._screen.run_worker(what, group=group, exclusive=True, thread=True)

    def _tell(self, told: Callable[..., Awaitable[None]], *found: object) -> None:
        # In the screen's turn, after what it has to do before.
        late.from_thread(self._screen, late.soon, self._screen, told, *found)

    def _read(self, asked: Request) -> None:
        self._tell(self._was_read, data_source.read(asked))

    def _count(self, resolved: ResolvedConfig) -> None:
        estimates.counts(resolved.config, wait=True)
        self._tell(self._show, False)

    async def _was_read(self, read: DataRead) -> None:
        if not self._draft.take(read):
            return  # other data is asked for by now
        await self._show(True)
        self._waited()  # what needs the check, too, waits again
        self.look_later()

    def _check(
        self,
        resolved: ResolvedConfig,
        marks: object,
        many: Marked | Searched | None,
        read: DataRead | None,
    ) -> None:
        found: Outlook | SearchOutlook
        if many is None:
            last = data_source.check(resolved.config, self._last, read)
            found = Outlook(1, last.problems, last=last)
        elif isinstance(many, Searched):
            found = marked_search.check(many, self._last, read)
        else:
            found = marked_grid.check(many, self._last, read)
        self._tell(self._was_checked, resolved, marks, found)

    async def _was_checked(
        self, resolved: ResolvedConfig, marks: object, found: Outlook | SearchOutlook
    ) -> None:
        self._last = found.last
        if self._checking is resolved:
            self._checking = None
        if self._draft.checked(resolved, marks, found.problems):
            self._outlook = found
            await self._show(False)
            self._waited()

    def _waited(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            late.soon(self._screen, then)
