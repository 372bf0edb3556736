"""Some lines of help below a form; what they cannot hold ends with a sign."""

from __future__ import annotations

import textwrap
from typing import Any

from textual import events

from calisr_tui.line_breaks import wrapped
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Static


def fitted(text: str, width: int, lines: int) -> str:
    """The text in at most `lines` lines of `width` cells, with an ellipsis where it is cut."""
    found = wrapped(text, max(3, width))
    if len(found) <= lines:
        return "\n".join(found)
    kept = found[:lines]
    kept[-1] = textwrap.shorten(f"{kept[-1]} {'x' * width}", max(3, width), placeholder=" …")
    return "\n".join(kept)


class Hint(Static):
    """Help of as many lines as `max-height` allows."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._text = ""

    def say(self, text: str) -> None:
        self._text = text
        self._fit()

    def on_resize(self, event: events.Resize) -> None:
        self._fit()

    def _fit(self) -> None:
        most, width = self.styles.max_height, self.content_size.width
        lines = int(most.value) if most is not None else len(self._text)
        self.update(Text(fitted(self._text, width, lines) if width else self._text))
