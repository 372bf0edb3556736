"""The history: every run of the output folder, to open, resume, replay, compare or delete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input

from calisr_engine.errors import CalisrError
from calisr_tui import words
from calisr_tui.dialogs import Answer, Question
from calisr_tui.next_steps import COMMANDS, NextSteps
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import DataTable, Static

if TYPE_CHECKING:
    from calisr_engine.runs.store import RunSummary

COLUMNS = {
    "state": ("state", 13),
    "task": ("task", 8),
    "method": ("method", 14),
    "calibration": ("cal", 3),
    "delta": ("δ", 4),
    "seed": ("seed", 4),
    "best": ("best", 6),
    "last": ("last", 6),
    "share": ("trains", 6),
    "steps": ("steps", 9),
    "created": ("created", 11),
    "run": ("run", None),
}
NARROW = ("state", "task", "method", "calibration", "best", "steps", "created")
SORTS = ("newest", "best", "task", "method", "state", "name")
MOST_COMPARED = 8


def matches(run: RunSummary, wanted: str) -> bool:
    """Whether every word of the filter is in what the table shows of the run."""
    text = " ".join(
        str(each)
        for each in (
            run.run_id,
            run.state,
            run.task,
            run.model,
            run.method,
            run.variant,
            f"δ{run.delta}",
            f"seed{run.seed}",
            run.metric,
        )
    ).lower()
    return all(word in text for word in wanted.lower().split())


def ordered(runs: list[RunSummary], sort: str) -> list[RunSummary]:
    """The runs in the order of one of SORTS."""
    if sort == "best":
        return sorted(runs, key=lambda r: (r.best is None, -(r.best or 0.0)))
    if sort in ("task", "method", "state"):
        return sorted(runs, key=lambda r: (str(getattr(r, sort)), -(r.created or 0.0)))
    if sort == "name":
        return sorted(runs, key=lambda r: r.run_id)
    return sorted(runs, key=lambda r: (r.created or 0.0, r.run_id), reverse=True)


_MANY = {
    "runs.mark": "Mark",
    "runs.compare": "Compare",
    "runs.filter": "Filter",
    "app.help": "Help",
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


class RunsScreen(NextSteps):
    """A table of runs; `/` filters, `S` sorts, space marks for comparison."""

    FOOTER = FOOTER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume_run", "Resume", id="runs.resume"),
        Binding("v", "replay", "Replay", id="runs.replay"),
        Binding("space", "mark", "Mark", key_display="space", id="runs.mark"),
        Binding("c", "compare", "Compare", id="runs.compare"),
        Binding("slash", "filter", "Filter", key_display="/", id="runs.filter"),
        Binding("d", "delete", "Delete", id="runs.delete"),
        Binding("s", "sort", "Sort", show=False, id="runs.sort"),
        Binding("x", "export", "Export", show=False, id="runs.export"),
        Binding("o", "settings", "Settings", show=False, id="runs.settings"),
        Binding("y", "copy", "Copy folder", show=False, id="runs.copy"),
        Binding("u", "reload", "Read again", show=False, id="runs.reload"),
        Binding("escape", "clear_filter", "No filter", show=False, id="runs.clear_filter"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[RunSummary] = []
        self.marked: list[str] = []
        self.sort = "newest"
        self._shown: dict[str, RunSummary] = {}
        self._narrow: bool | None = None
        self._since = 0.0

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="runs-head")
        yield Input(placeholder="/ to filter: mrpc lora completed", id="filter", compact=True)
        yield DataTable(id="runs-table", cursor_type="row", zebra_stripes=True)
        yield Static("", id="run-detail", classes="box")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(DataTable).focus()
        self.action_reload()

    def on_screen_resume(self) -> None:
        self.action_reload()

    def on_resize(self, event: events.Resize) -> None:
        if self._narrow != (self.app.size.width < 100):
            self._fill()

    def on_tick(self, elapsed: float) -> None:
        self._since += elapsed
        if self._since > 5:
            self.action_reload()

    def redraw(self) -> None:
        self._fill()

    # Reading and showing -------------------------------------------------------------------------

    def action_reload(self) -> None:
        self._since = 0.0
        self._read()

    @work(thread=True, exclusive=True, group="runs")
    def _read(self) -> None:
        from calisr_engine.runs.store import list_runs

        found = list_runs(self.app.output_dir)
        self.app.call_from_thread(self._take, found)

    def _take(self, found: list[RunSummary]) -> None:
        if found != self.runs or not self._shown:
            self.runs = found
            self._fill()

    def _fill(self) -> None:
        table = self.query_one(DataTable)
        styles = colours(self.app.theme)
        chosen = self.chosen
        self._narrow = self.app.size.width < 100
        wide = self.app.size.width >= 150
        names = NARROW if self._narrow else tuple(n for n in COLUMNS if wide or n != "run")
        wanted = self.query_one("#filter", Input).value
        runs = ordered([r for r in self.runs if matches(r, wanted)], self.sort)
        self._shown = {run.run_id: run for run in runs}
        table.clear(columns=True)
        for name in names:
            label, width = COLUMNS[name]
            table.add_column(label, key=name, width=width)
        table.add_rows([self._cells(run, names, styles) for run in runs])
        self._keys = list(self._shown)
        if chosen is not None and chosen.run_id in self._shown:
            table.move_cursor(row=self._keys.index(chosen.run_id), animate=False)
        marked = f" · {len(self.marked)} marked" if self.marked else ""
        self.query_one("#runs-head", Static).update(
            f"Runs in {self.app.output_dir} · {len(runs)} of {len(self.runs)} · "
            f"by {self.sort}{marked}"
        )
        self._detail()

    def _cells(self, run: RunSummary, names: tuple[str, ...], styles: dict[str, str]) -> list[Text]:
        glyph, word, role = words.STATES.get(run.state, ("?", run.state, "dim"))
        mark = "✚" if run.run_id in self.marked else " "
        cells = {
            "state": Text(f"{mark}{glyph} {word.lower()}", styles[role]),
            "task": Text(run.task),
            "method": Text(run.method),
            "calibration": Text(run.variant, styles["dim"] if run.variant == "off" else ""),
            "delta": Text("" if run.delta is None or run.variant == "off" else f"{run.delta:g}"),
            "seed": Text("" if run.seed is None else str(run.seed)),
            "best": Text(words.figure(run.best), "bold"),
            "last": Text(words.figure(run.last)),
            "share": Text(words.share(run.share)),
            "steps": Text(f"{run.step}/{run.total_steps}" if run.total_steps else "–"),
            "created": Text(words.moment(run.created)[5:], styles["dim"]),
            "run": Text(run.run_id, styles["dim"]),
        }
        for name in ("task", "method"):
            cells[name].no_wrap = True
        return [cells[name] for name in names]

    @property
    def at_hand(self) -> tuple[Path, str] | None:
        run = self.chosen if self.is_mounted else None
        return None if run is None else (Path(run.path), run.state)

    @property
    def chosen(self) -> RunSummary | None:
        """The run under the cursor."""
        row = self.query_one(DataTable).cursor_row
        keys = getattr(self, "_keys", [])
        return self._shown.get(keys[row]) if 0 <= row < len(keys) else None

    @on(DataTable.RowHighlighted)
    def _detail(self) -> None:
        self.name_next_steps()
        detail = self.query_one("#run-detail", Static)
        run = self.chosen
        if run is None:
            detail.border_title = "No run"
            detail.update(
                "No run here yet. F2 sets one up; F6 replays the recorded example."
                if not self.runs
                else "No run matches the filter; Esc takes it away."
            )
            return
        detail.border_title = Text(run.run_id)
        switched = (
            ", ".join(f"{group} at {step}" for group, step in run.switched.items())
            if run.switched
            else "no group switched"
        )
        best = f"{run.metric} best {words.figure(run.best)}, last {words.figure(run.last)}"
        calibration = words.calibration(run.variant, run.delta, run.control)
        took = words.seconds(run.updated - run.created if run.updated and run.created else None)
        detail.update(
            Text(
                f"{run.task} · {run.model} · {run.method} · "
                f"{calibration} · seed {run.seed} · took {took}\n"
                f"{best} · trains {words.share(run.share)} · {switched}\n"
                + (f"! {run.problem}\n" if run.problem else "")
                + "Enter open · x export · d delete · o settings · y copy folder · s sort"
            )
        )

    # Filter and sort -----------------------------------------------------------------------------

    def action_filter(self) -> None:
        self.query_one("#filter").focus()

    def action_clear_filter(self) -> None:
        self.query_one("#filter", Input).value = ""
        self.query_one(DataTable).focus()

    @on(Input.Changed, "#filter")
    def filtered(self) -> None:
        self._fill()

    @on(Input.Submitted, "#filter")
    def filter_done(self) -> None:
        self.query_one(DataTable).focus()

    def action_sort(self) -> None:
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self._fill()

    # What can be done with a run -----------------------------------------------------------------

    def _path(self) -> Path | None:
        run = self.chosen
        if run is None:
            self.app.notify("no run is chosen", severity="warning")
            return None
        return Path(run.path)

    @on(DataTable.RowSelected)
    def open_run(self) -> None:
        path = self._path()
        if path is not None:
            self.app.open_run(path)

    def action_resume_run(self) -> None:
        path, run = self._path(), self.chosen
        if path is None or run is None:
            return
        if run.state == "completed":
            self.app.notify("this run is complete; there is nothing to go on with")
        elif run.state in ("running", "paused"):
            self.app.open_run(path)
        else:
            self.app.start_training(path)

    def action_replay(self) -> None:
        path = self._path()
        if path is not None:
            self.app.open_replay(path)

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
        row = self.query_one(DataTable).cursor_row
        self._fill()
        self.query_one(DataTable).move_cursor(row=min(row + 1, len(self._keys) - 1), animate=False)

    def action_compare(self) -> None:
        if len(self.marked) < 2:
            self.app.notify("mark two to eight runs with the space bar first", severity="warning")
            return
        self.app.chosen_runs = [self.app.output_dir / run_id for run_id in self.marked]
        self.app.action_jump("compare")

    def action_delete(self) -> None:
        path = self._path()
        if path is None:
            return

        def answered(answer: str | None) -> None:
            if answer != "delete":
                return
            from calisr_engine.runs import store

            try:
                store.delete(path)
            except CalisrError as error:
                self.app.show_error("Not deleted", error)
            else:
                self.app.notify(f"deleted {path.name}")
                self.marked = [each for each in self.marked if each != path.name]
            self.action_reload()

        self.app.push_screen(
            Question(
                "Delete this run?",
                f"{path}\n\nIts log, checkpoints and exported model are removed for good.",
                [Answer("no", "Keep it"), Answer("delete", "Delete", variant="error")],
            ),
            answered,
        )

    def action_settings(self) -> None:
        path = self._path()
        if path is not None:
            self.app.show_settings(path)

    def action_copy(self) -> None:
        path = self._path()
        if path is not None:
            self.app.copy_to_clipboard(str(path))
            self.app.notify(f"copied: {path}", timeout=2)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            *COMMANDS,
            ("runs: resume", "from the newest checkpoint", "resume_run"),
            ("runs: replay", "watch it again", "replay"),
            ("runs: mark", "for comparison", "mark"),
            ("runs: compare", "the marked ones", "compare"),
            ("runs: filter", "by words", "filter"),
            ("runs: sort", "by the next column", "sort"),
            ("runs: settings", "config.toml", "settings"),
            ("runs: delete", "for good", "delete"),
        ]
