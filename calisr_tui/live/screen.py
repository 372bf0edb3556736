"""One run as it trains, or as it was: status, SRS table, timeline, charts and log."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from calisr_tui import late, words
from calisr_tui.budget import Budget
from calisr_tui.charts import plots
from calisr_tui.dialogs import Reading
from calisr_tui.feed import Feed
from calisr_tui.host import Host
from calisr_tui.live import panes
from calisr_tui.live.board import Board
from calisr_tui.live.footer import AFTER
from calisr_tui.live.panes import Look, Pane
from calisr_tui.live.run_screen import STEERING, RunScreen
from calisr_tui.next_steps import COMMANDS
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.score_pane import ScorePane
from calisr_tui.widgets.srs_table import SrsTable
from calisr_tui.widgets.status_line import StatusLine
from calisr_tui.widgets.timeline import Timeline
from calisr_tui.widgets.verbatim import Static

LOOKING = [
    ("view: freeze", "stop the display, not the run", "freeze"),
    ("view: full-screen pane", "the chosen pane alone", "full"),
    ("view: smooth", "next smoothing of the loss", "smooth"),
    ("view: log scale", "logarithmic loss and share", "log_scale"),
    ("view: cursor", "values at a step", "cursor"),
    ("view: next group", "stable ranks of all groups small, or of one large", "next_group"),
    ("group: explain", "what the counter means and why it came out so", "explain"),
    ("run: copy folder", "copy the run directory", "copy"),
    ("run: settings", "the run's config.toml", "settings"),
    ("run: traceback", "of a failed run", "traceback"),
]
COMPACT_WIDTH, COMPACT_HEIGHT = 100, 30
TINY_HEIGHT = 22
"""Rows below which panes have no borders."""

TALL_HEIGHT = 36
"""Rows from which on the table has room for four lines of words."""

DRAWING_SHARE = 0.01
"""Share of a core that the screen may take while its own process trains: both share one lock."""

TABLE_SECONDS = 0.5
"""Seconds between two drawings of status, counters and timeline in that case."""

LONGEST_WAIT = 2.0
"""Seconds after which a chart is drawn again even so."""


class LiveScreen(RunScreen):
    """Shows the run of its feed. Each tick of the app polls the feed; only changes are drawn."""

    PARTS: ClassVar[tuple[type[Widget], ...]] = panes.kinds()
    FOOTER = AFTER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", id="live.pause"),
        Binding("s", "stop_and_save", "Stop+save", id="live.stop_and_save"),
        Binding("x", "stop", "Stop", show=False, id="live.stop"),
        Binding("e", "evaluate", "Evaluate", show=False, id="live.evaluate"),
        Binding("k", "checkpoint", "Checkpoint", show=False, id="live.checkpoint"),
        Binding("w", "switch", "Switch", id="live.switch"),
        Binding("z,space", "freeze", "Freeze", key_display="z", id="live.freeze"),
        Binding("f", "full", "Full", id="live.full"),
        Binding("c", "cursor", "Cursor", show=False, id="live.cursor"),
        Binding("m", "smooth", "Smooth", show=False, id="live.smooth"),
        Binding("l", "log_scale", "Log scale", show=False, id="live.log_scale"),
        Binding("g", "next_group", "Next group", show=False, id="live.next_group"),
        Binding("i", "explain", "Explain", id="live.explain"),
        Binding("t", "traceback", "Traceback", show=False, id="live.traceback"),
        Binding("r", "resume_run", "Resume run", show=False, id="live.resume_run"),
        Binding("C", "compare", "Compare", show=False, id="live.compare"),
        Binding("y", "copy", "Copy run", show=False, id="live.copy"),
        Binding("o", "settings", "Settings", show=False, id="live.settings"),
        Binding("left", "move_cursor(-1)", "Cursor left", show=False, id="live.cursor_left"),
        Binding("right", "move_cursor(1)", "Cursor right", show=False, id="live.cursor_right"),
        Binding("escape", "leave", "Back", show=False, id="live.leave"),
        *panes.bindings(),
    ]

    def __init__(self, feed: Feed | None = None) -> None:
        super().__init__(feed)
        self.pane = "timeline"
        self.full = False
        self._beneath = self.pane
        self.frozen = False
        self.smoothing = 2
        self.log_scale = False
        self.cursor: float | None = None
        self.group: str | None = None
        self._seen: dict[str, int] | None = None
        self._version = -1
        self._dirty = True
        self._ready = False
        self._stale: dict[Pane, None] = {}
        self._problem = ""
        self._budget = Budget(DRAWING_SHARE, LONGEST_WAIT)

    @classmethod
    def begin(cls, app: Host, shown: LiveScreen | None) -> bool:
        """Asked before a jump here: whether there is a run to show; says so if there is none."""
        if shown is not None and shown.feed is not None:
            return True
        app.notify("no run is open: start one (F2) or choose one (F4)", timeout=4)
        if app.current_mode not in ("setup", "runs"):
            app.switch_mode("runs")
        return False

    # What is on the screen -----------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield Static("", id="problem")
        yield Board()
        yield from self.compose_bottom()
        yield Keys()

    def compose_bottom(self) -> ComposeResult:
        """What a kind of this screen puts above the footer."""
        yield from ()

    def on_mount(self) -> None:
        self._ready = True
        self._arrange()
        self._widget(panes.PANES[0]).focus()
        self.on_tick(0.0)

    def open(self, feed: Feed) -> None:
        """Show another run."""
        self.feed = feed
        self.frozen = False
        self.cursor, self.group, self._seen = None, None, None
        self._version, self._dirty, self._told_failure = -1, True, False
        if self._ready:
            self.on_tick(0.0)

    @property
    def compact(self) -> bool:
        """Whether there is room for the table and one more pane only."""
        return self.app.size.width < COMPACT_WIDTH or self.app.size.height < COMPACT_HEIGHT

    def on_resize(self, event: events.Resize) -> None:
        self._arrange()
        self._dirty = True
        self._redraw_now_and_laid_out()

    def on_screen_resume(self) -> None:
        self._arrange()  # a resize meanwhile is told of after this
        self._dirty = True
        self.on_tick(0.0)

    def _arrange(self) -> None:
        """Decide which panes are seen."""
        if not self._ready:
            return
        first, *rest = panes.PANES
        if self.full:
            seen = {self.pane}
        elif self.compact:
            self.pane = rest[0].name if self.pane == first.name else self.pane
            seen = {first.name, self.pane}
        else:
            seen = {pane.name for pane in panes.PANES}
        self.set_class(self.compact, "compact")
        self.set_class(self.full, "full")
        height = self.app.size.height
        self.set_class(height < TINY_HEIGHT, "tiny")
        roomy = not self.compact and height >= TALL_HEIGHT
        self.query_one(SrsTable).give_lines(4 if roomy else 1 if height < COMPACT_HEIGHT else 2)
        self.set_class(any(p.name == self.pane and p.column == "left" for p in rest), "tall-left")
        board = self.query_one(Board)
        board.show_only(seen)
        board.show_strip(self.compact and not self.full, self.pane)

    def _widget(self, pane: Pane) -> Widget:
        return self.query_one(Board).widget(pane)

    @property
    def _composed(self) -> bool:
        """Whether the panes are there: a late timer may come while they are being removed."""
        return self._ready and bool(self.query(StatusLine))

    # Drawing -------------------------------------------------------------------------------------

    def on_tick(self, elapsed: float) -> None:
        """Called by the app's timer: take in what is new, redraw what changed."""
        if self.feed is None or not self._composed:
            return
        changed = self.feed.poll()
        self._notice_failure()
        self.name_next_steps()
        self._budget.tick()
        if changed:
            self._stale = dict.fromkeys((*self._stale, *self._charts()))
        news = bool(self._stale) or self._dirty or self.query_one(SrsTable).flashing
        if self.frozen or not news:
            if changed:
                self._show_status()
        elif self._dirty or not self.app.started.running:
            self.redraw()
        elif self._budget.since_any() >= TABLE_SECONDS:
            self._draw_counters()
            if self._stale and self._budget.allows():
                self._budget.drew()
                self._draw_chart(next(iter(self._stale)))

    def redraw(self) -> None:
        """Give each pane the newest view; each draws only what is new to it."""
        if self.feed is None or not self._composed:
            return
        self._dirty = False
        self._draw_counters()
        self._budget.drew()
        for pane in self._charts():
            self._draw_chart(pane)

    def _draw_counters(self) -> None:
        """Status, counters, timeline and log."""
        assert self.feed is not None
        self._budget.drew(costly=False)
        view = self.view
        anew = self._version != self.feed.version
        self._version = self.feed.version
        self._show_status()
        if self.group not in view.groups:
            self.group = None
        look = self._look(None if anew else self._seen, anew)
        self._seen = {g.name: len(g.history) for g in view.groups.values()}
        for pane in panes.PANES:
            if not pane.costly:
                pane.show(self._widget(pane), look)

    def _charts(self) -> list[Pane]:
        return [pane for pane in panes.PANES if pane.costly]

    def _draw_chart(self, pane: Pane) -> None:
        self._stale.pop(pane, None)
        widget = self._widget(pane)
        if widget.display:
            pane.show(widget, self._look())

    def _look(self, seen: dict[str, int] | None = None, anew: bool = False) -> Look:
        factor = plots.SMOOTHING[self.smoothing]
        return Look(self.view, factor, self.log_scale, self.cursor, self.group, seen, anew)

    def _show_status(self) -> None:
        assert self.feed is not None
        self.query_one(StatusLine).show(self.view, self.notes(), self.state)
        if self.feed.problem != self._problem:  # an update lays the whole screen out anew
            self._problem = self.feed.problem
            problem = self.query_one("#problem", Static)
            problem.display = bool(self._problem)
            problem.update(f"! {self._problem}")

    def notes(self) -> list[str]:
        """Words in the status line beside the state."""
        found = []
        if self.frozen:
            found.append("DISPLAY FROZEN, z goes on")
        if self.state == "loading":
            found.append("loading model and data …")
        if self.view.synthetic_data:
            found.append("synthetic data")
        return found

    # Panes, groups, cursor -----------------------------------------------------------------------

    def action_pane(self, name: str) -> None:
        self.pane = name
        self._arrange()
        self._dirty = True
        self.query_one(f"#{name}").focus()
        self._redraw_now_and_laid_out()

    def action_full(self) -> None:
        if not self.full:
            focused = self.focused.id if self.focused is not None else None
            first = panes.PANES[0]
            if focused == first.name and self.query_one(ScorePane).is_map:
                self._beneath, self.pane = self.pane, first.name
            elif not self.compact and any(pane.name == focused for pane in panes.PANES):
                self.pane = str(focused)
        seen = self.pane
        if self.full and seen == panes.PANES[0].name:
            self.pane = self._beneath
        self.full = not self.full
        self._arrange()
        self._dirty = True
        self.query_one(f"#{seen}").focus()
        self._redraw_now_and_laid_out()

    def _redraw_now_and_laid_out(self) -> None:
        """Charts can draw before a pane that comes into view has its size; the log cannot.

        Now, because what waits for a refresh is lost where another screen is on top and goes before
        it; and a chart that comes into view without its lines would say that there are none.
        """
        self.redraw()
        late.after_refresh(self, self.redraw)

    def action_leave(self) -> None:
        if self.full:
            self.action_full()
        elif self.cursor is not None:
            self.action_cursor()
        else:
            self.app.action_jump(self.app.live_back)

    def action_freeze(self) -> None:
        self.frozen = not self.frozen
        self._dirty = True
        self.on_tick(0.0)
        if self.frozen:
            self._show_status()

    def action_smooth(self) -> None:
        self.smoothing = (self.smoothing + 1) % len(plots.SMOOTHING)
        factor = plots.SMOOTHING[self.smoothing]
        self.app.notify(f"smoothing {factor:g}" if factor else "no smoothing", timeout=1.5)
        self.redraw()

    def action_log_scale(self) -> None:
        self.log_scale = not self.log_scale
        self.redraw()

    def action_next_group(self) -> None:
        """All groups small, then each one large."""
        names = [None, *self.view.groups]
        at = names.index(self.group) if self.group in names else 0
        self._choose(names[(at + 1) % len(names)])

    def _choose(self, group: str | None) -> None:
        self.group = group
        if group is not None:
            self.query_one(SrsTable).choose(group)
            self.query_one(Timeline).choose(group)
        for pane in panes.PANES:
            if pane.grouped:
                self._draw_chart(pane)

    def action_cursor(self) -> None:
        self.cursor = None if self.cursor is not None else float(self.view.step)
        if self.cursor is not None:
            self.app.notify("← → move the cursor, c takes it away", timeout=2)
        self.redraw()

    def action_move_cursor(self, by: int) -> None:
        if self.cursor is None:
            return
        stride = max(1.0, self.view.total_steps / 80)
        limit = float(self.view.total_steps or 1)
        self.cursor = float(round(max(0.0, min(limit, self.cursor + by * stride))))
        self.redraw()

    @on(SrsTable.Chosen)
    @on(Timeline.Chosen)
    def chosen(self, event: SrsTable.Chosen | Timeline.Chosen) -> None:
        event.stop()
        if event.group != self.group:
            self._choose(event.group)
        if event.explain:
            self.action_explain()

    def action_explain(self) -> None:
        """Say in two sentences what the chosen counter is and why it came out so."""
        group = self.view.groups.get(self.group or self.query_one(SrsTable).group or "")
        if group is None:
            text = (
                f"This run uses {self.view.method} without calibration, so no group is counted "
                "and none switches."
            )
            self.app.push_screen(Reading("No groups", text))
            return
        self.app.push_screen(Reading(group.name, words.explain_group(self.view, group), wide=True))

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [*STEERING, *COMMANDS, *self.looking()]

    def looking(self) -> list[tuple[str, str, str]]:
        """Those that concern the display only."""
        return [*LOOKING, *panes.commands()]
