"""Two to eight runs side by side: what differs, curves, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen

from calisr_engine.events.view import RunView
from calisr_engine.grid.compare import names_of
from calisr_engine.plain_words import counted
from calisr_engine.runs.store import is_run
from calisr_tui import late, words
from calisr_tui.charts.compare_plots import AXES, MEASURES, SWITCH, overlay
from calisr_tui.charts.compare_tables import tables_of
from calisr_tui.charts.compare_text import Comparison, comparison
from calisr_tui.charts.plot import Plot
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking
from calisr_tui.feed import RunFeed
from calisr_tui.host import Host
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.chart import Chart
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.verbatim import Static

MOST_COMPARED = 8
AROUND = 4
"""Cells of a line that a border and a scroll bar take."""
LIVE_SECONDS = 1.0
"""Between two looks at the runs; a look at logs that have not grown takes no time."""


class CompareScreen(Screen[None]):
    """The runs that were marked on the runs screen; those in training grow."""

    app: Host

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "measure", "Next curve", id="compare.measure"),
        Binding("x", "axis", "Axis", id="compare.axis"),
        Binding("b", "band", "Seeds as band", id="compare.band"),
        Binding("g", "group", "Group", show=False, id="compare.group"),
        Binding("a", "add", "Add run", id="compare.add"),
        Binding("d", "drop", "Drop run", id="compare.drop"),
        Binding("u", "reload", "Read again", show=False, id="compare.reload"),
        Binding("escape", "back", "Runs", id="compare.back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.said: Comparison | None = None
        self.measure, self.axis, self.group = MEASURES[0], AXES[0], ""
        self.band = False
        self._feeds: dict[Path, RunFeed] = {}
        self._read_for: list[Path] = []
        self._awaited: list[Path] | None = None
        self._unread: list[str] = []
        """Why each of the chosen runs that cannot be read cannot."""
        self._since = 0.0

    def compose(self) -> ComposeResult:
        yield Static("Compare", classes="head", id="compare-head")
        yield Static("", id="compare-warnings")
        with Horizontal(id="compare-charts"):
            yield Chart("Metric", id="main-chart", classes="pane")
            yield Chart("Trainable share", id="share-chart", classes="pane")
        with VerticalScroll(id="compare-text", classes="box"):
            yield Static(id="compare-tables")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#compare-text").focus()
        self.action_reload()

    def on_screen_resume(self) -> None:
        if self._read_for != self.app.chosen_runs:
            self.action_reload()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.app.size.width < 100, "compact")
        self.redraw()

    def on_tick(self, elapsed: float) -> None:
        """Take in what is new, here where it is drawn, so that tables and curves say the same."""
        self._since += elapsed
        if self._since > LIVE_SECONDS and self._awaited is None:
            self._since = 0.0
            if any([feed.poll() for feed in self._feeds.values()]):
                self.said = comparison(self.views)
                self.redraw()

    def action_reload(self) -> None:
        """Read the chosen runs from their beginning."""
        self._read_for = list(self.app.chosen_runs)
        self._awaited = list(self._read_for)
        self._read(self._awaited)

    @property
    def idle(self) -> bool:
        """Whether nothing is read from its beginning."""
        return self._awaited is None

    @work(thread=True, group="compare")
    def _read(self, paths: list[Path]) -> None:
        """Read runs whole, which may take a while; one that cannot be read is named, once."""
        feeds: dict[Path, RunFeed] = {}
        unread: list[str] = []
        for path in paths:
            feed = RunFeed(path)
            feed.poll()
            nothing = not feed.view.messages and feed.view.updated is None
            if not is_run(path):
                unread.append(f"{path.name} is left out: it is no run directory.")
            elif nothing and feed.problem:
                unread.append(f"{path.name} is left out: {feed.problem}.")
            else:
                feeds[path] = feed
        said = comparison(_views(feeds))
        late.from_thread(self, self._take, paths, feeds, said, unread)

    def _take(
        self, paths: list[Path], feeds: dict[Path, RunFeed], said: Comparison, unread: list[str]
    ) -> None:
        if paths is self._awaited:  # else others were chosen meanwhile
            self._awaited = None
            self._feeds, self.said, self._unread = feeds, said, unread
            self.redraw()

    @property
    def views(self) -> dict[str, RunView]:
        """The runs as they are now, by name."""
        return _views(self._feeds)

    # Showing -------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw again, in the colours of the theme."""
        if not self.is_mounted:
            return
        head = self.query_one("#compare-head", Static)
        tables = self.query_one("#compare-tables", Static)
        warnings = self.query_one("#compare-warnings", Static)
        charts = self.query_one("#main-chart", Chart), self.query_one("#share-chart", Chart)
        warned = (*self._unread, *(self.said.warnings if self.said is not None else ()))
        warnings.update(Text("\n".join(f"! {each}" for each in warned)))
        warnings.display = bool(warned)
        views = self.views
        if not views or self.said is None:
            head.update("Compare · no run can be read" if warned else "Compare · no runs chosen")
            tables.update(
                "Mark two to eight runs on the runs screen (F4) with the space bar, then press c. "
                "Or press a to add one here."
            )
            for chart in charts:
                chart.show(Plot(empty="no runs chosen"))
            return
        together = self.said.together if self.band else []
        folded = " · seeds as mean ± sd" if together else ""
        runs = counted(len(views), "run")
        head.update(f"Compare · {runs} · over {self.axis}{folded}")
        other = "trainable share" if self.measure != "trainable share" else "loss"
        for chart, measure in zip(charts, (self.measure, other), strict=True):
            plot = overlay(views, measure, self.axis, self.group, together)
            chart.show(plot, title=f"{self._title(measure)} · {SWITCH} a switch")
        room = self.app.size.width - AROUND
        tables.update(tables_of(self.said, colours(self.app.theme), room))

    def _title(self, measure: str) -> str:
        if measure == "metric":
            return (
                " / ".join(sorted({v.metric for v in self.views.values() if v.metric})) or measure
            )
        if measure == "stable rank":
            return f"Stable rank of {self.group}" if self.group else "Total stable rank"
        return measure.capitalize()

    # Keys ----------------------------------------------------------------------------------------

    def action_measure(self) -> None:
        self.measure = MEASURES[(MEASURES.index(self.measure) + 1) % len(MEASURES)]
        self.redraw()

    def action_axis(self) -> None:
        """Along steps, epochs, examples or minutes of training."""
        self.axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        self.redraw()

    def action_band(self) -> None:
        """Runs that differ in the seed alone as their mean and one standard deviation around it."""
        self.band = not self.band
        if self.band and (self.said is None or not self.said.together):
            self.band = False
            self.app.notify("no two of these runs differ in the seed alone", severity="warning")
        self.redraw()

    def action_group(self) -> None:
        """The stable rank of the next group; after the last one the sum of all."""
        names = ["", *dict.fromkeys(name for v in self.views.values() for name in v.groups)]
        at = names.index(self.group) if self.group in names else 0
        if self.measure == "stable rank":
            self.group = names[(at + 1) % len(names)]
        self.measure = "stable rank"
        self.redraw()

    def action_add(self) -> None:
        """Choose one more run from the output folder."""
        if len(self.app.chosen_runs) >= MOST_COMPARED:
            self.app.notify(f"at most {MOST_COMPARED} runs", severity="warning")
            return
        self.run_worker(self._find_others, group="add", exclusive=True, thread=True)

    def _find_others(self) -> None:
        taken = {path.name for path in self.app.chosen_runs}
        choices = [
            Choice(r.path, r.name or r.run_id, f"{r.metric} {words.figure(r.best)}")
            for r in self.app.history.read_again()
            if r.run_id not in taken
        ]
        late.from_thread(self, self._offer, choices)

    def _offer(self, choices: list[Choice]) -> None:
        if not choices:
            self.app.notify("there is no other run in the output folder", severity="warning")
            return

        def picked(path: str | None) -> None:
            if path is not None:
                self.app.chosen_runs = [*self.app.chosen_runs, Path(path)]
                self.action_reload()

        self.app.push_screen(Picking("Add a run", choices), picked)

    def action_drop(self) -> None:
        """Take the last run out."""
        self.app.chosen_runs = self.app.chosen_runs[:-1]
        self.action_reload()

    def action_back(self) -> None:
        self.app.action_jump("runs")

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("compare: next curve", "metric, loss, share, stable rank", "measure"),
            ("compare: axis", "steps, epochs, examples, minutes", "axis"),
            ("compare: seeds as band", "mean and spread of equal settings", "band"),
            ("compare: stable rank of a group", "or of all of them", "group"),
            ("compare: add run", "from the output folder", "add"),
            ("compare: drop run", "the last one", "drop"),
        ]


def _views(feeds: Mapping[Path, RunFeed]) -> dict[str, RunView]:
    names = names_of(feeds)
    return {names[path]: feed.view for path, feed in feeds.items()}
