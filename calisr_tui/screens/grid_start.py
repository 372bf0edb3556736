"""The dialog that starts a grid: how many runs at a time, where, and the command that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from calisr_engine.grid import Grid
from calisr_engine.plain_words import command, counted
from calisr_tui.grid_source import run_words
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Button, Label, Static

FIELDS = (
    ("jobs", "runs at a time", "1"),
    ("data_dir", "GLUE folder", "none: from the hub, where needed"),
    ("devices", "CUDA devices", "all, or such as 0,1"),
)


@dataclass(frozen=True)
class StartOptions:
    """What the dialog asks for."""

    jobs: int
    data_dir: str
    devices: str


class StartGrid(ModalScreen[StartOptions | None]):
    """Jobs, data and devices of a grid's training; Enter starts, Escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="start_grid.cancel"),
        Binding("up", "previous", "Previous", show=False, id="start_grid.previous"),
        Binding("down", "next", "Next", show=False, id="start_grid.next"),
        Binding("f8", "copy", "Copy command", show=False, id="start_grid.copy"),
    ]

    def __init__(self, grid: Grid, left: int, data_dir: str, retry_failed: bool) -> None:
        super().__init__()
        self._source, self._left, self._retry = grid, left, retry_failed
        self._values = {"jobs": "1", "data_dir": data_dir, "devices": ""}

    def compose(self) -> ComposeResult:
        what = "Begin the failed runs again" if self._retry else "Start the grid"
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Text(what)
            dialog.border_subtitle = "Enter start · F8 copy the command · Esc cancel"
            yield Static(
                f"{counted(self._left, 'run')} to train, in a process that goes on "
                "when this app ends.",
                classes="dialog-text",
            )
            for name, label, empty in FIELDS:
                with Horizontal(classes="field start-field"):
                    yield Label(label)
                    yield Input(
                        self._values[name], placeholder=empty, compact=True, id=f"start-{name}"
                    )
            yield Static("", classes="dialog-note", id="start-command")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Start", variant="primary", compact=True, id="start-go")

    def on_mount(self) -> None:
        self.query_one("#start-jobs").focus()
        self._show()

    @property
    def options(self) -> StartOptions | None:
        """What is typed; None where the jobs are no number."""
        typed = {name: self.query_one(f"#start-{name}", Input).value.strip() for name in FIELD_KEYS}
        if not typed["jobs"].isdecimal() or not 1 <= int(typed["jobs"]) <= 1000:
            return None
        return StartOptions(int(typed["jobs"]), typed["data_dir"], typed["devices"])

    @property
    def line(self) -> str:
        """The command that does the same; "" where something is wrong."""
        options = self.options
        if options is None:
            return ""
        jobs, data_dir, devices = options.jobs, options.data_dir, options.devices
        return command(*run_words(self._source, jobs, data_dir, devices, self._retry))

    @on(Input.Changed)
    def _show(self) -> None:
        said = self.line or "✗ runs at a time: a whole number from 1 to 1000"
        self.query_one("#start-command", Static).update(Text(said))

    @on(Input.Submitted)
    @on(Button.Pressed)
    def go(self) -> None:
        if self.options is not None:
            self.dismiss(self.options)

    def action_copy(self) -> None:
        """Copy the command that does the same."""
        if self.line:
            self.app.copy_to_clipboard(self.line)
            self.app.notify("copied")

    def action_previous(self) -> None:
        self.focus_previous()

    def action_next(self) -> None:
        self.focus_next()

    def action_cancel(self) -> None:
        self.dismiss(None)


FIELD_KEYS = tuple(name for name, _, _ in FIELDS)
