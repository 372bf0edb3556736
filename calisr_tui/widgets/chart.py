"""The chart widget: stacked plots, redrawn only when they changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from calisr_tui.charts.cursor import cursor_box, values_in_line
from calisr_tui.charts.drawing import draw_lines
from calisr_tui.charts.plot import Plot, thinned
from calisr_tui.charts.stack import drawable, stacked
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text


class Chart(Widget, can_focus=True):
    """One or more stacked plots with a title, a legend and a cursor; redrawn only on a change.

    Args:
        gutter: cells for labels at both sides at least, so that charts above each other have a
            value of x in one column.
    """

    DEFAULT_CSS = "Chart { height: 1fr; }"
    ALLOW_SELECT = False

    def __init__(self, title: str, gutter: tuple[int, int] = (0, 0), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._room = gutter
        self._title = title
        self.border_title = Text(title)
        self._plots: tuple[Plot, ...] = ()
        self._drawn: tuple[Any, ...] | None = None
        self._strips: list[Strip] = []
        self.drawings = 0

    def show(self, *plots: Plot, title: str | None = None) -> None:
        """Draw these plots, if they are not what is there already."""
        if title is not None and title != self._title:
            self._title = title
            self.border_title = Text(title)
        if plots == self._plots:
            return
        self._plots = plots
        self.border_subtitle = self._legend()
        self.refresh()

    @property
    def plots(self) -> tuple[Plot, ...]:
        return self._plots

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._recolour)

    def _recolour(self, theme: object) -> None:
        self.border_subtitle = self._legend()
        self.refresh()

    def _legend(self) -> Text:
        """The lines' names; where there is no room for all, the first ones are left out.

        With a cursor for whose box there is no room, what they are there.
        """
        styles = colours(self.app.theme)
        room = self.outer_size.width - 6
        if any(p.cursor is not None for p in self._plots) and drawable(*self.content_size):
            stack = stacked(self._plots, *self.content_size, self._room)
            if stack.cursor is not None and cursor_box(stack, self._plots, styles) is None:
                return values_in_line(self._plots, stack.cursor, room, styles)
        entries = [
            Text.assemble((line.glyph, styles[line.role]), f" {line.label}")
            for plot in self._plots
            for line in plot.lines
            if line.label
        ]
        while len(entries) > 1 and len(Text("  ").join(entries)) > room > 0:
            del entries[0]
        return Text("  ").join(entries)

    def on_resize(self) -> None:
        self.border_subtitle = self._legend()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawn = None

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        key = (self._plots, width, height, self.app.theme)
        if key != self._drawn:
            self._drawn = key
            self.drawings += 1
            self._strips = self._draw_all(width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self.rich_style)

    def _draw_all(self, width: int, height: int) -> list[Strip]:
        """Strips straight from the drawing's pieces: they need no wrapping and no markup."""
        styles = colours(self.app.theme)
        limit = max(40, 2 * width)
        fewer = [
            replace(plot, lines=tuple(thinned(line, limit) for line in plot.lines))
            for plot in self._plots
        ]
        lines = draw_lines(fewer or [Plot()], width, height, styles, self._room, self._plots)
        plain = self.rich_style
        return [
            Strip(
                [Segment(text, plain + Style.parse(style)) for text, style in line]
            ).adjust_cell_length(width, plain)
            for line in lines
        ]
