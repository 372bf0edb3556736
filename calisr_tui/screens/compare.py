"""Two to eight runs side by side: curves, settings that differ, mean and spread over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.console import Group
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer

from calisr_engine.errors import CalisrError
from calisr_engine.events.view import RunView
from calisr_tui import words
from calisr_tui.charts.drawing import Line, Plot, smooth
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking
from calisr_tui.host import Host
from calisr_tui.themes import colours
from calisr_tui.verbatim import Table, Text
from calisr_tui.widgets.chart import Chart
from calisr_tui.widgets.verbatim import Static

GLYPHS = "●◆▲■★▼◉▶"
"""One glyph a run, beside its colour."""

MEASURES = ("metric", "loss", "trainable share", "total stable rank")


def curve(view: RunView, measure: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """x and y of one run: steps and the measure."""
    if measure == "metric":
        return (
            tuple(float(e.step) for e in view.evaluations),
            tuple(e.value for e in view.evaluations),
        )
    if measure == "loss":
        return tuple(view.loss.x), tuple(smooth(view.loss.y, 0.9))
    if measure == "trainable share":
        x, y = list(view.trainable_share.x), [100 * v for v in view.trainable_share.y]
        if x and view.step > x[-1]:
            x.append(float(view.step))
            y.append(y[-1])
        return tuple(x), tuple(y)
    totals: dict[int, float] = {}
    counts: dict[int, int] = {}
    for group in view.groups.values():
        for sample in group.history:
            totals[sample.step] = totals.get(sample.step, 0.0) + sample.sr_fft
            counts[sample.step] = counts.get(sample.step, 0) + 1
    whole = [step for step in sorted(totals) if counts[step] == len(view.groups)]
    return tuple(float(s) for s in whole), tuple(totals[s] for s in whole)


def overlay(views: dict[str, RunView], measure: str) -> Plot:
    """One line and one glyph a run."""
    lines = []
    for index, view in enumerate(views.values()):
        x, y = curve(view, measure)
        role, glyph = f"run{index % 8 + 1}", GLYPHS[index % 8]
        marker = "steps" if measure == "trainable share" else "line"
        lines.append(Line(x, y, role, marker, glyph))  # type: ignore[arg-type]
        if measure == "metric":
            lines.append(Line(x, y, role, "points", glyph))
        elif x:
            at = (index * len(x) // (2 * len(views)) + len(x) // 4) % len(x)
            lines.append(Line((x[at],), (y[at],), role, "points", glyph))
    return Plot(
        lines=tuple(lines),
        unit="%" if measure == "trainable share" else "",
        y_range=(0.0, None) if measure == "trainable share" else (None, None),
        empty="these runs have no such figures",
    )


class CompareScreen(Screen[None]):
    """The runs that were marked on the runs screen."""

    app: Host
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "measure", "Next curve", id="compare.measure"),
        Binding("a", "add", "Add run", id="compare.add"),
        Binding("d", "drop", "Drop run", id="compare.drop"),
        Binding("u", "reload", "Read again", id="compare.reload"),
        Binding("escape", "back", "Runs", id="compare.back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.views: dict[str, RunView] = {}
        self.measure = "metric"
        self._read_for: list[Path] = []

    def compose(self) -> ComposeResult:
        yield Static("Compare", classes="head", id="compare-head")
        with Horizontal(id="compare-charts"):
            yield Chart("Metric", id="main-chart", classes="pane")
            yield Chart("Trainable share", id="share-chart", classes="pane")
        with VerticalScroll(id="compare-text", classes="box"):
            yield Static(id="compare-tables")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#compare-text").focus()
        self.action_reload()

    def on_screen_resume(self) -> None:
        if self._read_for != self.app.chosen_runs:
            self.action_reload()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.app.size.width < 100, "compact")

    def action_reload(self) -> None:
        self._read_for = list(self.app.chosen_runs)
        self._read(list(self.app.chosen_runs))

    @work(thread=True, exclusive=True, group="compare")
    def _read(self, paths: list[Path]) -> None:
        from calisr_engine.runs import load_view

        views: dict[str, RunView] = {}
        for path in paths:
            try:
                views[path.name] = load_view(path)
            except CalisrError as error:
                self.app.call_from_thread(self.app.notify, error.message, severity="warning")
        self.app.call_from_thread(self._take, views)

    def _take(self, views: dict[str, RunView]) -> None:
        self.views = views
        self.redraw()

    def redraw(self) -> None:
        if not self.is_mounted:
            return
        head = self.query_one("#compare-head", Static)
        tables = self.query_one("#compare-tables", Static)
        if not self.views:
            head.update("Compare · no runs chosen")
            tables.update(
                "Mark two to eight runs on the runs screen (F4) with the space bar, then press c. "
                "Or press a to add one here."
            )
            self.query_one("#main-chart", Chart).show(Plot(empty="no runs chosen"))
            self.query_one("#share-chart", Chart).show(Plot(empty="no runs chosen"))
            return
        head.update(f"Compare · {len(self.views)} runs")
        metrics = {view.metric for view in self.views.values() if view.metric}
        title = " / ".join(sorted(metrics)) if self.measure == "metric" else self.measure
        self.query_one("#main-chart", Chart).show(
            overlay(self.views, self.measure), title=title.capitalize()
        )
        other = "trainable share" if self.measure != "trainable share" else "loss"
        self.query_one("#share-chart", Chart).show(
            overlay(self.views, other), title=other.capitalize()
        )
        tables.update(self._tables(colours(self.app.theme)))

    def _tables(self, styles: dict[str, str]) -> Group:
        from calisr_engine.grid.compare import counted, differences, name_of, over_seeds, warnings
        from calisr_engine.grid.paper import beside

        signs = {
            name: (GLYPHS[index % 8], styles[f"run{index % 8 + 1}"])
            for index, name in enumerate(self.views)
        }
        runs = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        columns = (("", 1), ("best", 6), ("at", 4), ("last", 6), ("trains", 6), ("switched", 8))
        for column, least in columns:
            runs.add_column(column, header_style=styles["dim"], no_wrap=True, min_width=least)
        runs.add_column("run", header_style=styles["dim"], no_wrap=True, overflow="ellipsis")
        for name, view in self.views.items():
            switched = view.switched or {}
            runs.add_row(
                Text(*signs[name]),
                Text(words.figure(view.best), "bold"),
                str(view.best_step or "–"),
                words.figure(view.last),
                words.share(view.share),
                f"{len(switched)} of {len(view.groups)}" if view.groups else "–",
                Text(name, styles["dim"]),
            )
        parts: list[Table | Text] = [runs]
        parts += [Text(each, styles["warn"]) for each in warnings(self.views)]
        parts.append(Text("\nSettings that differ", "bold"))
        found = differences(self.views)
        if found:
            settings = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
            settings.add_column("", style=styles["dim"], no_wrap=True)
            for name in self.views:
                settings.add_column(Text(*signs[name]))
            for key, values in found.items():
                settings.add_row(key, *(_shown(values[name]) for name in self.views))
            parts.append(settings)
        else:
            parts.append(Text("none", styles["dim"]))
        parts.append(Text("\nMean and spread over seeds", "bold"))
        seeds = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        groups = over_seeds(self.views)
        printed = [beside(self.views[counted(each)[0]].config) for each in groups]
        headings = ("settings", "metric", "mean", "± sd", "seeds")
        for heading in (*headings, *(["paper"] if any(printed) else [])):
            seeds.add_column(heading, header_style=styles["dim"])
        for each, paper in zip(groups, printed, strict=True):
            marks = Text()
            for name in counted(each):
                marks.append(*signs[name])
            seeds.add_row(
                Text.assemble(marks, " ", name_of(each)),
                each.metric,
                f"{each.mean:.4f}",
                "one seed" if each.deviation is None else f"{each.deviation:.4f}",
                ", ".join(map(str, each.seeds)),
                *([paper or "–"] if any(printed) else []),
            )
        parts.append(seeds)
        return Group(*parts)

    def action_measure(self) -> None:
        self.measure = MEASURES[(MEASURES.index(self.measure) + 1) % len(MEASURES)]
        self.redraw()

    def action_add(self) -> None:
        """Choose one more run from the output folder."""
        from calisr_engine.runs.store import list_runs
        from calisr_tui.screens.runs import MOST_COMPARED

        if len(self.app.chosen_runs) >= MOST_COMPARED:
            self.app.notify(f"at most {MOST_COMPARED} runs", severity="warning")
            return
        taken = {path.name for path in self.app.chosen_runs}
        choices = [
            Choice(r.path, r.run_id, f"{r.metric} {words.figure(r.best)}")
            for r in list_runs(self.app.output_dir)
            if r.run_id not in taken
        ]
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
            ("compare: add run", "from the output folder", "add"),
            ("compare: drop run", "the last one", "drop"),
        ]


def _shown(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
