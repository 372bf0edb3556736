"""The table of stable rank scores as a widget: a row can be chosen and explained."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from calisr_engine.events.view import RunView
from calisr_tui.charts.srs_table import Row, rows, table_text
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text


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
        self.border_title = "Stable rank score"
        self._rows: list[Row] = []
        self._delta = 0.5
        self._variant = "off"
        self._flash: dict[str, int] = {}

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
        if new == self._rows and (view.delta, view.variant) == (self._delta, self._variant):
            return
        grown = len(new) != len(self._rows)
        self._rows, self._variant = new, view.variant
        self._delta = view.delta if view.delta is not None else 0.5
        self.border_title = Text(
            f"Stable rank score · δ {self._delta:g}" if view.variant != "off" else "Groups"
        )
        self.row = min(self.row, max(0, len(new) - 1))
        self.refresh(layout=grown)

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
        return max(2, len(self._rows) + 1)

    def render(self) -> Text:
        styles = colours(self.app.theme)
        width = self.content_size.width
        if not self._rows:
            return Text(
                "No group can switch in this run: it stays in one phase."
                if self._variant == "off"
                else "Waiting for the first line of the run …",
                style=styles["dim"],
            )
        return table_text(
            self._rows,
            self._delta,
            width,
            self.row if self.has_focus else None,
            self.row,
            self._flash,
            styles,
        )

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
