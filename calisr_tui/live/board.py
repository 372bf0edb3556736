"""The panes as they stand on the live screen: two columns of rows, and a strip of their names."""

from __future__ import annotations

from collections.abc import Set

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.widget import Widget

from calisr_tui.live import panes
from calisr_tui.live.panes import Pane
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Static

COLUMNS: tuple[panes.Column, ...] = ("left", "right")


class Board(Container):
    """The widgets of all panes; the screen says which of them are seen."""

    def __init__(self) -> None:
        super().__init__(id="panes")

    def compose(self) -> ComposeResult:
        for column in COLUMNS:
            with Vertical(id=column):
                for row, within in panes.rows(column).items():
                    if within[0].row:
                        with Horizontal(id=row):
                            for pane in within:
                                yield pane.make()
                    else:
                        yield within[0].make()
                    if within[0] is panes.PANES[0]:
                        yield Static("", id="strip")

    def widget(self, pane: Pane) -> Widget:
        return self.query_one(f"#{pane.name}")

    def show_only(self, names: Set[str]) -> None:
        """Show the panes of these names; a row or column without one of them is not shown."""
        for column in COLUMNS:
            for row, within in panes.rows(column).items():
                for pane in within:
                    self.widget(pane).display = pane.name in names
                self.query_one(f"#{row}").display = any(pane.name in names for pane in within)
            here = (pane.name for pane in panes.PANES if pane.column == column)
            self.query_one(f"#{column}").display = any(name in names for name in here)

    def show_strip(self, shown: bool, chosen: str) -> None:
        """The names of the panes that share one place where there is little room."""
        strip = self.query_one("#strip", Static)
        strip.display = shown
        strip.update(
            Text("  ").join(
                Text(f" {number} {pane.word} ", "reverse")
                if pane.name == chosen
                else Text.assemble((str(number), "bold"), f" {pane.word}")
                for number, pane in enumerate(panes.PANES[1:], start=2)
            )
        )
