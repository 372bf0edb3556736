"""Text and tables of Rich that show every string as it was typed: no markup, no control characters.

Run names, labels, paths and messages come from files that others wrote. All that the app writes is
made of these two classes and of `calisr_tui.widgets.verbatim`; a test looks for other ways in.
"""

from __future__ import annotations

from typing import Any, Self, cast

import rich.table
import rich.text
from rich.console import RenderableType
from rich.style import Style

from calisr_engine.plain_words import shown


class Text(rich.text.Text):
    """A Rich text whose strings pass through `shown`, at the start and when they are added."""

    def __init__(self, text: str = "", style: str | Style = "", **kwargs: Any) -> None:
        super().__init__(shown(text), style, **kwargs)

    def append(self, text: rich.text.Text | str, style: str | Style | None = None) -> Self:
        super().append(shown(text) if isinstance(text, str) else text, style)
        return self

    def append_text(self, text: rich.text.Text) -> Self:
        super().append_text(text)
        return self

    @classmethod
    def assemble(cls, *parts: Any, **kwargs: Any) -> Self:
        return cast(Self, super().assemble(*parts, **kwargs))

    def join(self, lines: Any) -> Self:
        return cast(Self, super().join(lines))

    def blank_copy(self, plain: str = "") -> Self:
        return type(self)(
            plain,
            self.style,
            justify=self.justify,
            overflow=self.overflow,
            no_wrap=self.no_wrap,
            end=self.end,
            tab_size=self.tab_size,
        )


class Table(rich.table.Table):
    """A Rich table that reads no markup in its headings and cells."""

    @classmethod
    def grid(cls, *headers: Any, **kwargs: Any) -> Self:
        return cast(Self, super().grid(*headers, **kwargs))

    def add_column(self, header: RenderableType = "", *args: Any, **kwargs: Any) -> None:
        super().add_column(_as_typed(header), *args, **kwargs)

    def add_row(self, *cells: RenderableType | None, **kwargs: Any) -> None:
        super().add_row(*(None if each is None else _as_typed(each) for each in cells), **kwargs)


def _as_typed(cell: RenderableType) -> RenderableType:
    return Text(cell) if isinstance(cell, str) else cell
