"""Home: what trains now, what to go on with, the last and best runs, searches, the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from calisr_engine.errors import CalisrError
from calisr_engine.plain_words import counted
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.tune.reading import StudyReader, StudyReading
from calisr_engine.tune.study import RECORD, is_study, study_folders
from calisr_tui import late, words
from calisr_tui.charts.home_text import run_line, study_line
from calisr_tui.feed import EXAMPLE
from calisr_tui.next_steps import COMMANDS, NextSteps
from calisr_tui.screens import study_training
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.run_curves import RunCurves
from calisr_tui.widgets.verbatim import Option, OptionList, Static

if TYPE_CHECKING:
    from calisr_engine.doctor import Load
    from calisr_engine.runs.store import RunSummary

LOOK_SECONDS = 2.0
TALL_HEIGHT = 36
"""Lines from which on the curves of a run stand below the list."""
MOST = 4
"""Runs of one section at most; the list of all runs has the rest."""

_HELP = {"app.help": "Help", "app.quit": "Quit"}
_ASK = {"run.try": "Try", "run.errors": "Errors", "run.begin_from": "New like it", **_HELP}
FOOTER = {
    "completed": _ASK,
    "stopped": _ASK,
    "interrupted": _ASK,
    "failed": {"run.begin_from": "Edit settings", **_HELP},
}
"""State of the run under the cursor -> the keys of the footer; Enter is told by the line itself."""


@dataclass(frozen=True)
class Line:
    """One line of the list.

    Attributes:
        does: what Enter does, as a word before the rest ("" for a heading).
        run: the run it is about; study: the study; grid: the folder of the grid.
        goes: "open" or "resume" a run or a study, "open" a grid, or the place to go to.
        text: where there is no run.
    """

    goes: str
    does: str = ""
    run: RunSummary | None = None
    text: str = ""
    study: StudyReading | None = None
    grid: Path | None = None

    @property
    def what(self) -> str:
        """What it is about: the same for the same line of another look."""
        if self.study is not None:
            return str(self.study.folder)
        return str(self.run.path if self.run else self.grid or self.goes)


def sections(
    runs: list[RunSummary], studies: Sequence[StudyReading] = (), grids: Sequence[Path] = ()
) -> list[tuple[str, list[Line]]]:
    """What is worth a line of the runs, by heading, and the ways from here.

    Args:
        studies: the one that was touched last first.
        grids: folders of grids in training.
    """
    newest = sorted(runs, key=lambda run: (run.updated or 0.0, run.run_id), reverse=True)
    training = [run for run in newest if run.state in ("running", "paused")]
    halted = [run for run in newest if run.state in ("stopped", "interrupted")]
    ended = [run for run in newest if run.state in ("completed", "failed")]
    left = [each for each in studies if not each.worker and not each.complete]
    found = [
        (
            "Trains now",
            [
                *(Line("open", "watch", run) for run in training[:MOST]),
                *(Line("open", "watch", study=each) for each in studies if each.worker),
                *(Line("open", "watch", grid=each) for each in grids),
            ],
        ),
        (
            "Go on with",
            [
                *(Line("resume", "resume", run) for run in halted[:2]),
                *(Line("resume", "resume", study=each) for each in left[:2]),
            ],
        ),
        ("Last run", [Line("open", "open", run) for run in ended[:1]]),
        ("Best of its task", [Line("open", "open", run) for run in best_of_tasks(newest)[:MOST]]),
    ]
    if ended_studies := [each for each in studies if each.complete and not each.worker]:
        found.append(("Searches", [Line("open", "open", study=each) for each in ended_studies[:2]]))
    begin = [
        Line("setup", "new run", text="choose model, data, method and threshold"),
        Line("presets", "presets", text="begin from a recipe that ships or is your own"),
    ]
    if runs:
        text = f"{counted(len(runs), 'run')} in this folder"
        begin.append(Line("runs", "all runs", text=text))
    begin.append(Line("grid", "grids", text="many runs as one table"))
    if studies:
        begin.append(Line("study", "searches", text="trials of `calisr tune`, and the best"))
    begin.append(Line("example", "example", text="watch a recorded run"))
    return [(title, lines) for title, lines in [*found, ("Begin", begin)] if lines]


def best_of_tasks(newest: list[RunSummary]) -> list[RunSummary]:
    """The run with the best metric of each task, the task that was trained last first."""
    best: dict[tuple[str, str], RunSummary] = {}
    for run in newest:
        key = run.task, run.metric
        if run.best is None or run.state == "unreadable":
            continue
        if key not in best or run.best > (best[key].best or 0.0):
            best[key] = run
    return list(best.values())


class HomeScreen(NextSteps):
    """A list to go on from; Enter takes the line under the cursor."""

    FOOTER = FOOTER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "reload", "Read again", show=False, id="home.reload"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, Line] = {}
        self._shown: list[tuple[str, list[Line]]] | None = None
        self._since = 0.0
        self._studies: dict[Path, tuple[float, StudyReader, StudyReading | None]] = {}
        self._reading = False

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="home-head")
        yield OptionList(id="home-list")
        yield RunCurves(id="home-curves", classes="box")
        yield Static("", id="home-machine", classes="box")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#home-machine").border_title = "This machine"
        self.query_one("#home-head", Static).update(Text(f"Home · {self.app.output_dir}"))
        self.query_one(OptionList).focus()
        self.action_reload()

    def on_screen_resume(self) -> None:
        self.action_reload()

    def on_resize(self) -> None:
        late.after_refresh(self, self.redraw)

    @property
    def idle(self) -> bool:
        """Whether no curve is read, or about to be."""
        return not self.is_mounted or self.query_one(RunCurves).idle

    def on_tick(self, elapsed: float) -> None:
        self.query_one(RunCurves).on_tick(elapsed)
        self._since += elapsed
        if self._since > LOOK_SECONDS:
            self.action_reload()

    def redraw(self) -> None:
        """Draw again what depends on the theme or on the size."""
        if self._shown is not None:
            self._fill(self._shown)

    def action_reload(self) -> None:
        """Read the runs and the machine's load again."""
        self._since = 0.0
        if not self._reading:
            self._reading = True
            self._read()

    @work(thread=True, group="home")
    def _read(self) -> None:
        from calisr_engine.doctor import load_now

        folder = self.app.output_dir
        runs = self.app.history.read_again()
        found = sections(runs, self._read_studies(folder), trained(folder))
        late.from_thread(self, self._take, found, load_now())

    def _read_studies(self, output_dir: Path) -> list[StudyReading]:
        """The studies of a folder; those that are done are read again only as somebody goes on."""
        found = []
        for folder in study_folders(output_dir):
            try:
                begun = (folder / RECORD).stat().st_mtime
                at, reader, last = self._studies.get(folder, (0.0, StudyReader(folder), None))
                if at != begun or last is None or not last.complete or last.worker:
                    last = reader.read()
                    self._studies[folder] = begun, reader, last
                found.append(last)
            except (CalisrError, OSError):
                continue
        return found

    def _take(self, found: list[tuple[str, list[Line]]], load: Load) -> None:
        self._reading = False
        self.query_one("#home-machine", Static).update(machine(load))
        if found != self._shown:
            self._fill(found)

    def _fill(self, found: list[tuple[str, list[Line]]]) -> None:
        listed = self.query_one(OptionList)
        at = listed.highlighted
        chosen = listed.get_option_at_index(at).id if at is not None else None
        self._shown, self._lines = found, {}
        styles = colours(self.app.theme)
        listed.clear_options()
        for title, lines in found:
            listed.add_option(Option(Text(title, "bold"), disabled=True))
            for line in lines:
                name = f"{title}:{line.what}"
                self._lines[name] = line
                listed.add_option(Option(self._text(line, styles), id=name))
        ids = [each.id for each in listed.options]
        first = next((n for n, each in enumerate(listed.options) if not each.disabled), None)
        listed.highlighted = ids.index(chosen) if chosen in self._lines else first
        self.name_next_steps()
        self._follow()

    def _follow(self) -> None:
        """Show the curves of the run under the cursor, where there is room for them."""
        line = self._chosen
        shown = any(each.run is not None for each in self._lines.values())
        self.set_class(shown and self.app.size.height >= TALL_HEIGHT, "tall")
        if self.has_class("tall") and line is not None and line.run is not None:
            self.query_one(RunCurves).follow([Path(line.run.path)])

    def _text(self, line: Line, styles: dict[str, str]) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"  {line.does:<10}")
        listed = self.query_one(OptionList)
        padding = listed.get_component_styles("option-list--option").padding.width
        room = listed.scrollable_content_region.width - padding - len(text)
        run = line.run
        if line.study is not None:
            return text.append_text(study_line(line.study, room, styles))
        if line.grid is not None:
            return text.append("▶ ", styles["good"]).append(f"the grid {line.grid.name}")
        if run is None:
            text.append(line.text)
            return text
        return text.append_text(run_line(run, room, styles))

    @property
    def _chosen(self) -> Line | None:
        listed = self.query_one(OptionList)
        if listed.highlighted is None:
            return None
        return self._lines.get(listed.get_option_at_index(listed.highlighted).id or "")

    @property
    def at_hand(self) -> tuple[Path, str] | None:
        line = self._chosen if self.is_mounted else None
        return None if line is None or line.run is None else (Path(line.run.path), line.run.state)

    @on(OptionList.OptionHighlighted)
    def moved(self) -> None:
        self.name_next_steps()
        self._follow()

    @on(OptionList.OptionSelected)
    def chosen(self) -> None:
        line = self._chosen
        if line is None:
            return
        if line.run is not None:
            path = Path(line.run.path)
            if line.goes == "resume":
                self.app.resume_training(path)
            else:
                self.app.open_run(path, back="home")
        elif line.study is not None:
            if line.goes == "resume" and not study_training.resume(self.app, line.study):
                self.app.notify("s on its screen goes on with it", timeout=8)
            self.app.open_study(line.study.folder)
        elif line.grid is not None:
            self.app.open_grid(str(line.grid))
        elif line.goes == "example":
            self.app.open_replay(EXAMPLE)
        elif line.goes == "presets":
            self.app.open_presets()
        else:
            self.app.action_jump(line.goes)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [*COMMANDS, ("home: read again", "runs and load", "reload")]


def trained(output_dir: Path) -> list[Path]:
    """Folders of grids that some process works on."""
    from calisr_engine.grid.folders import grid_folders

    folders = grid_folders(output_dir)
    return [each for each in folders if not is_study(each) and is_locked(RunPaths(each))]


def machine(load: Load) -> Text:
    """Cores, memory, disk and GPUs in one or two lines."""
    parts = [
        f"{load.cores} cores {load.cpu_percent:.0f}% busy",
        f"memory {words.size(load.memory_free)} of {words.size(load.memory_total)} free",
    ]
    if load.disk_free is not None:
        parts.append(f"disk {words.size(load.disk_free)} free")
    gpus = [
        f"{each.name} {each.percent:.0f}% busy, "
        f"{words.size(each.memory_free)} of {words.size(each.memory_total)} free"
        for each in load.gpus
    ]
    return Text(" · ".join(parts) + "\n" + ("; ".join(gpus) or "no GPU that NVML knows"))
