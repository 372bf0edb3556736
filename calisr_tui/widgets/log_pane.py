"""What happened, in words, newest at the bottom."""

from __future__ import annotations

from functools import partial
from typing import Any

from textual import events
from textual.widgets import RichLog

from calisr_engine.events.view import Message, RunView
from calisr_tui import late
from calisr_tui.line_breaks import with_paths_broken
from calisr_tui.themes import colours
from calisr_tui.verbatim import Table, Text

SHOWN = 1000
_ROLES = {
    "group_switched": ("◆", "lft"),
    "srs_evaluated": ("┊", "strong"),
    "evaluated": ("●", "metric"),
    "warning": ("!", "warn"),
    "noted": ("i", "dim"),
    "failed": ("✗", "bad"),
    "completed": ("✓", "good"),
    "stopped": ("■", "warn"),
    "paused": ("‖", "warn"),
    "checkpoint_saved": ("↓", "dim"),
}


def line(message: Message, styles: dict[str, str], width: int) -> Table:
    """One line of the log in `width` cells: step, sign, words, which go on below themselves."""
    glyph, role = _ROLES.get(message.kind, ("·", "dim"))
    strong = message.kind in ("group_switched", "failed", "warning")
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=5, justify="right", no_wrap=True)
    table.add_column(width=1, no_wrap=True)
    table.add_column()
    table.add_row(
        Text(str(message.step), styles["dim"]),
        Text(glyph, styles[role]),
        Text(with_paths_broken(message.text, max(3, width - 8)), styles[role] if strong else ""),
    )
    return table


class LogPane(RichLog):
    """The run's messages; only new ones are written."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(wrap=True, markup=False, highlight=False, min_width=20, **kwargs)
        self.border_title = "What happened"
        self._first: Message | None = None
        self._last: Message | None = None
        self._width = 0
        self._follows = True
        self._view: RunView | None = None

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._recolour)

    def _recolour(self, theme: object) -> None:
        """Its lines keep the colours that they were written in, so they are written anew."""
        if self._view is not None:
            self.show(self._view, anew=True)

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        self._follows = self.is_vertical_scroll_end

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        if self._follows:
            late.after_refresh(self, partial(self.scroll_end, animate=False))

    def show(self, view: RunView, anew: bool = False) -> None:
        """Write what is new; begin anew after a jump, a resume or a new width."""
        self._view = view
        if self.size.width == 0:
            return
        messages = view.messages[-SHOWN:]
        width = self.scrollable_content_region.width
        at = -1
        if not anew and self._last is not None and width == self._width:
            at = next(
                (i for i in range(len(messages) - 1, -1, -1) if messages[i] is self._last), -1
            )
        if at < 0:
            self.clear()
        self._width = width
        styles = colours(self.app.theme)
        for message in messages[at + 1 :]:
            self.write(line(message, styles, width), width=width)
        self._last = messages[-1] if messages else None
        if at < 0:  # it opens at its end
            late.after_refresh(self, partial(self.scroll_end, animate=False))
