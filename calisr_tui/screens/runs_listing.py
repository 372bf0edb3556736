"""Which runs are listed, and how: read as they grow, filtered, ordered, in columns and groups."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from calisr_engine.runs.arrange import Group, grouped, innermost, ordered
from calisr_engine.runs.columns import column
from calisr_engine.runs.filter import usable
from calisr_tui import late
from calisr_tui.charts import runs_text
from calisr_tui.preferences import RunsTable, read_runs_table, write_runs_table
from calisr_tui.screens.run_actions import RunActions
from calisr_tui.screens.run_choices import choose_columns, choose_groups
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.run_list import LEAD, RunList, heading
from calisr_tui.widgets.verbatim import Static

if TYPE_CHECKING:
    from calisr_engine.runs.columns import Column
    from calisr_engine.runs.filter import FilterError
    from calisr_engine.runs.store import RunSummary

COLUMNS = (
    *("state", "name", "best", "metric", "task", "method", "calibration", "delta", "time"),
    *("created", "tags", "lr", "seed", "last", "share", "steps", "model", "run"),
)
"""The usual columns, but for those in which no run has a value: as many of the first as fit."""
FEW = 12
"""Runs up to which the list has a fixed height, which holds them, and the curves have the rest."""
MANY = 500
"""Runs of which Python's collector, which stops everything, need not go through the history lines
again and again: they hold no circles, and stay."""
LIVE_SECONDS, IDLE_SECONDS, READING_SHARE = 1.0, 5.0, 20
"""Between two looks at runs in training, and at the others; listing them takes at most one part in
so many of the time."""


LIST_COMMANDS = [
    ("runs: filter", "best>0.8 lr=3e-4 tag:x text", "filter"),
    ("runs: sort", "by the next column", "sort"),
    ("runs: turn the order round", "up or down", "turn"),
    ("runs: columns", "any figure or setting", "columns"),
    ("runs: group", "by any setting, as a tree", "group"),
    ("runs: fold all groups", "or unfold them", "fold_all"),
]
"""Palette commands: title, help, action."""


class RunListing(RunActions):
    """A screen with a `RunList`, the titles of its columns, a line above and a filter.

    Attributes:
        runs: all runs of the folder; listed: those that fit the filter, in their order.
        marked: ids of the runs that are marked.
        read_once: whether the folder was read at all.
        table: columns, order and groups.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", id="runs.filter"),
        Binding("s", "sort", "Sort", show=False, id="runs.sort"),
        Binding("S", "turn", "Other way round", show=False, id="runs.turn"),
        Binding("k", "columns", "Columns", show=False, id="runs.columns"),
        Binding("g", "group", "Group", show=False, id="runs.group"),
        Binding("G", "fold_all", "Fold all", show=False, id="runs.fold_all"),
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
        self._layout: runs_text.Layout | None = None
        self._made_of: tuple[object, ...] = ()
        self.read_once = self._reading = self._again = False
        self._since = self._took = 0.0

    def begin_listing(self) -> None:
        """List the runs as they were listed the last time."""
        self.table = self._remembered = read_runs_table(self.app.config_dir)
        self.query_one(RunList).focus()
        self.action_reload()

    def row_changed(self) -> None:
        """The rows, or the row under the cursor, may be others."""
        raise NotImplementedError

    # Reading -------------------------------------------------------------------------------------

    def on_tick(self, elapsed: float) -> None:
        self._since += elapsed
        live = any(run.state in ("running", "paused") for run in self.runs)
        wait = max(LIVE_SECONDS if live else IDLE_SECONDS, READING_SHARE * self._took)
        if self._since > wait and not self._reading:
            self._look(whole=False)

    def on_screen_resume(self) -> None:
        self.action_reload()

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
        began = time.perf_counter()
        history = self.app.history
        found = history.read() if whole else history.read_again()
        new = found != self.runs or not self.read_once
        for run in found if new else ():  # what a filter asks first takes time, and none here
            _ = run.searched, run.settings
        if not self.read_once and len(found) > MANY:
            gc.freeze()
        self._took = time.perf_counter() - began
        late.from_thread(self, self._take, found, new)

    def _take(self, found: list[RunSummary], new: bool) -> None:
        self._reading = False
        if new:
            self.read_once = True
            self.runs, self._layout = found, None
            there = {run.run_id for run in found}
            self.marked = [run_id for run_id in self.marked if run_id in there]
            self._fill()
        if self._again:
            self.action_reload()

    # Showing -------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[Column]:
        """What is to be shown, if it fits."""
        chosen = [column(name) for name in self.table.columns]
        return chosen or runs_text.without_empty(self.runs, map(column, COLUMNS))

    def _fill(self) -> None:
        """List the runs as filter, order and groups have them; terms of the filter that cannot be
        used are told, and change nothing."""
        listed, above = self.query_one(RunList), self.query_one("#runs-columns", Static)
        text = self.query_one("#filter", Input).value
        keep, mistake = usable(text)
        made_of = (self.runs, text, self.table.sort, self.table.down)
        if made_of != self._made_of:  # folding a group asks for none of it
            self._made_of = made_of
            found = filter(keep, self.runs) if keep.tests else self.runs
            self.listed = ordered(found, column(self.table.sort), self.table.down)
        if self._layout is None:
            room = max(10, self.app.size.width - LEAD - 1)
            self._layout = runs_text.laid_out(self.runs, self.columns, room, signs=True)
        self.set_class(len(self.runs) <= FEW, "few")
        rows = grouped(self.listed, [column(name) for name in self.table.groups], self._folded)
        listed.show(rows, self._layout, self.marked)
        above.update(self._titles(text, mistake), layout=False)
        self.show_head()
        self.row_changed()

    def _titles(self, text: str, mistake: FilterError | None) -> Text:
        """The titles of the columns; what is wrong with the filter in their place."""
        if mistake is None:
            assert self._layout is not None
            titles = heading(self._layout, self.table.sort, self.table.down)
            return Text(titles, no_wrap=True)
        said = f"✗ {mistake.told(text)}"
        return Text(said, colours(self.app.theme)["bad"], no_wrap=True, overflow="ellipsis")

    def redraw(self) -> None:
        """Draw again what depends on the theme."""
        self._fill()

    def room_changed(self) -> None:
        """Lay the columns out anew."""
        self._layout = None
        late.after_refresh(self, self._fill)

    def fold(self, group: Group) -> None:
        """Fold a group, or unfold it."""
        self._folded ^= {group.path}
        self._fill()

    def action_fold_all(self) -> None:
        """Fold every group that holds runs; where all are, unfold them."""
        groups = innermost(self.listed, [column(name) for name in self.table.groups])
        paths = {group.path for group in groups} if self.table.groups else set()
        self._folded = set() if paths <= self._folded else self._folded | paths
        self._fill()

    @property
    def idle(self) -> bool:
        """Whether no list is read, or about to be."""
        return not self._reading

    def show_head(self) -> None:
        """The line above: where, how many, in which order."""
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
