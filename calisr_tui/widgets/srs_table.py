"""The table of stable rank scores as a widget: a row can be chosen and explained."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from calisr_engine.analysis.outlook import next_decision
from calisr_engine.events.view import RunView
from calisr_tui import happening
from calisr_tui.charts.srs_table import Row, caption, rows, table_text, title
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.height import lay_out_anew


class SrsTable(Widget, can_focus=True):
    """A row a group; the chosen one is explained on Enter and drawn in the stable rank chart."""

    DEFAULT_CSS = "SrsTable { height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down", "move(1)", "Down", show=False, id="table.down"),
        Binding("enter", "explain", "Explain", show=False, id="table.explain"),
    ]
    row = reactive(0)

    class Chosen(Message):
        """A row was chosen; `explain` where the user asked what it means."""

        def __init__(self, group: str, explain: bool) -> None:
            super().__init__()
            self.group = group
            self.explain = explain

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.border_title = Text(title(None, 40))
        self._rows: list[Row] = []
        self._said: dict[str, tuple[str, ...]] = {}
        self._delta: float | None = None
        self._votes = False
        self._next: int | None = None
        self._flash: dict[str, int] = {}
        self._empty = ""
        self._lines = 2

    def show(self, view: RunView, seen: dict[str, int] | None = None) -> None:
        """Take over the newest view; redraws only on a change. Without `seen` nothing is news."""
        new = rows(view, seen)
        if seen is None and self._flash:
            self._flash.clear()
            self.refresh()
        for name in list(self._flash):
            self._flash[name] -= 1
            if self._flash[name] <= 0:
                del self._flash[name]
                self.refresh()
        for each in new:
            if each.fresh:
                self._flash[each.name] = 4
        step = next_decision(view)
        delta = view.threshold
        said = {
            name: (*happening.now(view, group, step), *happening.notes(view, group))
            for name, group in view.groups.items()
        }
        empty = happening.without_groups(view)
        drawn = (new, said, step, delta, view.votes, empty)
        if drawn == (self._rows, self._said, self._next, self._delta, self._votes, self._empty):
            return
        grown = len(new) != len(self._rows)
        self._rows, self._said, self._next, self._delta, self._votes, self._empty = drawn
        self._entitle()
        self.row = min(self.row, max(0, len(new) - 1))
        if grown:
            lay_out_anew(self)
        else:
            self.refresh()

    def _entitle(self) -> None:
        """Title and subtitle, as far as there is room."""
        wide = max(20, self.outer_size.width - 6)
        self.border_title = Text(title(self._delta, wide, self._votes))
        decides = self._delta is not None and self._next is not None
        self.border_subtitle = Text(f"next decision at step {self._next}" if decides else "")

    def on_resize(self) -> None:
        self._entitle()

    def give_lines(self, lines: int) -> None:
        """How many lines there are for words under the table."""
        if lines != self._lines:
            self._lines = lines
            lay_out_anew(self)

    @property
    def flashing(self) -> bool:
        """Whether a row is bold for a moment because it is new."""
        return bool(self._flash)

    @property
    def group(self) -> str | None:
        """Name of the chosen row's group."""
        return self._rows[self.row].name if self._rows else None

    def choose(self, group: str) -> None:
        for index, each in enumerate(self._rows):
            if each.name == group:
                self.row = index

    def get_content_height(self, container: Any, viewport: Any, width: int) -> int:
        return len(self._rows) + 1 + self._lines if self._rows else 2

    def render(self) -> Text:
        styles = colours(self.app.theme)
        width = self.content_size.width
        if not self._rows:
            return Text(self._empty, style=styles["dim"])
        text = table_text(
            self._rows,
            self._delta,
            width,
            self.row if self.has_focus else None,
            self.row,
            self._flash,
            styles,
        )
        name = self._rows[self.row].name
        for line, role in caption(name, self._said[name], width, self._lines):
            text.append(f"\n{line}", styles[role])
        return text

    def watch_row(self) -> None:
        if self._rows:
            self.post_message(self.Chosen(self._rows[self.row].name, explain=False))

    def action_move(self, by: int) -> None:
        if self._rows:
            self.row = max(0, min(len(self._rows) - 1, self.row + by))

    def action_explain(self) -> None:
        if self._rows:
            self.post_message(self.Chosen(self._rows[self.row].name, explain=True))

    def on_click(self, event: events.Click) -> None:
        index = event.get_content_offset(self)
        if index is None or not 0 < index.y <= len(self._rows):
            return
        if self.row == index.y - 1:
            self.action_explain()
        else:
            self.row = index.y - 1
