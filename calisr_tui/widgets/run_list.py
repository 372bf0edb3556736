"""A list of thousands of runs, in groups if asked: only the lines that are seen are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from calisr_engine.plain_words import one_line
from calisr_engine.runs.arrange import Group, Row
from calisr_engine.runs.columns import Column
from calisr_engine.runs.summary import RunSummary
from calisr_tui import words
from calisr_tui.charts.compare_plots import GLYPHS
from calisr_tui.charts.runs_text import GAP, Layout, fitted, of_group, said
from calisr_tui.themes import colours

LEAD = 2
"""Cells before the first column: marked, pinned."""
DIM = ("created", "updated", "run", "model", "notes")


class RunList(ScrollView, can_focus=True):
    """One line a run or heading, and a cursor, which stays on its run when the rows change."""

    class Moved(Message):
        """The cursor came to another row."""

    class Taken(Message):
        """The row under the cursor was taken by Enter or a click."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="list.up"),
        Binding("down", "move(1)", "Down", show=False, id="list.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="list.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="list.page_down"),
        Binding("home,ctrl+home", "move_to(0)", "First", show=False, id="list.first"),
        Binding("end,ctrl+end", "move_to(-1)", "Last", show=False, id="list.last"),
        Binding("enter", "take", "Open", show=False, id="list.open"),
    ]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows: Sequence[Row] = ()
        self.cursor = 0
        self._layout_of_rows = Layout((), ())
        self._marked: Sequence[str] = ()

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def show(self, rows: Sequence[Row], layout: Layout, marked: Sequence[str]) -> None:
        """Show these rows; the cursor stays on its row, or where that was if it is gone.

        No `Moved` is sent.
        """
        before = self.chosen
        self.rows, self._layout_of_rows, self._marked = rows, layout, marked
        if before is not None:
            key = _key(before)
            found = next((n for n, row in enumerate(rows) if _key(row) == key), self.cursor)
            self.cursor = max(0, min(found, len(rows) - 1))
        self.virtual_size = Size(0, len(rows))
        self._see_cursor()
        self.refresh()

    def mark(self, marked: Sequence[str]) -> None:
        """Show these runs as marked, each with the sign of its curve."""
        self._marked = marked
        self.refresh()

    # Moving --------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self.cursor + by * max(1, self.size.height - 1))

    def action_move_to(self, place: int) -> None:
        self._go(place if place >= 0 else len(self.rows) - 1)

    def action_take(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Taken())

    def on_click(self, event: events.Click) -> None:
        place = round(self.scroll_offset.y) + event.y
        if place < len(self.rows):
            again = place == self.cursor and event.chain > 1
            self._go(place)
            if again:
                self.action_take()

    def _go(self, place: int) -> None:
        place = max(0, min(place, len(self.rows) - 1))
        if place != self.cursor:
            self.cursor = place
            self._see_cursor()
            self.refresh()
            self.post_message(self.Moved())

    def _see_cursor(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, immediate=True)

    # Drawing -------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        place = round(self.scroll_offset.y) + y
        plain = self.rich_style
        width = self.size.width
        if place >= len(self.rows):
            return Strip.blank(width, plain)
        styles = colours(self.app.theme)
        row = self.rows[place]
        if isinstance(row, Group):
            pieces = self._heading(row, styles, width)
        else:
            pieces = self._run(row, styles)
        if place == self.cursor:
            here = styles["row"] if self.has_focus else "underline"
            plain += Style.parse(here)
            if here == "reverse":  # colours would become patches of background
                pieces = [(text, "") for text, _ in pieces]
        strip = Strip([Segment(text, plain + Style.parse(style)) for text, style in pieces])
        return strip.adjust_cell_length(width, plain)

    def _heading(
        self, group: Group, styles: Mapping[str, str], width: int
    ) -> list[tuple[str, str]]:
        sign = "▸" if group.folded else "▾"
        pieces = [
            (f"{'  ' * group.level}{sign} {one_line(group.column.title)} ", styles["dim"]),
            (one_line(group.path[-1]), "bold"),
        ]
        room = max(1, width - sum(cell_len(text) for text, _ in pieces))
        return [*pieces, (fitted(f"  {of_group(group)}", room), "")]

    def _run(self, run: RunSummary, styles: Mapping[str, str]) -> list[tuple[str, str]]:
        pieces = [(" ", ""), ("★" if run.pinned else " ", styles["mark"])]
        if run.run_id in self._marked:
            place = self._marked.index(run.run_id) % len(GLYPHS)
            pieces[0] = (GLYPHS[place], styles[f"run{place + 1}"])
        layout = self._layout_of_rows
        for column, width in zip(layout.columns, layout.widths, strict=True):
            text, style = cell(run, column, styles)
            pieces.append((fitted(text, width) + " " * GAP, style))
        return pieces


def cell(run: RunSummary, column: Column, styles: Mapping[str, str]) -> tuple[str, str]:
    """Text and style of a cell; the state has a sign beside its colour."""
    if column.name == "state":
        sign, word, role = words.STATES.get(run.state, ("?", run.state, "dim"))
        return f"{sign} {word.lower()}", styles[role]
    text = said(run, column)
    if column.name in DIM or text == "–":
        return text, styles["dim"]
    return text, "bold" if column.name == "best" else ""


def heading(layout: Layout, sort: str, down: bool) -> str:
    """The titles above the columns, the one that is sorted by with a sign."""
    sign = "▼" if down else "▲"
    texts = []
    for column, width in zip(layout.columns, layout.widths, strict=True):
        title = one_line(column.title) + (sign if column.name == sort else "")
        texts.append(fitted(title, width + 1) + " " * (GAP - 1))
    return " " * LEAD + "".join(texts)


def _key(row: Row) -> object:
    return row.path if isinstance(row, Group) else row.run_id
