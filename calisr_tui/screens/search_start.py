"""The dialog that starts a search: how many trials, how they are chosen and ended, where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from calisr_engine.plain_words import command
from calisr_engine.tune.study import PRUNERS, SAMPLERS, Plan
from calisr_tui.verbatim import Text
from calisr_tui.widgets.fields import CycleField
from calisr_tui.widgets.verbatim import Button, Label, Static

NUMBERS = {
    "trials": ("trials", 1, 10_000),
    "seeds": ("seeds of the best", 0, 1000),
    "seed": ("search seed", 0, 2**31),
    "jobs": ("trials at a time", 1, 1000),
}
"""Field -> its label, the least and the most."""

CHOICES = {"sampler": ("chosen by", SAMPLERS), "pruner": ("end early by", PRUNERS)}
NOTES = {
    "tpe": "learns from the trials",
    "random": "learns nothing",
    "median": "worse than the others' median",
    "hyperband": "allots epochs",
    "none": "all go to their end",
}
ORDER = ("trials", "sampler", "pruner", "seeds", "seed", "jobs", "devices")


@dataclass(frozen=True)
class SearchStart:
    """What the dialog asks for; `plan` without what is searched."""

    plan: Plan
    jobs: int
    devices: str


class StartSearch(ModalScreen[SearchStart | None]):
    """How a search is done and where it trains; Enter starts, Escape gives None.

    Args:
        plan: what stands there at first.
        command: what follows `calisr`, from plan, jobs and devices.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="start_search.cancel"),
        Binding("up", "app.focus_previous", "Previous", show=False, id="start_search.previous"),
        Binding("down", "app.focus_next", "Next", show=False, id="start_search.next"),
        Binding("f8", "copy", "Copy command", show=False, id="start_search.copy"),
    ]

    def __init__(
        self,
        title: str = "",
        plan: Plan | None = None,
        command: Callable[[Plan, int, str], list[str]] = lambda plan, jobs, devices: ["tune"],
        jobs: int = 1,
        devices: str = "",
    ) -> None:
        super().__init__()
        self._title, self._plan, self._command = title, plan or Plan(()), command
        self._values = {
            "trials": str(self._plan.trials),
            "seeds": str(self._plan.seeds),
            "seed": str(self._plan.seed),
            "jobs": str(jobs),
            "devices": devices,
        }

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Text(self._title)
            dialog.border_subtitle = "Enter start · F8 copy the command · Esc cancel"
            yield Static(
                "Trains in a process of its own, which goes on when this app ends.",
                classes="dialog-text",
            )
            for name in ORDER:
                with Horizontal(classes="field start-field"):
                    yield from self._field(name)
            yield Static("", classes="dialog-note", id="search-command")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Start", variant="primary", compact=True, id="search-go")

    def _field(self, name: str) -> ComposeResult:
        if name in CHOICES:
            label, choices = CHOICES[name]
            yield Label(label)
            value = str(getattr(self._plan, name))
            field = CycleField(choices, value, NOTES[value])
            field.id = f"search-{name}"
            yield field
            return
        yield Label(NUMBERS[name][0] if name in NUMBERS else "CUDA devices")
        empty = "" if name in NUMBERS else "all, or such as 0,1"
        yield Input(self._values[name], placeholder=empty, compact=True, id=f"search-{name}")

    def on_mount(self) -> None:
        self.query_one("#search-trials").focus()
        self._show()

    @property
    def wrong(self) -> str:
        """What is wrong with what is typed; "" where nothing is."""
        for name, (label, least, most) in NUMBERS.items():
            text = self._typed(name)
            if not text.isdecimal() or not least <= int(text) <= most:
                return f"{label}: a whole number from {least} to {most:,}"
        return ""

    def _typed(self, name: str) -> str:
        return self.query_one(f"#search-{name}", Input).value.strip()

    @property
    def start(self) -> SearchStart | None:
        """What is chosen; None where something is wrong."""
        if self.wrong:
            return None
        plan = Plan(
            (),
            int(self._typed("trials")),
            int(self._typed("seeds")),
            self.query_one("#search-sampler", CycleField).value,
            self.query_one("#search-pruner", CycleField).value,
            int(self._typed("seed")),
        )
        return SearchStart(plan, int(self._typed("jobs")), self._typed("devices"))

    @property
    def line(self) -> str:
        """The command that does the same; "" where something is wrong."""
        start = self.start
        return (
            "" if start is None else command(*self._command(start.plan, start.jobs, start.devices))
        )

    @on(Input.Changed)
    def _show(self) -> None:
        said = f"✗ {self.wrong}" if self.wrong else self.line
        self.query_one("#search-command", Static).update(Text(said))

    @on(CycleField.Changed)
    def _chosen(self, event: CycleField.Changed) -> None:
        event.field.note = NOTES[event.value]
        self._show()

    @on(Input.Submitted)
    @on(Button.Pressed)
    @on(CycleField.Done)
    def go(self) -> None:
        if self.start is not None:
            self.dismiss(self.start)

    def action_copy(self) -> None:
        """Copy the command that does the same."""
        if self.line:
            self.app.copy_to_clipboard(self.line)
            self.app.notify("copied")

    def action_cancel(self) -> None:
        self.dismiss(None)
