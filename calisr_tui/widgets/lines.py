"""Lines of text of which only those that changed are drawn again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from calisr_tui.verbatim import Text


class Lines(Widget):
    """A widget that draws `text()` line by line.

    A figure that counts then costs its part of one line of twelve: while a run trains beside it,
    what the screen takes the training loses.
    """

    ALLOW_SELECT = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._strips: list[Strip] = []
        self._drawn_for: tuple[Any, ...] = ()

    def text(self) -> Text:
        """What to draw in the present size."""
        raise NotImplementedError

    def update_lines(self) -> None:
        """Draw the lines that are not as they were; call it after every change."""
        if not self.content_size.height:
            return
        before, self._strips = self._strips, self._make()
        if len(before) != len(self._strips) or self._drawn_for != self._key():
            self.refresh()
        else:
            pairs = enumerate(zip(before, self._strips, strict=True))
            changed = [_changed(y, old, new) for y, (old, new) in pairs if old != new]
            if changed:
                self.refresh(*changed)
        self._drawn_for = self._key()

    def render_line(self, y: int) -> Strip:
        if self._drawn_for != self._key():
            self._strips, self._drawn_for = self._make(), self._key()
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.content_size.width, self.rich_style)

    def _key(self) -> tuple[Any, ...]:
        return self.content_size, self.app.theme, self.has_focus, self.rich_style

    def _make(self) -> list[Strip]:
        width, plain = self.content_size.width, self.rich_style
        return [
            Strip(
                Segment(piece.text, plain + (piece.style or Style.null()))
                for piece in line.render(self.app.console, end="")
            ).adjust_cell_length(width, plain)
            for line in self.text().split("\n", allow_blank=True)
        ]


def _changed(y: int, old: Strip, new: Strip) -> Region:
    """The cells of a line between what is the same at its beginning and at its end."""
    start = _same(zip(old, new, strict=False))
    end = _same(zip(reversed(list(old)), reversed(list(new)), strict=False))
    width = max(old.cell_length, new.cell_length)
    return Region(start, y, max(1, width - start - end), 1)


def _same(pairs: Iterable[tuple[Segment, Segment]]) -> int:
    """Cells of the segments that are equal before the first that are not."""
    equal = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    return sum(segment.cell_length for segment, _ in equal)
