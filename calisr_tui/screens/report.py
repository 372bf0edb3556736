"""The report of a grid: what `calisr report` prints, to read, copy or save."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.screen import Screen

from calisr_engine.errors import CalisrError
from calisr_engine.grid import Grid
from calisr_engine.storage.whole import write_text
from calisr_tui import late
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking, ask_file
from calisr_tui.host import Host
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.verbatim import Static

if TYPE_CHECKING:
    from calisr_engine.grid.table import Table

ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv", "json": "json"}
NOBODY = "?none"
EDGES = 4
"""Cells beside the text: its padding, and the bar that scrolls it."""

ROOM_FOR_NOTES = 22
"""Lines of a screen from which on the notes stand below the table, and do not scroll with it."""


class ReportScreen(Screen[None]):
    """The table of one grid in one of five formats."""

    app: Host

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "format", "Format", id="report.format"),
        Binding("a", "against", "Compare with", id="report.against"),
        Binding("p", "policy", "Best/last", id="report.policy"),
        Binding("s", "explain", "Statistics", id="report.explain"),
        Binding("y", "copy", "Copy", id="report.copy"),
        Binding("w", "write", "Save", id="report.save"),
        Binding("u", "reload", "Read again", show=False, id="report.reload"),
        Binding("escape", "back", "Grid", id="report.back"),
    ]

    def __init__(self, source: Grid) -> None:
        super().__init__()
        self.source = source
        self.form = "text"
        self.explain = False
        self.table: Table | None = None
        self.text = ""
        self._room = (0, False)

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="report-head")
        with ScrollableContainer(id="report-body"):
            yield Static("Reading the runs …", id="report-text")
        yield Static("", id="report-notes")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#report-body").focus()
        self.action_reload()

    def on_resize(self) -> None:
        room = (self.app.size.width - EDGES, self.app.size.height < ROOM_FOR_NOTES)
        if room != self._room:
            self._room = room
            self._show()

    def action_reload(self) -> None:
        self._make(self.source)

    @work(thread=True, exclusive=True, group="report")
    def _make(self, source: Grid) -> None:
        from calisr_engine.grid.table import grid_table

        found: Table | str
        try:
            found = grid_table(source)
        except (CalisrError, OSError, ValueError) as error:
            found = str(error)
        late.from_thread(self, self._take, source, found)

    def _take(self, source: Grid, found: Table | str) -> None:
        if source is not self.source:
            return
        if isinstance(found, str):
            self.query_one("#report-text", Static).update(Text(found))
            return
        self.table = found
        self._show()

    def _show(self) -> None:
        table = self.table
        if table is None:
            return
        from calisr_engine.grid.render import WIDTH, render

        self.text = render(table, self.form, self.explain)
        shown, notes = self.text.rstrip("\n"), ""
        if self.form == "text":
            # what is no table wraps, and stays in sight where there is room
            width, low = self._room
            shown = render(table, self.form, self.explain, min(WIDTH, width))
            shown, _, notes = shown.rstrip("\n").rpartition("\n\n")
            notes = " ".join(notes.splitlines())
            if low:
                shown, notes = f"{shown}\n\n{textwrap.fill(notes, width)}", ""
        head = self.source.head
        against = f"against {table.against}" if table.against else "no comparison"
        self.query_one("#report-head", Static).update(
            f"Report {head.name} · {self.form} · {table.policy} · {against}"
        )
        self.query_one("#report-text", Static).update(Text(shown, no_wrap=True))
        self.query_one("#report-notes", Static).update(Text(notes))
        self.query_one("#report-notes").display = bool(notes)

    # Keys ----------------------------------------------------------------------------------------

    def action_format(self) -> None:
        """The next format: text, Markdown, LaTeX, CSV, JSON."""
        styles = list(ENDINGS)
        self.form = styles[(styles.index(self.form) + 1) % len(styles)]
        self.query_one("#report-body").scroll_home(animate=False)
        self._show()

    def action_explain(self) -> None:
        """What each cell's comparison tells, in full; or a sentence for each row."""
        self.explain = not self.explain
        self._show()

    def action_policy(self) -> None:
        """The best evaluation of each run, or the last."""
        policy = "last" if self.source.head.policy == "best" else "best"
        self.source = self.source.with_head(policy=policy)
        self.action_reload()

    def action_against(self) -> None:
        """Choose the row that every row is compared with."""
        if self.table is None:
            return
        choices = [Choice(row, row) for row in self.table.rows]
        choices.append(Choice(NOBODY, "no comparison"))

        def chosen(row: str | None) -> None:
            if row is not None:
                self.source = self.source.with_head(against=None if row == NOBODY else row)
                self.action_reload()

        self.app.push_screen(Picking("Compare every row with", choices), chosen)

    def action_copy(self) -> None:
        """Copy the report in the format that is shown."""
        if self.table is not None:
            self.app.copy_to_clipboard(self.text)
            self.app.notify(f"copied as {self.form}", timeout=2)

    def action_write(self) -> None:
        """Save the report in the format that is shown."""
        if self.table is None:
            return
        text = self.text

        def save(path: Path) -> None:
            try:
                write_text(path, text, "the report")
            except CalisrError as error:
                self.app.notify(str(error), severity="error")
            else:
                self.app.notify(f"saved {path}")

        name = f"{self.source.head.name}-report.{ENDINGS[self.form]}"
        ask_file(self.app, "Save the report", name, save)

    def action_back(self) -> None:
        self.dismiss(None)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("report: format", "text, Markdown, LaTeX, CSV, JSON", "format"),
            ("report: compare with", "the row for differences and p-values", "against"),
            ("report: best or last", "which evaluation of a run counts", "policy"),
            ("report: statistics", "what each cell's comparison tells, in full", "explain"),
            ("report: copy", "in the format shown", "copy"),
            ("report: save", "to a file", "write"),
            ("report: read again", "the run directories", "reload"),
        ]
