"""Export a run's best model: where to, and with ONNX or not; the command that does it is shown."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from calisr_engine import plain_words
from calisr_tui.grid_source import process_words
from calisr_tui.host import Host
from calisr_tui.started import ExportProcess
from calisr_tui.verbatim import Text
from calisr_tui.widgets.fields import CycleField
from calisr_tui.widgets.paths import PathInput, Wanted
from calisr_tui.widgets.verbatim import Label, Static


class ExportScreen(ModalScreen[None]):
    """Enter exports, in a process of its own; Escape closes this, and the export goes on."""

    app: Host
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="export.close"),
        Binding("up", "app.focus_previous", "Previous", show=False, id="export.previous"),
        Binding("down", "app.focus_next", "Next", show=False, id="export.next"),
        Binding("f8", "copy", "Copy command", id="export.copy"),
    ]

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.export: ExportProcess | None = None

    def compose(self) -> ComposeResult:
        model = self.run_dir / "model"
        there = (
            f"The best model is a plain transformers folder: {model}. Here it is written anew, "
            "elsewhere."
            if model.is_dir()
            else "The best model so far is written as a plain transformers folder."
        )
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Text(f"Export {self.run_dir.name}")
            dialog.border_subtitle = "Enter export · F8 copy the command · Esc close"
            yield Static(there, classes="dialog-text")
            with Horizontal(classes="field start-field"):
                yield Label("folder")
                yield PathInput(_free(f"{self.run_dir.name}-model"), Wanted(), "a new folder")
            with Horizontal(classes="field start-field"):
                yield Label("ONNX, too")
                yield CycleField(("no", "yes"), "no")
            yield Static("", classes="dialog-note", id="export-command")
            yield Static("", classes="dialog-note", id="export-state")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._show()

    @property
    def folder(self) -> Path | None:
        """Where to; None where nothing is typed."""
        typed = self.query_one(Input).value.strip()
        return Path(typed).expanduser() if typed else None

    @property
    def command(self) -> str:
        """The command line that does it."""
        onnx = ["--onnx"] if self.query_one(CycleField).value == "yes" else []
        return plain_words.command("export", self.run_dir, self.folder or "FOLDER", *onnx)

    @on(Input.Changed)
    @on(CycleField.Changed)
    def _show(self) -> None:
        self.query_one("#export-command", Static).update(Text(self.command))
        self.on_tick()

    def on_tick(self, elapsed: float = 0.0) -> None:
        if not self.is_mounted:
            return
        state, folder = self.query_one("#export-state", Static), self.folder
        if self.export is not None:
            state.update(Text(self.export.state))
        elif folder is None:
            state.update(Text("type the folder that shall be written", "dim"))
        elif folder.exists():
            state.update(Text(f"{folder} exists already; name a folder that does not"))
        else:
            state.update("")

    @on(Input.Submitted)
    @on(CycleField.Done)
    def go(self) -> None:
        """Export, if a new folder is named and nothing is exported by this dialog yet."""
        folder = self.folder
        if self.export is not None and self.export.running:
            self.app.notify("this export is not done yet")
        elif folder is not None and not folder.exists():
            try:
                command = process_words(shlex.split(self.command)[1:])
                self.export = self.app.started.start_export(command, folder)
            except OSError as error:
                self.app.notify(f"the export could not be started: {error}", severity="error")
        self.on_tick()

    def action_copy(self) -> None:
        """Copy the command line."""
        self.app.copy_to_clipboard(self.command)
        self.app.notify("copied")

    def action_close(self) -> None:
        self.dismiss(None)


def _free(name: str) -> str:
    """That name, or one like it which no file or folder has here."""
    number, found = 1, name
    while Path(found).exists():
        number += 1
        found = f"{name}-{number}"
    return found
