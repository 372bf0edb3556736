"""What can be done with a run of a list: go on with it, replay, name, tag, pin, delete it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from calisr_engine.errors import CalisrError
from calisr_tui.dialogs import Answer, Question
from calisr_tui.next_steps import COMMANDS, NextSteps
from calisr_tui.screens import run_notes

if TYPE_CHECKING:
    from calisr_engine.runs.summary import RunSummary

ONE_RUN = [
    *COMMANDS,
    ("runs: resume", "from the newest checkpoint", "resume_run"),
    ("runs: replay", "watch it again", "replay"),
    ("runs: name", "beside the id", "name"),
    ("runs: tags", "of the marked runs, a group or a run", "tags"),
    ("runs: notes", "a line about the run", "notes"),
    ("runs: pin", "on top of every list", "pin"),
    ("runs: settings", "config.toml", "settings"),
    ("runs: delete", "for good", "delete"),
]
"""Palette commands: title, help, action."""


class RunActions(NextSteps):
    """A list of runs with one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume_run", "Resume", id="runs.resume"),
        Binding("v", "replay", "Replay", id="runs.replay"),
        Binding("d", "delete", "Delete", id="runs.delete"),
        Binding("n", "name", "Name", show=False, id="runs.name"),
        Binding("t", "tags", "Tags", show=False, id="runs.tags"),
        Binding("i", "notes", "Notes", show=False, id="runs.notes"),
        Binding("p", "pin", "Pin", show=False, id="runs.pin"),
        Binding("o", "settings", "Settings", show=False, id="runs.settings"),
        Binding("y", "copy", "Copy folder", show=False, id="runs.copy"),
    ]

    @property
    def chosen(self) -> RunSummary | None:
        """The run under the cursor; None on a heading."""
        raise NotImplementedError

    @property
    def meant(self) -> Sequence[RunSummary]:
        """The runs that tags and pins are for."""
        raise NotImplementedError

    def action_reload(self) -> None:
        """Read the list again."""
        raise NotImplementedError

    def forget(self, run_id: str) -> None:
        """A run is no longer there."""
        raise NotImplementedError

    def _path(self) -> Path | None:
        run = self.chosen
        if run is None:
            self.app.notify("no run is chosen", severity="warning")
            return None
        return Path(run.path)

    def action_resume_run(self) -> None:
        path, run = self._path(), self.chosen
        if path is None or run is None:
            return
        if run.state == "completed":
            self.app.notify("this run is complete; there is nothing to go on with")
        elif run.state in ("running", "paused"):
            self.app.open_run(path)
        else:
            self.app.resume_training(path)

    def action_replay(self) -> None:
        path = self._path()
        if path is not None:
            self.app.open_replay(path)

    def action_name(self) -> None:
        run_notes.ask_name(self.app, self.chosen, self.action_reload)

    def action_notes(self) -> None:
        run_notes.ask_notes(self.app, self.chosen, self.action_reload)

    def action_tags(self) -> None:
        run_notes.ask_tags(self.app, self.meant, self.action_reload)

    def action_pin(self) -> None:
        run_notes.pin(self.app, self.meant, self.action_reload)

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
                self.forget(path.name)
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
