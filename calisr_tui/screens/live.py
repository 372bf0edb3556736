"""One run as it trains, or as it was: status, SRS table, timeline, charts and log."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Static

from calisr_engine.errors import CalisrError
from calisr_engine.events.view import RunView
from calisr_engine.runs import control
from calisr_tui import words
from calisr_tui.budget import Budget
from calisr_tui.charts import plots
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Answer, Picking, Question, Reading
from calisr_tui.feed import Feed, ReplayFeed
from calisr_tui.host import Host
from calisr_tui.widgets.chart import Chart
from calisr_tui.widgets.log_pane import LogPane
from calisr_tui.widgets.srs_table import SrsTable
from calisr_tui.widgets.status_line import StatusLine
from calisr_tui.widgets.timeline import Timeline

PANES = ("table", "timeline", "loss", "share", "rank", "device", "log")
"""The panes, in the order of their number keys."""

CHARTS = ("loss", "rank", "share", "device")

PANE_WORDS = {
    "table": "score",
    "timeline": "timeline",
    "loss": "loss",
    "share": "trainable",
    "rank": "ranks",
    "device": "device",
    "log": "log",
}
STEERING = [
    ("run: pause or go on", "", "pause"),
    ("run: stop and save", "a checkpoint, then stop", "stop_and_save"),
    ("run: stop", "without a checkpoint", "stop"),
    ("run: evaluate now", "", "evaluate"),
    ("run: checkpoint now", "", "checkpoint"),
    ("run: resume", "from its newest checkpoint", "resume_run"),
    ("group: switch by hand", "to the light method", "switch"),
]
LOOKING = [
    ("view: freeze", "stop the display, not the run", "freeze"),
    ("view: full-screen pane", "the chosen pane alone", "full"),
    ("view: smooth", "next smoothing of the loss", "smooth"),
    ("view: log scale", "logarithmic loss and share", "log_scale"),
    ("view: cursor", "values at a step", "cursor"),
    ("view: next group", "another group's stable ranks", "next_group"),
    ("group: explain", "what the counter means and why it came out so", "explain"),
    ("run: copy folder", "copy the run directory", "copy"),
    ("run: settings", "the run's config.toml", "settings"),
    ("run: traceback", "of a failed run", "traceback"),
]
COMPACT_WIDTH, COMPACT_HEIGHT = 100, 30

DRAWING_SHARE = 0.01
"""Share of a core that the screen may take while its own process trains: both share one lock."""

TABLE_SECONDS = 0.5
"""Seconds between two drawings of status, counters and timeline in that case."""

LONGEST_WAIT = 2.0
"""Seconds after which a chart is drawn again even so."""


class LiveScreen(Screen[None]):
    """Shows the run of its feed. Each tick of the app polls the feed; only changes are drawn."""

    app: Host
    PARTS: ClassVar[tuple[type[Widget], ...]] = (SrsTable, Timeline)
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
        Binding("y", "copy", "Copy run", show=False, id="live.copy"),
        Binding("o", "settings", "Settings", show=False, id="live.settings"),
        Binding("left", "move_cursor(-1)", "Cursor left", show=False, id="live.cursor_left"),
        Binding("right", "move_cursor(1)", "Cursor right", show=False, id="live.cursor_right"),
        Binding("escape", "leave", "Back", show=False, id="live.leave"),
        *(
            Binding(
                str(n + 1), f"pane('{name}')", f"Pane {name}", show=False, id=f"live.pane_{name}"
            )
            for n, name in enumerate(PANES)
        ),
    ]

    def __init__(self, feed: Feed | None = None) -> None:
        super().__init__()
        self.feed = feed
        self.pane = "timeline"
        self.full = False
        self.frozen = False
        self.smoothing = 2
        self.log_scale = False
        self.cursor: float | None = None
        self.group: str | None = None
        self._seen: dict[str, int] | None = None
        self._version = -1
        self._dirty = True
        self._told_failure = False
        self._ready = False
        self._stale: dict[str, None] = {}
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
        with Container(id="panes"):
            with Vertical(id="left"):
                yield SrsTable(id="table", classes="pane")
                yield Static("", id="strip")
                yield Timeline(id="timeline", classes="pane")
                yield LogPane(id="log", classes="pane")
            with Vertical(id="right"):
                yield Chart("Loss and metric", id="loss", classes="pane")
                with Horizontal(id="pair"):
                    yield Chart("Trainable share", id="share", classes="pane")
                    yield Chart("Device", id="device", classes="pane")
                yield Chart("Stable rank", id="rank", classes="pane")
        yield from self.compose_bottom()
        yield Footer(compact=True, show_command_palette=False)

    def compose_bottom(self) -> ComposeResult:
        """What a kind of this screen puts above the footer."""
        yield from ()

    def on_mount(self) -> None:
        self._ready = True
        self._arrange()
        self.query_one(SrsTable).focus()
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
    def view(self) -> RunView:
        return self.feed.view if self.feed is not None else RunView()

    @property
    def compact(self) -> bool:
        """Whether there is room for the table and one more pane only."""
        return self.app.size.width < COMPACT_WIDTH or self.app.size.height < COMPACT_HEIGHT

    def on_resize(self, event: events.Resize) -> None:
        self._arrange()
        self._dirty = True
        self.call_after_refresh(self.redraw)

    def on_screen_resume(self) -> None:
        self._dirty = True
        self.on_tick(0.0)

    def _arrange(self) -> None:
        """Decide which panes are seen."""
        if not self._ready:
            return
        if self.full:
            seen = {self.pane}
        elif self.compact:
            self.pane = "timeline" if self.pane == "table" else self.pane
            seen = {"table", self.pane}
        else:
            seen = set(PANES)
        self.set_class(self.compact, "compact")
        self.set_class(self.full, "full")
        self.set_class(self.pane in ("timeline", "log"), "tall-left")
        for name in PANES:
            self.query_one(f"#{name}").display = name in seen
        self.query_one("#pair").display = bool(seen & {"share", "device"})
        self.query_one("#right").display = bool(seen & {"loss", "share", "device", "rank"})
        self.query_one("#left").display = bool(seen & {"table", "timeline", "log"})
        strip = self.query_one("#strip", Static)
        strip.display = self.compact and not self.full
        shown = "  ".join(
            f"[reverse] {n + 1} {PANE_WORDS[name]} [/]"
            if name == self.pane
            else f"[bold]{n + 1}[/] {PANE_WORDS[name]}"
            for n, name in enumerate(PANES)
            if name != "table"
        )
        strip.update(shown)

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
        self._budget.tick()
        if changed:
            self._stale = dict.fromkeys((*self._stale, *CHARTS))
        news = bool(self._stale) or self._dirty or self.query_one(SrsTable).flashing
        if self.frozen or not news:
            if changed:
                self._show_status()
        elif self._dirty or not self.app.training.running:
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
        for name in CHARTS:
            self._draw_chart(name)

    def _draw_counters(self) -> None:
        """Status, counters, timeline and log."""
        assert self.feed is not None
        self._budget.drew(costly=False)
        view = self.view
        anew = self._version != self.feed.version
        self._version = self.feed.version
        self._show_status()
        self.query_one(SrsTable).show(view, None if anew else self._seen)
        self._seen = {g.name: len(g.history) for g in view.groups.values()}
        if self.group not in view.groups:
            self.group = next(iter(view.groups), None)
        self.query_one(Timeline).show(view)
        log = self.query_one(LogPane)
        if log.display:
            log.show(view, anew)

    def _draw_chart(self, name: str) -> None:
        self._stale.pop(name, None)
        chart, view = self.query_one(f"#{name}", Chart), self.view
        if not chart.display:
            return
        if name == "loss":
            metric = view.metric or "metric"
            scale = " · log" if self.log_scale else ""
            factor = plots.SMOOTHING[self.smoothing]
            chart.show(
                plots.loss_and_metric(view, factor, self.log_scale, self.cursor),
                title=f"Loss and {metric}{scale}",
            )
        elif name == "share":
            chart.show(plots.trainable_share(view, self.log_scale, self.cursor))
        elif name == "rank":
            chart.show(
                *plots.stable_rank(view, self.group, self.cursor),
                title=f"Stable rank · {self.group}" if self.group else "Stable rank",
            )
        else:
            chart.show(
                plots.device_load(view),
                title=f"Device · {view.device} · minutes" if view.device else "Device",
            )

    def _show_status(self) -> None:
        assert self.feed is not None
        self.query_one(StatusLine).show(self.view, self.notes())
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
        if self.view.state == "created" and self.feed is not None and self.feed.trained:
            found.append("loading model and data …")
        if self.view.synthetic_data:
            found.append("synthetic data")
        return found

    def _notice_failure(self) -> None:
        failure = self.view.failure
        if failure is None or self._told_failure or self.view.state != "failed":
            return
        self._told_failure = True
        if isinstance(self.feed, ReplayFeed):
            return
        hint = f"\n\n{failure.hint}" if failure.hint else ""
        self.app.push_screen(
            Question(
                "The run failed",
                f"{failure.message}{hint}\n\nThe log and the checkpoints are kept; "
                "r goes on from the newest checkpoint.",
                [Answer("close", "Close"), Answer("traceback", "Traceback")],
            ),
            lambda answer: self.action_traceback() if answer == "traceback" else None,
        )

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
            if focused in PANES and not self.compact:
                self.pane = str(focused)
        self.full = not self.full
        self._arrange()
        self._dirty = True
        self.query_one(f"#{self.pane}").focus()
        self._redraw_now_and_laid_out()

    def _redraw_now_and_laid_out(self) -> None:
        """Charts can draw before a pane that comes into view has its size; the log cannot."""
        self.redraw()
        self.call_after_refresh(self.redraw)

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
        names = list(self.view.groups)
        if names:
            at = names.index(self.group) if self.group in names else -1
            self._choose(names[(at + 1) % len(names)])

    def _choose(self, group: str) -> None:
        if group not in self.view.groups:
            return
        self.group = group
        self.query_one(SrsTable).choose(group)
        self.query_one(Timeline).choose(group)
        self._draw_chart("rank")

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
        group = self.view.groups.get(self.group or "")
        if group is None:
            text = (
                f"This run uses {self.view.method} without calibration, so no group is counted "
                "and none switches."
            )
            self.app.push_screen(Reading("No groups", text))
            return
        self.app.push_screen(Reading(group.name, words.explain_counter(self.view, group)))

    # Requests to the run -------------------------------------------------------------------------

    def _request(self, kind: str, said: str, **args: Any) -> None:
        """Ask the training process for something, if there is one."""
        if self.feed is None or not self.feed.trained:
            self.app.notify("no process trains this run now", severity="warning")
            return
        try:
            control.request(self.feed.run_dir, kind, **args)
        except CalisrError as error:
            self.app.notify(str(error), severity="error")
        else:
            self.app.notify(said, timeout=2)

    def action_pause(self) -> None:
        if self.view.state == "paused":
            self._request("resume", "training goes on")
        else:
            self._request("pause", "pausing after this step")

    def action_stop_and_save(self) -> None:
        self._request("stop_and_save", "stopping after this step, with a checkpoint")

    def action_stop(self) -> None:
        if self.feed is None or not self.feed.trained:
            self._request("stop", "")
            return
        last = self.view.checkpoints[-1] if self.view.checkpoints else 0
        lost = self.view.step - last
        self.app.push_screen(
            Question(
                "Stop without saving?",
                f"The newest checkpoint is of step {last}; a resume repeats {lost} steps.",
                [Answer("no", "Go on"), Answer("stop", "Stop now", variant="error")],
            ),
            lambda answer: self._request("stop", "stopping") if answer == "stop" else None,
        )

    def action_evaluate(self) -> None:
        self._request("evaluate", "evaluating after this step")

    def action_checkpoint(self) -> None:
        self._request("checkpoint", "saving a checkpoint after this step")

    def action_switch(self) -> None:
        """Switch a group by hand: choose it, then confirm."""
        if self.feed is None or not self.feed.trained:
            self._request("switch", "")
            return
        full = [g.name for g in self.view.groups.values() if g.phase == "fft"]
        if not full:
            self.app.notify("every group is in its light phase already", severity="warning")
            return
        if len(full) == 1:
            self._confirm_switch(full[0])
            return
        self.app.push_screen(
            Picking("Which group goes over to the light method?", [Choice(n, n) for n in full]),
            self._confirm_switch,
        )

    def _confirm_switch(self, group: str | None) -> None:
        if group is None:
            return
        self.app.push_screen(
            Question(
                f"Switch {group} by hand?",
                f"{group} leaves full fine-tuning after this step and never goes back. The log "
                "will say that it was done by hand.",
                [Answer("no", "Leave it"), Answer("yes", "Switch", variant="warning")],
            ),
            lambda answer: (
                self._request("switch", f"switching {group}", group=group)
                if answer == "yes"
                else None
            ),
        )

    def action_resume_run(self) -> None:
        if self.feed is None:
            return
        if self.feed.trained:
            self.app.notify("this run is training already")
        elif self.view.state == "completed":
            self.app.notify("this run is complete; there is nothing to go on with")
        else:
            self._told_failure = False
            self.app.start_training(self.feed.run_dir)

    # Reading and copying -------------------------------------------------------------------------

    def action_traceback(self) -> None:
        failure = self.view.failure
        if failure is None:
            self.app.notify("this run did not fail")
            return
        text = failure.traceback or failure.message
        self.app.push_screen(Reading("Traceback", text, copy=text, wide=True))

    def action_copy(self) -> None:
        if self.feed is not None:
            self.app.copy_to_clipboard(str(self.feed.run_dir))
            self.app.notify(f"copied: {self.feed.run_dir}", timeout=2)

    def action_settings(self) -> None:
        if self.feed is not None:
            self.app.show_settings(self.feed.run_dir)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [*STEERING, *LOOKING]
