"""Textual's widgets for text, showing every string as it was typed: brackets are no markup here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rich.text
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events, widgets
from textual.color import Color
from textual.content import Content
from textual.css.styles import RulesMap
from textual.filter import LineFilter
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style as ContentStyle
from textual.visual import RenderOptions, Visual, VisualType
from textual.widgets import option_list

from calisr_engine.plain_words import shown
from calisr_tui.contrast import readably_dim
from calisr_tui.line_breaks import long_words_broken
from calisr_tui.verbatim import Text
from calisr_tui.widgets.height import forget_height


class Prose(Content):
    """Text whose words stay whole where they can: a path is broken behind its separators."""

    def broken(self, rules: RulesMap, width: int) -> Content:
        """The text with the ends of the lines that Textual would end elsewhere."""
        if rules.get("text_wrap") == "nowrap" or max(map(len, self.plain.split("\n"))) <= width:
            return self
        lines = []
        for line in self.split(allow_blank=True):
            places = long_words_broken(line.plain, width)
            *ended, last = line.divide(places)
            lines += [*(part.rstrip() for part in ended), last]
        return Content("\n").join(lines)

    def get_height(self, rules: RulesMap, width: int) -> int:
        return Content.get_height(self.broken(rules, width), rules, width)

    def render_strips(
        self, width: int, height: int | None, style: ContentStyle, options: RenderOptions
    ) -> list[Strip]:
        broken = self.broken(options.rules, width) if width else self
        return Content.render_strips(broken, width, height, style, options)


class Static(widgets.Static):
    """Text that may change; to be told the same once more costs nothing."""

    def __init__(self, content: VisualType = "", **kwargs: Any) -> None:
        self._told = _as_typed(content)
        self._prose: tuple[Visual, Visual] | None = None
        super().__init__(self._told, markup=False, **kwargs)

    @property
    def visual(self) -> Visual:
        found = super().visual
        if self._prose is None or self._prose[0] is not found:
            prose = Prose(found.plain, [*found.spans]) if isinstance(found, Content) else found
            self._prose = found, prose
        return self._prose[1]

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What is marked, line by line as it is seen."""
        seen = self.visual
        if not isinstance(seen, Prose):
            return super().get_selection(selection)
        return selection.extract(
            seen.broken(self.styles.get_rules(), self.content_size.width).plain
        ), "\n"

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        told = _as_typed(content)
        if not _same(told, self._told):
            if layout:
                forget_height(self)
            super().update(told, layout=layout)
        self._told = told


class Label(widgets.Label):
    """A word beside a field."""

    def __init__(self, content: VisualType = "", **kwargs: Any) -> None:
        super().__init__(_as_typed(content), markup=False, **kwargs)

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        super().update(_as_typed(content), layout=layout)


class Button(widgets.Button):
    """A button whose label is text."""

    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__(Text(label), **kwargs)


class Option(option_list.Option):
    """A line of a list."""

    def __init__(self, prompt: VisualType, **kwargs: Any) -> None:
        super().__init__(_as_typed(prompt), **kwargs)


class OptionList(widgets.OptionList):
    """A list to choose from. The marked line has one colour, with which it can be read."""

    def __init__(self, *options: Option, **kwargs: Any) -> None:
        super().__init__(*options, markup=False, **kwargs)

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        marked = self.get_component_rich_style("option-list--option-highlighted")
        if marked.bgcolor == self.get_component_rich_style("option-list--option").bgcolor:
            return strip
        return Strip(
            [
                Segment(text, style + Style(color=marked.color))
                if style is not None and style.bgcolor == marked.bgcolor
                else Segment(text, style)
                for text, style, _ in strip
            ],
            strip.cell_length,
        )


class DataTable(widgets.DataTable[Any]):
    """A table of text: cells, headings and the labels of rows."""

    async def _on_idle(self, event: events.Idle) -> None:
        """Measure new cells. Lines that were drawn before that are drawn anew.

        Textual keeps drawn lines by all but their widths, so their cells would stay cut.
        """
        before = self._widths()
        await super()._on_idle(event)
        if self._widths() != before:
            self.notify_style_update()

    def on_resize(self) -> None:
        """Draw anew: Textual keeps the lines of rows as wide as the table was before."""
        self.notify_style_update()

    def _widths(self) -> list[int]:
        return [each.get_render_width(self) for each in self.ordered_columns]

    def add_column(self, label: str | rich.text.Text, **kwargs: Any) -> Any:
        return super().add_column(_as_typed(label), **kwargs)

    def add_row(self, *cells: Any, label: str | rich.text.Text | None = None, **kwargs: Any) -> Any:
        return super().add_row(*map(_as_typed, cells), label=_as_typed(label), **kwargs)

    def update_cell(self, row_key: Any, column_key: Any, value: Any, **kwargs: Any) -> None:
        super().update_cell(row_key, column_key, _as_typed(value), **kwargs)


def _as_typed(content: Any) -> Any:
    return Text(content) if isinstance(content, str) else content


def _same(one: Any, other: Any) -> bool:
    """Whether two texts look alike; never so for what can be anything else."""
    texts = isinstance(one, rich.text.Text) and isinstance(other, rich.text.Text)
    if not texts or one is other:  # who changes a text tells it again
        return False
    ways = (one.style, one.no_wrap, one.overflow, one.justify)
    return one == other and ways == (other.style, other.no_wrap, other.overflow, other.justify)


class Readable(LineFilter):
    """Dim letters keep enough of their colour to be read, on the line of a cursor too."""

    def apply(self, segments: Sequence[Segment], background: Color) -> list[Segment]:
        behind = background.rich_color
        return [
            Segment(each.text, readably_dim(each.style, behind), each.control)
            if each.style is not None and each.style.dim
            else each
            for each in segments
        ]


class Unsteered(LineFilter):
    """The last sieve before the terminal: no character of any widget's line steers it.

    What is made of verbatim text passes unchanged; typed fields and whatever else Textual draws
    from a string come here as they are. A line keeps its width.
    """

    def apply(self, segments: Sequence[Segment], background: Color) -> list[Segment]:
        return [
            each if each.control or each.text.isprintable() else _unsteered(each)
            for each in segments
        ]


def _unsteered(segment: Segment) -> Segment:
    # Within one line a newline or a tab would move the cursor as well.
    text = shown(segment.text).replace("\n", " ").replace("\t", " ")
    return Segment(set_cell_size(text, cell_len(segment.text)), segment.style)
