"""A grid as a table that fills up: its cells, what trains and what failed; start, stop, retry."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen

from calisr_engine.errors import CalisrError
from calisr_engine.tune.study import is_study
from calisr_tui import late
from calisr_tui.charts import grid_text as say
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking, Typing
from calisr_tui.grid_source import FILE, GridReading, GridSource, grid_choices, newest_grid
from calisr_tui.host import Host
from calisr_tui.screens import grid_training as training
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.grid_cells import GridCells, NotableRuns
from calisr_tui.widgets.run_curves import RunCurves
from calisr_tui.widgets.verbatim import DataTable, Static

ACTIVE_SECONDS, IDLE_SECONDS, READING_SHARE = 3.0, 15.0, 20
"""Between two readings, while something trains and while nothing does; reading takes at most one
part in so many of the time."""

WIDE = 160
"""Cells from which on what a cell says stands beside the table, or below it."""
LEAST_BESIDE, LEAST_BELOW = 80, 30
"""Cells beside the table that this takes; lines of the screen, without those of the table."""


class GridScreen(Screen[None]):
    """One grid; it reads run directories and logs, whoever trains them."""

    app: Host

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "choose", "Choose", id="grid.choose"),
        Binding("s", "start", "Start", id="grid.start"),
        Binding("x", "stop", "Stop+save", id="grid.stop"),
        Binding("r", "retry", "Retry failed", id="grid.retry"),
        Binding("t", "report", "Report", id="grid.report"),
        Binding("f", "figures", "Figures", id="grid.figures"),
        Binding("u", "reload", "Read again", show=False, id="grid.reload"),
        Binding("y", "copy", "Copy command", show=False, id="grid.copy"),
        Binding("escape", "table", "To the table", show=False, id="grid.table"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.source: GridSource | None = None
        self.reading: GridReading | None = None
        self._busy: GridSource | None = None
        self._looking = True
        self._asked = False
        """Whether a grid was named, be it one that cannot be read."""
        self._since = self._took = 0.0

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="grid-head")
        yield Static("", id="grid-totals")
        yield Static("", id="grid-problem")
        with Container(id="grid-middle"):
            yield GridCells(id="grid-table")
            with Container(id="grid-beside"):
                yield Static("", id="grid-said", classes="box")
                curves = RunCurves("runs", "no run has begun", id="grid-curves", classes="pane")
                curves.can_focus = False
                yield curves
        yield NotableRuns(id="grid-runs", classes="box")
        yield Static("", id="grid-detail")
        yield Keys()

    def on_mount(self) -> None:
        table = self.query_one(GridCells)
        table.focus()
        self.watch(table, "virtual_size", self._arrange, init=False)
        self._newest()
        self._show_all()

    # Reading -------------------------------------------------------------------------------------

    def open(self, what: str) -> None:
        """Show a grid: its name, its file, or a folder of its runs."""
        self._asked = True
        self.source = GridSource(what, self.app.output_dir, self.app.data_dir)
        self.reading = None
        self._show_all()
        self.action_reload()

    @work(thread=True, group="grid-newest")
    def _newest(self) -> None:
        found = newest_grid(self.app.output_dir)
        late.from_thread(self, self._open_if_none, str(found or ""))

    def _open_if_none(self, what: str) -> None:
        self._looking = False
        if what and self.source is None:
            self.open(what)

    @property
    def idle(self) -> bool:
        """Whether nothing is looked for or read."""
        curves = self.query(RunCurves)  # none before the screen is composed and after its end
        return self._busy is None and not self._looking and all(each.idle for each in curves)

    def on_screen_resume(self) -> None:
        if not self._asked and not self._looking:  # one may have begun since
            self._looking = True
            self._newest()
        self.action_reload()

    def on_tick(self, elapsed: float) -> None:
        for each in self.query(RunCurves):
            each.on_tick(elapsed)
        self._since += elapsed
        reading = self.reading
        active = reading is None or bool(reading.worker or reading.table.counts["running"])
        wait = max(ACTIVE_SECONDS if active else IDLE_SECONDS, READING_SHARE * self._took)
        if self._since > wait:
            self.action_reload()

    def action_reload(self) -> None:
        self._since = 0.0
        if self.source is not None and self._busy is not self.source:
            self._busy = self.source
            self._read(self.source)

    @work(thread=True, group="grid")
    def _read(self, source: GridSource) -> None:
        began = time.perf_counter()
        found: GridReading | Exception
        try:
            found = source.read()
        except (CalisrError, OSError, ValueError) as error:
            found = error
        self._took = time.perf_counter() - began
        late.from_thread(self, self._take, source, found)

    def _take(self, source: GridSource, found: GridReading | Exception) -> None:
        if self._busy is source:
            self._busy = None
        if source is not self.source:
            return
        if isinstance(found, Exception) and self.reading is not None:
            found = replace(self.reading, problem=str(found))
        if isinstance(found, Exception):
            self.source = None
            self._show_all()
            error = found if isinstance(found, CalisrError) else CalisrError(str(found))
            self.app.show_error("The grid cannot be opened", error)
        elif found != self.reading:
            self.reading = found
            self._show_all()

    # Showing -------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw again what depends on the theme."""
        self.query_one(GridCells).redraw()
        self.query_one(NotableRuns).redraw()
        self._show_all()

    def on_resize(self) -> None:
        self.set_class(self.app.size.height < 30, "compact")
        self._show_heads()
        self._arrange()

    def _arrange(self) -> None:
        """Give what a cell says a place of its own, where the table leaves one."""
        table, (width, height) = self.query_one(GridCells), self.app.size
        needs = table.virtual_size
        wide = self.reading is not None and width >= WIDE
        beside = wide and needs.width + LEAST_BESIDE <= width
        below = wide and not beside and needs.height + LEAST_BELOW <= height
        table.styles.width = needs.width + 1 if beside else "1fr"  # with the bar that scrolls it
        table.styles.height = needs.height + 1 if below else "1fr"
        self.set_class(beside, "beside")
        self.set_class(below, "below")
        self.query_one("#grid-detail").display = self.reading is not None and not self._roomy
        self._show_detail()

    @property
    def _roomy(self) -> bool:
        return self.has_class("beside") or self.has_class("below")

    def _show_all(self) -> None:
        self._show_heads()
        table = self.reading.table if self.reading is not None else None
        self.query_one(GridCells).show(table)
        self.query_one(NotableRuns).show(table.notable if table is not None else [])
        if table is not None and self.focused is None:  # it was hidden while it was read
            self.action_table()
        self._arrange()

    def _show_heads(self) -> None:
        reading, styles = self.reading, colours(self.app.theme)
        head = self.query_one("#grid-head", Static)
        problem = self.query_one("#grid-problem", Static)
        totals = self.query_one("#grid-totals", Static)
        self.query_one("#grid-middle").display = reading is not None
        problem.display = reading is not None and bool(reading.problem)
        if reading is None:
            head.update("Grid")
            totals.update(
                say.NO_GRID if self.source is None else Text(f"Reading {self.source.what} …")
            )
            return
        text = f"Grid {reading.grid.head.name} · {reading.grid.folder}"
        text += f" · {reading.worker}" if reading.worker else ""
        head.update(Text(text, no_wrap=True, overflow="ellipsis"))
        problem.update(Text(reading.problem))
        totals.update(
            say.totals_text(reading.table, reading.eta_seconds, styles, self.app.size.width)
        )

    @on(DataTable.CellHighlighted)
    @on(DataTable.RowHighlighted)
    def _show_detail(self) -> None:
        run, found = self.query_one(NotableRuns).chosen, self.query_one(GridCells).chosen
        title, said, runs = "", Text(), []
        if self.reading is None:
            pass
        elif self.focused is self.query_one(NotableRuns) and run is not None:
            title, said, runs = say.name_of(run), say.run_detail(run), [run]
        elif found is not None:
            key, cell = found
            table = self.reading.table
            title, runs = " · ".join(each for each in key if each), say.drawn(cell)
            if self._roomy:
                said = say.cell_in_full(key, cell, table, colours(self.app.theme))
            else:
                said = say.cell_detail(key, cell, table.metrics.get(key[1], ""))
        if not self._roomy:
            self.query_one("#grid-detail", Static).update(said)
            return
        box = self.query_one("#grid-said", Static)
        box.border_title = Text(title)
        box.border_subtitle = Text("Enter lists its runs" if len(runs) > 1 else "")
        box.update(said)
        folder = self.reading.grid.folder if self.reading is not None else Path()
        self.query_one(RunCurves).follow([folder / each.run_id for each in runs])

    def on_descendant_focus(self) -> None:
        self._show_detail()

    # Keys ----------------------------------------------------------------------------------------

    @on(DataTable.CellSelected)
    def list_runs(self) -> None:
        """The runs of the cell under the cursor."""
        found = self.query_one(GridCells).chosen
        if found is None or found[1] is None or self.reading is None:
            return
        folder = self.reading.grid.folder
        title = " · ".join(each for each in found[0] if each)

        def chosen(run_id: str | None) -> None:
            if run_id is not None:
                self._open_run(folder / run_id)

        self.app.push_screen(Picking(title, say.run_choices(found[1])), chosen)

    @on(DataTable.RowSelected)
    def open_run(self) -> None:
        run = self.query_one(NotableRuns).chosen
        if run is not None and self.reading is not None:
            self._open_run(self.reading.grid.folder / run.run_id)

    def _open_run(self, run_dir: Path) -> None:
        if (run_dir / "events.jsonl").is_file():
            self.app.open_run(run_dir, back="grid")
        else:
            self.app.notify("this run has not begun", severity="warning")

    def action_table(self) -> None:
        self.query_one(GridCells).focus()

    def action_choose(self) -> None:
        self._find_grids()

    @work(thread=True, exclusive=True, group="grid-choices")
    def _find_grids(self) -> None:
        found = grid_choices(self.app.output_dir)
        late.from_thread(self, self._ask_grid, found)

    def _ask_grid(self, found: list[Choice]) -> None:
        def typed(name: str | None) -> None:
            if name is not None:
                self.open(str(Path(name).expanduser()))

        def chosen(name: str | None) -> None:
            if name == FILE:
                self.app.push_screen(
                    Typing("Open a grid", "A grid file, or a folder of runs:", "", "my-grid.toml"),
                    typed,
                )
            elif name is not None and is_study(Path(name)):
                self.app.open_study(Path(name))
            elif name is not None:
                self.open(name)

        self.app.push_screen(Picking("Grids", found), chosen)

    def _need(self) -> GridReading | None:
        if self.reading is None:
            self.app.notify("no grid is open: o chooses one", severity="warning")
        return self.reading

    def action_start(self, retry_failed: bool = False) -> None:
        if (reading := self._need()) is not None:
            training.start(self.app, reading, retry_failed, self.action_reload)

    def action_retry(self) -> None:
        self.action_start(retry_failed=True)

    def action_stop(self) -> None:
        if (reading := self._need()) is not None:
            training.ask_stop(self.app, reading, self.action_reload)

    def action_copy(self) -> None:
        """Copy the command that trains this grid."""
        if (reading := self._need()) is not None:
            training.copy_command(self.app, reading)

    def action_report(self) -> None:
        if (reading := self._need()) is not None:
            from calisr_tui.screens.report import ReportScreen

            self.app.push_screen(ReportScreen(reading.grid))

    def action_figures(self) -> None:
        if (reading := self._need()) is not None:
            from calisr_tui.screens.figures import FiguresScreen

            self.app.push_screen(FiguresScreen(reading.grid))

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("grid: choose", "a shipped one, a file, a folder of runs", "choose"),
            ("grid: start", "train what is not complete", "start"),
            ("grid: stop and save", "ask its runs to stop", "stop"),
            ("grid: retry failed", "begin failed runs again", "retry"),
            ("grid: report", "the table to copy or save", "report"),
            ("grid: figures", "the paper's figures from these runs", "figures"),
            ("grid: copy command", "the calisr grid run line", "copy"),
            ("grid: read again", "the run directories", "reload"),
        ]
