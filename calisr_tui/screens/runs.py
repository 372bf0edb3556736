"""The history: every run of the output folder, to find, open, resume, note, compare or delete."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from calisr_engine.plain_words import one_line
from calisr_engine.runs.arrange import Group
from calisr_tui import late
from calisr_tui.charts import runs_text
from calisr_tui.dialogs import ask_file
from calisr_tui.screens import run_notes
from calisr_tui.screens.compare import MOST_COMPARED
from calisr_tui.screens.run_actions import ONE_RUN
from calisr_tui.screens.runs_listing import LIST_COMMANDS, RunListing
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.run_curves import RunCurves
from calisr_tui.widgets.run_list import RunList
from calisr_tui.widgets.verbatim import Static

HINT = "/ to filter: best>0.8 lr=3e-4 tag:x text"

_HELP = {"app.help": "Help", "app.quit": "Quit"}
_MANY = {
    "runs.mark": "Mark",
    "runs.compare": "Compare",
    "runs.filter": "Filter",
    **_HELP,
}
_HALTED = {"runs.resume": "Resume", "run.try": "Try", "run.errors": "Errors", **_MANY}
FOOTER = {
    "completed": {
        "run.try": "Try",
        "run.errors": "Errors",
        "runs.export": "Export",
        "run.begin_from": "New like it",
        **_MANY,
    },
    "stopped": _HALTED,
    "interrupted": _HALTED,
    "created": {"runs.resume": "Start", "runs.delete": "Delete", **_MANY},
    "running": {"runs.curves": "Curves", **_MANY},
    "paused": {"runs.curves": "Curves", **_MANY},
    "unreadable": {"runs.delete": "Delete", **_MANY},
    "": {"runs.group": "Group", "runs.compare": "Compare", "runs.filter": "Filter", **_HELP},
    "failed": {"run.begin_from": "Edit settings", "runs.resume": "Resume", **_MANY},
}
"""State of the run under the cursor, "" where there is none -> the keys of the footer."""


class RunsScreen(RunListing):
    """A list of runs with the curves of the one under the cursor, or of those that are marked."""

    PARTS = (RunList,)
    FOOTER = FOOTER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", key_display="space", id="runs.mark"),
        Binding("M", "unmark", "No marks", show=False, id="runs.unmark"),
        Binding("c", "compare", "Compare", id="runs.compare"),
        Binding("l", "curves", "Curves", show=False, id="runs.curves"),
        Binding("x", "export", "Export", show=False, id="runs.export"),
        Binding("w", "write", "Save list", show=False, id="runs.save"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._said: tuple[str, Text] = "", Text()

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="runs-head")
        yield Input(placeholder=HINT, id="filter", compact=True)
        yield Static("", id="runs-columns")
        yield RunList(id="runs-table")
        with Horizontal(id="runs-below"):
            yield Static("", id="run-detail", classes="box")
            yield RunCurves(id="run-curves", classes="pane")
        yield Keys()

    def on_mount(self) -> None:
        self._size_up()
        self.begin_listing()

    def on_resize(self, event: events.Resize) -> None:
        self._size_up()
        self.room_changed()

    def _size_up(self) -> None:
        size = self.app.size
        self.set_class(size.width < 100 or size.height < 30, "compact")
        self.set_class(size.height < 22, "low")

    def on_tick(self, elapsed: float) -> None:
        super().on_tick(elapsed)
        for each in self.query(RunCurves):  # none before the screen is composed and after its end
            each.on_tick(elapsed)

    @property
    def idle(self) -> bool:
        """Whether nothing is read, or about to be."""
        return super().idle and all(each.idle for each in self.query(RunCurves))

    # The row under the cursor --------------------------------------------------------------------

    @on(RunList.Moved)
    def row_changed(self) -> None:
        """Tell of the row under the cursor, in words, curves and keys."""
        self.name_next_steps()
        row = self.query_one(RunList).chosen
        if row is None:
            title = "No run"
            said = Text(
                "No run matches the filter; Esc takes it away."
                if self.runs
                else "No run here yet. F2 sets one up; F6 replays the recorded example."
                if self.read_once
                else "Reading the runs …"
            )
        elif isinstance(row, Group):
            title, said = " · ".join(map(one_line, row.path)), runs_text.group_in_words(row)
        else:
            title, said = row.name or row.run_id, runs_text.in_words(row)
        if (title, said) != self._said:
            self._said = title, said
            detail = self.query_one("#run-detail", Static)
            detail.border_title = Text(title)
            # Where it is as high as its text, the whole screen is laid out anew, which takes time.
            detail.update(said, layout=self.has_class("compact"))
        self._follow()

    def _follow(self) -> None:
        """Show the curves of the marked runs, or of the one under the cursor."""
        run = self.chosen
        names = self.marked or ([run.run_id] if run is not None else [])
        self.query_one(RunCurves).follow([self.app.output_dir / name for name in names])

    def action_curves(self) -> None:
        """The curves in the place of the words, and back."""
        self.toggle_class("curves")
        late.after_refresh(self, self.query_one(RunCurves).look)

    # What can be done with a run -----------------------------------------------------------------

    @on(RunList.Taken)
    def open_run(self) -> None:
        row = self.query_one(RunList).chosen
        if isinstance(row, Group):
            self.fold(row)
        elif (path := self._path()) is not None:
            self.app.open_run(path)

    def action_mark(self) -> None:
        run = self.chosen
        if run is None:
            return
        if run.run_id in self.marked:
            self.marked.remove(run.run_id)
        elif len(self.marked) >= MOST_COMPARED:
            self.app.notify(f"at most {MOST_COMPARED} runs can be compared", severity="warning")
        else:
            self.marked.append(run.run_id)
        self._marks_changed()
        self.query_one(RunList).action_move(1)

    def action_unmark(self) -> None:
        """Take all marks away, also of runs that the filter hides."""
        self.marked.clear()
        self._marks_changed()

    def _marks_changed(self) -> None:
        self.query_one(RunList).mark(self.marked)
        self.show_head()
        self._follow()

    def action_compare(self) -> None:
        if len(self.marked) < 2:
            self.app.notify("mark two to eight runs with the space bar first", severity="warning")
            return
        self.app.chosen_runs = [self.app.output_dir / run_id for run_id in self.marked]
        self.app.action_jump("compare")

    def forget(self, run_id: str) -> None:
        self.marked = [each for each in self.marked if each != run_id]

    def action_write(self) -> None:
        """Save the runs that are listed, with the columns chosen, as CSV or JSON."""
        columns, runs = self.columns, list(self.listed)
        ask_file(
            self.app,
            "Save the list (.csv or .json)",
            "runs.csv",
            lambda path: run_notes.save(self.app, path, runs, columns),
        )

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            *ONE_RUN,
            ("runs: mark", "for comparison", "mark"),
            ("runs: no marks", "take all marks away", "unmark"),
            ("runs: compare", "the marked ones", "compare"),
            *LIST_COMMANDS,
            ("runs: curves", "where little fits, in place of the words", "curves"),
            ("runs: save the list", "as CSV or JSON", "write"),
        ]
