"""A study as it goes: its trials, the best so far, the spread over seeds; go on, stop, use it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from calisr_engine.errors import CalisrError
from calisr_engine.tune.reading import StudyReader, StudyReading, StudyRun
from calisr_engine.tune.study import BEST, study_folders
from calisr_tui import late
from calisr_tui.charts import study_text as say
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking
from calisr_tui.next_steps import COMMANDS, NextSteps
from calisr_tui.screens import study_training as training
from calisr_tui.screens.compare import MOST_COMPARED
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.chart import Chart
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.run_curves import RunCurves
from calisr_tui.widgets.trial_table import TrialTable
from calisr_tui.widgets.verbatim import DataTable, Static

ACTIVE_SECONDS, IDLE_SECONDS, READING_SHARE = 1.0, 5.0, 20
"""Between two readings, while something trains and while nothing does; reading takes at most one
part in so many of the time."""

_SEARCH = {
    "study.start": "Go on",
    "study.stop": "Stop+save",
    "study.run_best": "Run the best",
    "app.help": "Help",
    "app.quit": "Quit",
}
_ASK = {"run.try": "Try", "run.errors": "Errors", "study.mark": "Mark", "study.compare": "Compare"}
FOOTER = {
    "completed": {**_ASK, **_SEARCH},
    "ended early": {**_ASK, **_SEARCH},
    "stopped": {**_ASK, **_SEARCH},
    "interrupted": {**_ASK, **_SEARCH},
    "failed": {"run.begin_from": "Edit settings", **_SEARCH},
}
"""State of the run under the cursor -> the keys of the footer."""

ROOM_FOR_CURVE = 22
"""Lines of a screen from which on the curve is below the table."""
WIDE, LEAST_BESIDE = 160, 80
"""Cells from which on it is beside the table, above the curves of the run under the cursor; and
those that this takes."""


class StudyScreen(NextSteps):
    """One study; it reads its run directories and logs, whoever trains them."""

    FOOTER = FOOTER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "choose", "Choose", id="study.choose"),
        Binding("s", "start", "Go on", id="study.start"),
        Binding("x", "stop", "Stop+save", id="study.stop"),
        Binding("b", "best", "To the best", show=False, id="study.best"),
        Binding("B", "run_best", "Run the best", id="study.run_best"),
        Binding("space", "mark", "Mark", key_display="space", id="study.mark"),
        Binding("c", "compare", "Compare", id="study.compare"),
        Binding("v", "order", "By score", show=False, id="study.order"),
        Binding("y", "copy", "Copy command", show=False, id="study.copy"),
        Binding("u", "reload", "Read again", show=False, id="study.reload"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.reader: StudyReader | None = None
        self.reading: StudyReading | None = None
        self.marked: list[str] = []
        self.by_score = False
        self._busy: StudyReader | None = None
        self._looking = True
        self._since = self._took = 0.0

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="study-head")
        yield Static("", id="study-totals")
        yield Static("", id="study-best")
        with Container(id="study-middle"):
            yield TrialTable(id="study-table")
            with Container(id="study-charts"):
                yield Chart("Best so far", id="study-curve", classes="pane")
                curves = RunCurves(id="study-run", classes="pane")
                curves.can_focus = False
                yield curves
        yield Static("", id="study-detail")
        yield Keys()

    def on_mount(self) -> None:
        table = self.query_one(TrialTable)
        table.focus()
        self.watch(table, "virtual_size", self._arrange, init=False)
        self._newest()
        self._show()

    # Reading -------------------------------------------------------------------------------------

    def open(self, folder: Path) -> None:
        """Show the study of a folder; one that is about to begin is waited for."""
        if self.reader is None or self.reader.folder != folder:
            self.reader, self.reading, self.marked = StudyReader(folder), None, []
        self._show()
        self.action_reload()

    @work(thread=True, group="study-newest")
    def _newest(self) -> None:
        folders = study_folders(self.app.output_dir)
        late.from_thread(self, self._open_if_none, folders[0] if folders else None)

    def _open_if_none(self, folder: Path | None) -> None:
        self._looking = False
        if folder is not None and self.reader is None:
            self.open(folder)

    @property
    def idle(self) -> bool:
        """Whether nothing is looked for or read."""
        curves = self.query(RunCurves)  # none before the screen is composed and after its end
        return self._busy is None and not self._looking and all(each.idle for each in curves)

    def on_screen_resume(self) -> None:
        if self.reader is None and not self._looking:
            self._looking = True
            self._newest()
        self.action_reload()

    def on_tick(self, elapsed: float) -> None:
        for each in self.query(RunCurves):
            each.on_tick(elapsed)
        self._since += elapsed
        reading = self.reading
        active = reading is None or bool(reading.worker or reading.counts["running"])
        if self._since > max(
            ACTIVE_SECONDS if active else IDLE_SECONDS, READING_SHARE * self._took
        ):
            self.action_reload()
        if self.reader is not None:
            self._heads()  # a process that begins says nothing for some seconds

    def action_reload(self) -> None:
        """Read what is new."""
        self._since = 0.0
        if self.reader is not None and self._busy is not self.reader:
            self._busy = self.reader
            self._read(self.reader)

    @work(thread=True, group="study")
    def _read(self, reader: StudyReader) -> None:
        began = time.perf_counter()
        found: StudyReading | Exception
        try:
            found = reader.read()
        except (CalisrError, OSError) as error:
            found = error
        self._took = time.perf_counter() - began
        late.from_thread(self, self._take, reader, found)

    def _take(self, reader: StudyReader, found: StudyReading | Exception) -> None:
        if self._busy is reader:
            self._busy = None
        if reader is not self.reader:
            return
        if isinstance(found, Exception):
            if self.reading is not None or self.app.started.trains_in(reader.folder):
                return  # it is about to begin, or is being written
            self.reader = None
            self._show()
            error = found if isinstance(found, CalisrError) else CalisrError(str(found))
            self.app.show_error("The study cannot be opened", error)
        elif found != self.reading:
            self.reading = found
            self._show()

    # Showing -------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw again what depends on the theme."""
        self.query_one(TrialTable).forget()
        self._show()

    def on_resize(self) -> None:
        self.set_class(self.app.size.height < 30, "compact")
        self._heads()
        self._arrange()

    def _show(self) -> None:
        study = self.reading
        self._heads()
        for name in ("study-best", "study-middle", "study-detail"):
            self.query_one(f"#{name}").display = study is not None
        self._arrange()
        if study is None:
            return
        self.query_one("#study-best", Static).update(say.best_text(study))
        metric = study.metric or "metric"
        self.query_one("#study-curve", Chart).show(say.curve(study), title=f"{metric} by trial")
        self._rows()
        if self.focused is None:  # the table was hidden while the study was read
            self.query_one(TrialTable).focus()

    def _arrange(self) -> None:
        """On few lines the table goes before the curve, on wide ones beside it."""
        table, (width, height) = self.query_one(TrialTable), self.app.size
        self.query_one("#study-charts").display = height >= ROOM_FOR_CURVE
        needs = table.virtual_size.width
        beside = width >= WIDE and needs + LEAST_BESIDE <= width
        table.styles.width = needs + 1 if beside else "1fr"  # with the bar that scrolls it
        self.set_class(beside, "beside")

    def _rows(self) -> None:
        if self.reading is not None:
            table = self.query_one(TrialTable)
            table.show(self.reading, self.marked, self.by_score)
            self._detail()

    def _heads(self) -> None:
        study = self.reading
        head = self.query_one("#study-head", Static)
        totals = self.query_one("#study-totals", Static)
        if study is None:
            head.update("Study")
            totals.update(f"{self.reader.folder} begins …" if self.reader else say.NO_STUDY)
            return
        text = f"Study {study.folder}"
        if study.worker:
            text += f" · {study.worker}"
        elif self.app.started.trains_in(study.folder):
            text += " · begins …"
        else:
            text += " · done" if study.complete else " · s goes on with it"
        head.update(Text(text, no_wrap=True, overflow="ellipsis"))
        totals.update(say.totals(study, colours(self.app.theme), self.app.size.width))

    @property
    def chosen(self) -> StudyRun | None:
        """The run under the cursor."""
        return self.query_one(TrialTable).chosen if self.is_mounted else None

    @property
    def at_hand(self) -> tuple[Path, str] | None:
        run = self.chosen
        return None if run is None else (run.run_dir, run.state)

    @on(DataTable.RowHighlighted)
    def _detail(self) -> None:
        run, study = self.chosen, self.reading
        said = Text("") if run is None or study is None else say.detail(run, study)
        self.query_one("#study-detail", Static).update(said)
        self.query_one(RunCurves).follow([] if run is None else [run.run_dir])
        self.name_next_steps()

    # Keys ----------------------------------------------------------------------------------------

    @on(DataTable.RowSelected)
    def open_run(self) -> None:
        run = self.chosen
        if run is not None:
            self.app.open_run(run.run_dir, back="study")

    def action_best(self) -> None:
        """Put the cursor on the best trial."""
        best = self.reading.best if self.reading is not None else None
        if best is None:
            self.app.notify("no trial has been evaluated yet")
        else:
            self.query_one(TrialTable).go_to(best.name)

    def action_run_best(self) -> None:
        """To the setup, with the best settings."""
        if (study := self._need()) is not None:
            path = study.folder / BEST
            if path.is_file():
                self.app.set_up_like(path)
            else:
                self.app.notify("no trial has ended yet")

    def action_mark(self) -> None:
        """Mark the run for a comparison, or take that back."""
        run = self.chosen
        if run is None:
            return
        if run.name in self.marked:
            self.marked.remove(run.name)
        elif len(self.marked) >= MOST_COMPARED:
            self.app.notify(f"at most {MOST_COMPARED} runs can be compared", severity="warning")
            return
        else:
            self.marked.append(run.name)
        self._rows()
        self.query_one(TrialTable).action_cursor_down()

    def action_compare(self) -> None:
        """The marked runs beside each other."""
        if len(self.marked) < 2 or self.reading is None:
            self.app.notify("mark two to eight runs with the space bar first", severity="warning")
            return
        self.app.chosen_runs = [self.reading.folder / name for name in self.marked]
        self.app.action_jump("compare")

    def action_order(self) -> None:
        """By score, the best first; or in the order of their beginning."""
        self.by_score = not self.by_score
        self._rows()

    def action_choose(self) -> None:
        """Choose a study of the output folder."""
        self._find()

    @work(thread=True, exclusive=True, group="study-choices")
    def _find(self) -> None:
        late.from_thread(self, self._ask_study, study_folders(self.app.output_dir))

    def _ask_study(self, folders: list[Path]) -> None:
        if not folders:
            self.app.notify("there is no search in this folder yet")
            return

        def chosen(name: str | None) -> None:
            if name is not None:
                self.open(Path(name))

        listed = [Choice(str(each), each.name, str(each)) for each in folders]
        self.app.push_screen(Picking("Searches", listed), chosen)

    def _need(self) -> StudyReading | None:
        if self.reading is None:
            self.app.notify("no study is open: o chooses one", severity="warning")
        return self.reading

    def action_start(self) -> None:
        """Go on with the study, or give it more trials."""
        if (study := self._need()) is not None:
            training.go_on(self.app, study, self.action_reload)

    def action_stop(self) -> None:
        """Ask its trials to stop and save."""
        if (study := self._need()) is not None:
            training.ask_stop(self.app, study, self.action_reload)

    def action_copy(self) -> None:
        """Copy the command that goes on with it."""
        if (study := self._need()) is not None:
            training.copy_command(self.app, study)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            *COMMANDS,
            ("study: choose", "a search of this folder", "choose"),
            ("study: go on", "or more trials", "start"),
            ("study: stop and save", "ask its trials to stop", "stop"),
            ("study: to the best", "the cursor on the best trial", "best"),
            ("study: run the best", "its settings in the setup", "run_best"),
            ("study: mark", "for comparison", "mark"),
            ("study: compare", "the marked runs", "compare"),
            ("study: order", "by score, or as they began", "order"),
            ("study: copy command", "the calisr tune line", "copy"),
        ]
