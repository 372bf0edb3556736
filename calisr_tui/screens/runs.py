"""The history: every run of the output folder, to find, open, resume, note, compare or delete."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from calisr_engine.runs.arrange import Group, grouped, ordered
from calisr_engine.runs.columns import column
from calisr_engine.runs.filter import FilterError, parse
from calisr_tui.charts import runs_text
from calisr_tui.dialogs import ask_file
from calisr_tui.preferences import RunsTable, read_runs_table, write_runs_table
from calisr_tui.screens import run_notes
from calisr_tui.screens.compare import MOST_COMPARED
from calisr_tui.screens.run_actions import ONE_RUN, RunActions
from calisr_tui.screens.run_choices import choose_columns, choose_groups
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.run_curves import RunCurves
from calisr_tui.widgets.run_list import LEAD, RunList, heading
from calisr_tui.widgets.verbatim import Static

if TYPE_CHECKING:
    from calisr_engine.runs.columns import Column
    from calisr_engine.runs.store import History, RunSummary

COLUMNS = (
    *("state", "name", "best", "metric", "task", "method", "calibration", "delta", "time"),
    *("created", "tags", "lr", "seed", "last", "share", "steps", "model", "run"),
)
"""The usual columns, but for those in which no run has a value: as many of the first as fit."""
HINT = "/ to filter: best>0.8 lr=3e-4 tag:x text"
MANY = 500
"""Runs of which Python's collector, which stops everything, need not go through the history lines
again and again: they hold no circles, and stay."""
LIVE_SECONDS, IDLE_SECONDS, READING_SHARE = 1.0, 5.0, 20
"""Between two looks at runs in training, and at the others; listing them takes at most one part in
so many of the time."""

_MANY = {
    "runs.mark": "Mark",
    "runs.compare": "Compare",
    "runs.filter": "Filter",
    "app.help": "Help",
    "app.quit": "Quit",
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
    "failed": {"run.begin_from": "Edit settings", "runs.resume": "Resume", **_MANY},
}
"""State of the run under the cursor -> the keys of the footer."""


class RunsScreen(RunActions):
    """A list of runs with the curves of the one under the cursor, or of those that are marked."""

    PARTS = (RunList,)
    FOOTER = FOOTER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", key_display="space", id="runs.mark"),
        Binding("c", "compare", "Compare", id="runs.compare"),
        Binding("slash", "filter", "Filter", key_display="/", id="runs.filter"),
        Binding("s", "sort", "Sort", show=False, id="runs.sort"),
        Binding("S", "turn", "Other way round", show=False, id="runs.turn"),
        Binding("k", "columns", "Columns", show=False, id="runs.columns"),
        Binding("g", "group", "Group", show=False, id="runs.group"),
        Binding("l", "curves", "Curves", show=False, id="runs.curves"),
        Binding("x", "export", "Export", show=False, id="runs.export"),
        Binding("w", "write", "Save list", show=False, id="runs.save"),
        Binding("u", "reload", "Read again", show=False, id="runs.reload"),
        Binding("escape", "clear_filter", "No filter", show=False, id="runs.clear_filter"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[RunSummary] = []
        self.listed: list[RunSummary] = []
        self.marked: list[str] = []
        self.table = self._remembered = RunsTable()
        self._folded: set[tuple[str, ...]] = set()
        self._history: History | None = None
        self._layout: runs_text.Layout | None = None
        self._made_of: tuple[object, ...] = ()
        self._said: tuple[str, Text] = "", Text()
        self._read_once = self._reading = self._again = False
        self._since = self._took = 0.0

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="runs-head")
        yield Input(
            placeholder="/ to filter: best>0.8 lr=3e-4 tag:x text", id="filter", compact=True
        )
        yield Static("", id="runs-columns")
        yield RunList(id="runs-table")
        with Horizontal(id="runs-below"):
            yield Static("", id="run-detail", classes="box")
            yield RunCurves(id="run-curves", classes="pane")
        yield Keys()

    def on_mount(self) -> None:
        self.table = self._remembered = read_runs_table(self.app.config_dir)
        self.query_one(RunList).focus()
        self._size_up()
        self.action_reload()

    def on_screen_resume(self) -> None:
        self.action_reload()

    def on_resize(self, event: events.Resize) -> None:
        self._size_up()
        self._layout = None
        self.call_after_refresh(self._fill)

    def _size_up(self) -> None:
        size = self.app.size
        self.set_class(size.width < 100 or size.height < 30, "compact")
        self.set_class(size.height < 22, "low")

    def on_tick(self, elapsed: float) -> None:
        self._since += elapsed
        live = any(run.state in ("running", "paused") for run in self.runs)
        wait = max(LIVE_SECONDS if live else IDLE_SECONDS, READING_SHARE * self._took)
        if self._since > wait and not self._reading:
            self._look(whole=False)
        for each in self.query(RunCurves):  # none before the screen is composed and after its end
            each.on_tick(elapsed)

    def redraw(self) -> None:
        """Draw again what depends on the theme."""
        self._fill()

    @property
    def idle(self) -> bool:
        """Whether nothing is read, or about to be."""
        return not self._reading and all(each.idle for each in self.query(RunCurves))

    # Reading and showing -------------------------------------------------------------------------

    def action_reload(self) -> None:
        """Read all runs again."""
        self._look(whole=True)

    def _look(self, whole: bool) -> None:
        self._since = 0.0
        self._again = self._reading and whole
        if not self._reading:
            self._reading = True
            self._read(whole)

    @work(thread=True, group="runs")
    def _read(self, whole: bool) -> None:
        from calisr_engine.runs.store import History

        began = time.perf_counter()
        if self._history is None or self._history.root != self.app.output_dir:
            self._history = History(self.app.output_dir)
        found = self._history.read() if whole else self._history.read_again()
        new = found != self.runs or not self._read_once
        for run in found if new else ():  # what a filter asks first takes time, and none here
            _ = run.searched, run.settings
        if not self._read_once and len(found) > MANY:
            gc.freeze()
        self._took = time.perf_counter() - began
        self.app.call_from_thread(self._take, found, new)

    def _take(self, found: list[RunSummary], new: bool) -> None:
        self._reading = False
        if new:
            self._read_once = True
            self.runs, self._layout = found, None
            self._fill()
        if self._again:
            self.action_reload()

    @property
    def columns(self) -> list[Column]:
        """What is to be shown, if it fits."""
        chosen = [column(name) for name in self.table.columns]
        return chosen or runs_text.without_empty(self.runs, map(column, COLUMNS))

    def _fill(self) -> None:
        """List the runs as filter, order and groups have them."""
        listed, above = self.query_one(RunList), self.query_one("#runs-columns", Static)
        text = self.query_one("#filter", Input).value
        try:
            keep = parse(text)
        except FilterError as error:
            said = f"✗ {text[error.start : error.end]}: {error.message}"
            said += f"; {error.hint}" if error.hint else ""
            style = colours(self.app.theme)["bad"]
            above.update(Text(said, style, no_wrap=True, overflow="ellipsis"), layout=False)
            return
        made_of = (self.runs, text, self.table.sort, self.table.down)
        if made_of != self._made_of:  # folding a group asks for none of it
            self._made_of = made_of
            found = filter(keep, self.runs) if keep.tests else self.runs
            self.listed = ordered(found, column(self.table.sort), self.table.down)
        if self._layout is None:
            room = max(10, self.app.size.width - LEAD - 1)
            self._layout = runs_text.laid_out(self.runs, self.columns, room, signs=True)
        rows = grouped(self.listed, [column(name) for name in self.table.groups], self._folded)
        listed.show(rows, self._layout, self.marked)
        titles = heading(self._layout, self.table.sort, self.table.down)
        above.update(Text(titles, no_wrap=True), layout=False)
        self._head()
        self._detail()

    def _head(self) -> None:
        marked = f"{len(self.marked)} marked · " if self.marked else ""
        table = self.table
        by = "newest" if (table.sort, table.down) == ("created", True) else table.sort
        groups = f" in groups of {' and '.join(table.groups)}" if table.groups else ""
        text = (
            f"Runs in {self.app.output_dir} · {len(self.listed):,} of {len(self.runs):,} · "
            f"{marked}by {by}{groups}"
        )
        head = Text(text, no_wrap=True, overflow="ellipsis")
        self.query_one("#runs-head", Static).update(head, layout=False)

    @property
    def at_hand(self) -> tuple[Path, str] | None:
        run = self.chosen if self.is_mounted else None
        return None if run is None else (Path(run.path), run.state)

    @property
    def chosen(self) -> RunSummary | None:
        """The run under the cursor; None on a heading."""
        row = self.query_one(RunList).chosen
        return None if row is None or isinstance(row, Group) else row

    @property
    def meant(self) -> list[RunSummary]:
        """The runs that names, tags and pins are for: the marked ones, else those of the heading
        under the cursor, else the run there."""
        if self.marked:
            return [run for run in self.runs if run.run_id in self.marked]
        row = self.query_one(RunList).chosen
        if row is None:
            return []
        return list(row.runs) if isinstance(row, Group) else [row]

    @on(RunList.Moved)
    def _detail(self) -> None:
        self.name_next_steps()
        run = self.chosen
        title = "No run" if not self.listed else "A group"
        said = Text(
            "No run here yet. F2 sets one up; F6 replays the recorded example."
            if not self.runs
            else "No run matches the filter; Esc takes it away."
            if not self.listed
            else "Enter folds and unfolds it · t tags its runs · g other groups"
        )
        if run is not None:
            title, said = run.name or run.run_id, runs_text.in_words(run)
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
        self.call_after_refresh(self.query_one(RunCurves).look)

    # Filter, order, columns, groups --------------------------------------------------------------

    def action_filter(self) -> None:
        self.set_focus(self.query_one("#filter"))  # at once: the next key is typed there

    def action_clear_filter(self) -> None:
        self.query_one("#filter", Input).value = ""
        self.query_one(RunList).focus()

    @on(Input.Changed, "#filter")
    def filtered(self) -> None:
        self._fill()

    @on(Input.Submitted, "#filter")
    def filter_done(self) -> None:
        self.query_one(RunList).focus()

    def _list_as(self, table: RunsTable) -> None:
        """Show another table; it is remembered when another screen comes, or the end."""
        if table.columns != self.table.columns:
            self._layout = None
        self.table = table
        self._fill()

    @on(events.ScreenSuspend)
    @on(events.Unmount)
    def remember(self) -> None:
        """Keep how runs are listed, for the next time."""
        if self.table != self._remembered:
            self._remembered = self.table
            write_runs_table(self.app.config_dir, self.table)

    def action_sort(self) -> None:
        """By the next column that is seen; figures from the highest on."""
        seen = self._layout.columns if self._layout is not None else ()
        names = [each.name for each in seen]
        if names:
            at = names.index(self.table.sort) + 1 if self.table.sort in names else 0
            following = seen[at % len(names)]
            self._list_as(replace(self.table, sort=following.name, down=following.numeric))

    def action_turn(self) -> None:
        self._list_as(replace(self.table, down=not self.table.down))

    def action_columns(self) -> None:
        def take(columns: tuple[str, ...]) -> None:
            self._list_as(replace(self.table, columns=columns))

        choose_columns(self.app, [each.name for each in self.columns], take)

    def action_group(self) -> None:
        def take(groups: tuple[str, ...]) -> None:
            self._folded.clear()
            self._list_as(replace(self.table, groups=groups))

        choose_groups(self.app, self.table.groups, take)

    # What can be done with a run -----------------------------------------------------------------

    @on(RunList.Taken)
    def open_run(self) -> None:
        row = self.query_one(RunList).chosen
        if isinstance(row, Group):
            self._folded ^= {row.path}
            self._fill()
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
        listed = self.query_one(RunList)
        listed.mark(self.marked)
        listed.action_move(1)
        self._head()
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
            ("runs: compare", "the marked ones", "compare"),
            ("runs: filter", "best>0.8 lr=3e-4 tag:x text", "filter"),
            ("runs: sort", "by the next column", "sort"),
            ("runs: turn the order round", "up or down", "turn"),
            ("runs: columns", "any figure or setting", "columns"),
            ("runs: group", "by any setting, as a tree", "group"),
            ("runs: curves", "where little fits, in place of the words", "curves"),
            ("runs: save the list", "as CSV or JSON", "write"),
        ]
