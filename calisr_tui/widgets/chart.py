"""The chart widget: stacked plots, redrawn only when they changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from calisr_tui.charts.drawing import Piece, Plot, draw_lines, nearest, thinned
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text


class Chart(Widget, can_focus=True):
    """One or more stacked plots with a title, a legend and a cursor; redrawn only on a change."""

    DEFAULT_CSS = "Chart { height: 1fr; }"
    ALLOW_SELECT = False

    def __init__(self, title: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._title = title
        self.border_title = Text(title)
        self.name_in_words = title
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

    def _legend(self) -> Text:
        styles = colours(self.app.theme)
        cursor = next((p.cursor for p in self._plots if p.cursor is not None), None)
        entries = []
        for line in (line for plot in self._plots for line in plot.lines if line.label):
            value = nearest(line, cursor) if cursor is not None else None
            shown = f" {value[1]:.{line.digits}g}" if value else ""
            style = styles[line.role]
            entries.append(Text.assemble((line.glyph, style), f" {line.label}{shown}"))
        if cursor is not None:
            entries.insert(0, Text(f"at {cursor:g}"))
        return Text("  ").join(entries)

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
        weights = sum(plot.weight for plot in self._plots)
        left = height
        lines: list[list[Piece]] = []
        for index, plot in enumerate(self._plots):
            rest = len(self._plots) - index - 1
            rows = left if not rest else max(3, height * plot.weight // weights)
            limit = max(40, 2 * width)
            fewer = replace(plot, lines=tuple(thinned(line, limit) for line in plot.lines))
            part = draw_lines(fewer, width, rows, styles)
            lines += part + [[] for _ in range(0 if not rest else rows - len(part))]
            left -= rows
        if not self._plots:
            lines = draw_lines(Plot(), width, height, styles)
        plain = self.rich_style
        return [
            Strip(
                [Segment(text, plain + Style.parse(style)) for text, style in line]
            ).adjust_cell_length(width, plain)
            for line in lines
        ]
