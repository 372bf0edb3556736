"""Where a run's best model is wrong: scores, confusions, calibration, lengths, single rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.screen import Screen

from calisr_engine.errors import CalisrError
from calisr_engine.plain_words import one_line
from calisr_tui import late
from calisr_tui.charts import errors as charts
from calisr_tui.charts.runs_text import fitted
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking, Reading
from calisr_tui.host import Host
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.verbatim import DataTable, Static

if TYPE_CHECKING:
    from calisr_engine.analysis.error_report import ErrorReport, Mistake
    from calisr_engine.results.answers import Evaluated

MOST_ROWS = 500
COMPACT_WIDTH = 100
PLACES = ("left", "right", "third", "fourth")
TALL_HEIGHT = 50
"""Lines from which four charts stand above the rows, two beside each other."""
LEAST_TEXT = 24
"""Cells of a text in the list, at least."""
EVERY = "every"

Drawn = Callable[["ErrorReport", int], Any]
OF_CLASSES: dict[str, Drawn] = {
    "Classes, the worst first": charts.classes_table,
    "Confusion": charts.confusion_table,
    "Calibration": charts.calibration_curve,
    "By length": lambda report, width: charts.lengths_table(report),
}
OF_VALUES: dict[str, Drawn] = {
    "Prediction less target": charts.residual_bars,
    "By length": OF_CLASSES["By length"],
}


class ErrorsScreen(Screen[None]):
    """One, two or four charts above the rows; Enter shows the whole text of one."""

    app: Host
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "Next view", id="errors.view"),
        Binding("l", "label", "True class", id="errors.label"),
        Binding("p", "predicted", "Predicted", id="errors.predicted"),
        Binding("m", "other_set", "Other set", show=False, id="errors.other_set"),
        Binding("u", "reload", "Read again", id="errors.reload"),
        Binding("escape", "back", "Back", id="errors.back"),
    ]

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.found: Evaluated | None = None
        self.report: ErrorReport | None = None
        self.rows: list[Mistake] = []
        self.view = 0
        self.label: str | None = None
        self.predicted: str | None = None
        self.set: str | None = None
        self._problem = ""
        self._listed_in = 0

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="errors-head")
        yield Static("", id="errors-scores")
        with Grid(id="errors-charts"):
            for place in PLACES:
                with VerticalScroll(id=f"errors-{place}", classes="box", can_focus=False):
                    yield Static("", id=f"errors-{place}-chart")
        yield DataTable(id="errors-rows", cursor_type="row", zebra_stripes=True)
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(DataTable).focus()
        self.action_reload()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.app.size.width < COMPACT_WIDTH, "compact")
        self.set_class(self._charts > 2, "tall")
        if self.app.size.width != self._listed_in:
            self._list_rows()
        self.redraw()

    def action_reload(self) -> None:
        """Read the run's newest best answers."""
        self._problem = "Reading the answers …"
        self._read()

    @work(thread=True, exclusive=True, group="report-errors")
    def _read(self) -> None:
        from calisr_engine.analysis.mistakes import report
        from calisr_engine.results.answers import evaluated

        found: Evaluated | CalisrError
        of = None
        try:
            found = evaluated(self.run_dir, self.set)
            of = report(found.answers)
        except CalisrError as error:
            found = error
        except Exception as error:  # of a library, on files of others
            found = CalisrError(f"the errors cannot be worked out: {type(error).__name__}: {error}")
        late.from_thread(self, self._take, found, of)

    def _take(self, found: Evaluated | CalisrError, report: ErrorReport | None) -> None:
        if isinstance(found, CalisrError):
            self.found = self.report = None
            self._problem = _nothing(found)
        else:
            self.found, self.report, self._problem = found, report, ""
        self.refresh_bindings()
        self._filter()

    def _filter(self) -> None:
        from calisr_engine.analysis.mistakes import mistakes

        self.rows = []
        if self.found is not None:
            try:
                self.rows = mistakes(self.found.answers, self.label, self.predicted)
            except CalisrError as error:  # a class that another set does not have
                self.app.notify(error.message, severity="warning")
        self._list_rows()
        self.redraw()

    def _list_rows(self) -> None:
        """A line a mistake; its text has what is left of the line, and Enter shows it whole."""
        table = self.query_one(DataTable)
        at, self._listed_in = table.cursor_row, self.app.size.width
        table.clear(columns=True)
        if self.report is None:
            return
        heads = [*charts.row_heads(self.report), "row"]
        rows = self.rows[:MOST_ROWS]
        cells = [[*map(str, charts.row_words(each)), one_line(each.index)] for each in rows]
        widths = [max(map(cell_len, column)) + 2 for column in zip(heads, *cells, strict=True)]
        room = max(LEAST_TEXT, self._listed_in - sum(widths) - 3)
        for name in (*heads, "text"):
            table.add_column(name, key=name)
        for each, words in zip(rows, cells, strict=True):
            table.add_row(*words, fitted(charts.text_of(each)[:300], room).rstrip())
        table.move_cursor(row=at, animate=False)

    # Drawing -------------------------------------------------------------------------------------

    @property
    def _views(self) -> dict[str, Drawn]:
        report = self.report
        if report is None:
            return OF_CLASSES
        if report.wrong is None:
            return OF_VALUES
        lacking = {"Confusion": report.confusion, "Calibration": report.calibration}
        return {
            name: drawn for name, drawn in OF_CLASSES.items() if lacking.get(name, ()) is not None
        }

    @property
    def _of_words(self) -> bool:
        return self.report is not None and self.report.kind == "token"

    def redraw(self) -> None:
        if not self.is_mounted:
            return
        head, scores = self.query_one("#errors-head", Static), self.query_one("#errors-scores")
        assert isinstance(scores, Static)
        report, found = self.report, self.found
        if report is None or found is None:
            head.update(f"Errors of {self.run_dir.name}")
            scores.update(self._problem)
            self._show_parts(False)
            return
        self._show_parts(True)
        which = "" if len(found.names) == 1 else f" · {found.name}"
        head.update(f"Errors of {self.run_dir.name}{which} · best of step {found.step}")
        scores.update("\n".join([charts.summary(report), *found.notes, self._shown()]))
        names = list(self._views)
        count = min(len(names), self._charts)
        width = self.app.size.width // (1 if count == 1 else 2) - 5
        for number, place in enumerate(PLACES):
            box = self.query_one(f"#errors-{place}")
            box.display = number < count
            name = names[(self.view + number) % len(names)]
            box.border_title = Text(name)
            chart = self.query_one(f"#errors-{place}-chart", Static)
            chart.update(self._views[name](report, width) if box.display else "")

    @property
    def _charts(self) -> int:
        """How many charts there is room for."""
        width, height = self.app.size
        return 1 if width < COMPACT_WIDTH else 4 if height >= TALL_HEIGHT else 2

    def _show_parts(self, shown: bool) -> None:
        for part in ("charts", "rows"):
            self.query_one(f"#errors-{part}").display = shown
        if shown and self.focused is None:  # a table that is not seen has no focus
            self.query_one(DataTable).focus()

    def _shown(self) -> str:
        """What the table below holds."""
        if self.report is not None and self.report.wrong is None:
            return f"{min(MOST_ROWS, len(self.rows)):,} rows, the largest error first"
        chosen = [
            f"{word} {one_line(name)}"
            for word, name in (("of", self.label), ("taken for", self.predicted))
            if name is not None
        ]
        what = " ".join(["wrong entities" if self._of_words else "mistakes", *chosen])
        first = "" if len(self.rows) <= MOST_ROWS else f", {MOST_ROWS} shown"
        return f"{len(self.rows):,} {what}, the most confident first{first}"

    # Keys ----------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without answers there is nothing to turn to or to choose from."""
        return self.report is not None or action not in ("view", "label", "predicted", "other_set")

    def action_view(self) -> None:
        """The next chart."""
        self.view = (self.view + 1) % len(self._views)
        self.redraw()

    def action_label(self) -> None:
        """Only mistakes on one true class."""
        self._pick("Mistakes on the class", "label")

    def action_predicted(self) -> None:
        """Only rows that were taken for one class."""
        self._pick("Taken for the class", "predicted")

    def _pick(self, title: str, which: str) -> None:
        classes = self.report.classes if self.report is not None else None
        if classes is None:
            self.app.notify("there are no classes to choose from", severity="warning")
            return

        def picked(name: str | None) -> None:
            if name is not None:
                setattr(self, which, None if name == EVERY else classes[int(name)].name)
                self._filter()

        each = [Choice(str(n), one_line(c.name), f"F1 {c.f1:.4f}") for n, c in enumerate(classes)]
        self.app.push_screen(Picking(title, [Choice(EVERY, "every class"), *each]), picked)

    def action_other_set(self) -> None:
        """The next validation set, of a task that has several."""
        names = self.found.names if self.found is not None else ()
        if self.found is None or len(names) < 2:
            self.app.notify("the run has one validation set", timeout=2)
            return
        self.set = names[(names.index(self.found.name) + 1) % len(names)]
        self.action_reload()

    @on(DataTable.RowSelected)
    def row_chosen(self, event: DataTable.RowSelected) -> None:
        """The whole text."""
        if not 0 <= event.cursor_row < len(self.rows):
            return
        each = self.rows[event.cursor_row]
        assert self.report is not None
        words = zip(charts.row_heads(self.report), charts.row_words(each), strict=True)
        facts = " · ".join(f"{name} {value}" for name, value in words)
        text = "\n\n".join(text[: charts.LONGEST_TEXT] for text in each.texts or ("no text",))
        self.app.push_screen(Reading(f"Row {each.index}", f"{facts}\n\n{text}", text, wide=True))

    def action_back(self) -> None:
        self.dismiss(None)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("errors: next view", "classes, confusion, calibration, lengths", "view"),
            ("errors: true class", "mistakes on one class", "label"),
            ("errors: predicted class", "taken for one class", "predicted"),
            ("errors: other set", "of a task with several validation sets", "other_set"),
        ]


def _nothing(error: CalisrError) -> str:
    """Why there is nothing to look at, and what to do."""
    lines = [f"There are no answers to look at: {error.message.rstrip('.')}."]
    if error.hint:
        lines.append(f"What to do: {error.hint.rstrip('.')}.")
    lines.append(
        "Errors are found in the predictions that a run keeps of its best model, at its first "
        "evaluation and after. u reads them again, Esc goes back."
    )
    return "\n\n".join(lines)
