"""The report of a grid: what `calisr report` prints, to read, copy or save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.screen import Screen
from textual.widgets import Footer, Static

from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.grid.plan import GridPlan
from calisr_tui.screens.dialogs import Choice, Picking, ask_file

if TYPE_CHECKING:
    from calisr_engine.grid.report import Report
    from calisr_tui.app import CalisrApp

ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv", "json": "json"}
NOBODY = "?none"


class ReportScreen(Screen[None]):
    """The table of one grid in one of five formats."""

    app: CalisrApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "format", "Format", id="report.format"),
        Binding("a", "against", "Compare with", id="report.against"),
        Binding("p", "policy", "Best/last", id="report.policy"),
        Binding("y", "copy", "Copy", id="report.copy"),
        Binding("w", "write", "Save", id="report.save"),
        Binding("u", "reload", "Read again", show=False, id="report.reload"),
        Binding("escape", "back", "Grid", id="report.back"),
    ]

    def __init__(self, plan: GridPlan) -> None:
        super().__init__()
        self.plan = plan
        self.form = "text"
        self.report: Report | None = None
        self.text = ""

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="report-head")
        with ScrollableContainer(id="report-body"):
            yield Static("Reading the runs …", id="report-text")
        yield Static("", id="report-notes")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#report-body").focus()
        self.action_reload()

    def action_reload(self) -> None:
        self._make(self.plan)

    @work(thread=True, exclusive=True, group="report")
    def _make(self, plan: GridPlan) -> None:
        from calisr_engine.grid.report import make_report

        problem, made = "", None
        try:
            try:
                made = make_report(plan)
            except ConfigError as error:  # the file compares with a row that it does not have
                problem = str(error)
                made = make_report(plan.with_head(against=None))
        except (CalisrError, OSError, ValueError) as error:
            problem = str(error)
        self.app.call_from_thread(self._take, plan, made, problem)

    def _take(self, plan: GridPlan, made: Report | None, problem: str) -> None:
        if plan is not self.plan or not self.is_mounted:
            return
        if problem and made is not None:
            self.app.notify(f"against: {problem}", severity="warning")
        if made is None:
            self.query_one("#report-text", Static).update(Text(problem))
            return
        self.report = made
        self._show()

    def _show(self) -> None:
        report = self.report
        if report is None:
            return
        self.text = report.render(self.form)
        shown, notes = self.text.rstrip("\n"), ""
        if self.form == "text":  # what is no table wraps, and stays in sight
            shown, _, notes = shown.rpartition("\n\n")
            notes = " ".join(notes.splitlines())
        head = self.plan.grid.grid
        against = f"against {report.against}" if report.against else "no comparison"
        self.query_one("#report-head", Static).update(
            f"Report {head.name} · {self.form} · {report.policy} · {against}"
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

    def action_policy(self) -> None:
        """The best evaluation of each run, or the last."""
        policy = "last" if self.plan.grid.grid.policy == "best" else "best"
        self.plan = self.plan.with_head(policy=policy)
        self.action_reload()

    def action_against(self) -> None:
        """Choose the row that every row is compared with."""
        if self.report is None:
            return
        choices = [Choice(row, row) for row in self.report.rows]
        choices.append(Choice(NOBODY, "no comparison"))

        def chosen(row: str | None) -> None:
            if row is not None:
                self.plan = self.plan.with_head(against=None if row == NOBODY else row)
                self.action_reload()

        self.app.push_screen(Picking("Compare every row with", choices), chosen)

    def action_copy(self) -> None:
        """Copy the report in the format that is shown."""
        if self.report is not None:
            self.app.copy_to_clipboard(self.text)
            self.app.notify(f"copied as {self.form}", timeout=2)

    def action_write(self) -> None:
        """Save the report in the format that is shown."""
        if self.report is None:
            return
        text = self.text

        def save(path: Path) -> None:
            try:
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                self.app.notify(f"not saved: {error}", severity="error")
            else:
                self.app.notify(f"saved {path}")

        name = f"{self.plan.grid.grid.name}-report.{ENDINGS[self.form]}"
        ask_file(self.app, "Save the report", name, save)

    def action_back(self) -> None:
        self.dismiss(None)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("report: format", "text, Markdown, LaTeX, CSV, JSON", "format"),
            ("report: compare with", "the row for differences and p-values", "against"),
            ("report: best or last", "which evaluation of a run counts", "policy"),
            ("report: copy", "in the format shown", "copy"),
            ("report: save", "to a file", "write"),
            ("report: read again", "the run directories", "reload"),
        ]
