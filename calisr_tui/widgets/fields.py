"""Rows of a form: one setting each, typed or chosen."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from calisr_engine.config.describe import FieldInfo
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Label


class CycleField(Widget, can_focus=True):
    """A setting with a few values: left, right and space go through them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "cycle(1)", "Next", show=False, id="field.next"),
        Binding("left", "cycle(-1)", "Previous", show=False, id="field.previous"),
        Binding("enter", "done", "Next step", show=False, id="field.done"),
    ]
    value = reactive("")

    class Changed(Message):
        """Another value was chosen."""

        def __init__(self, field: CycleField, value: str) -> None:
            super().__init__()
            self.field, self.value = field, value

    class Done(Message):
        """Enter was pressed."""

    def __init__(self, choices: tuple[str, ...], value: str) -> None:
        super().__init__()
        self.choices = choices
        self.set_reactive(CycleField.value, value)

    def render(self) -> Text:
        return Text(f"‹ {self.value} ›")

    def action_cycle(self, by: int) -> None:
        at = self.choices.index(self.value) if self.value in self.choices else 0
        self.value = self.choices[(at + by) % len(self.choices)]
        self.post_message(self.Changed(self, self.value))

    def action_done(self) -> None:
        self.post_message(self.Done())

    def on_click(self, event: events.Click) -> None:
        self.focus()
        self.action_cycle(1)


def shown(value: Any) -> str:
    """A setting's value as one types it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(str(each) for each in value)
    return str(value)


class Field(Horizontal):
    """Label and widget of one setting."""

    class Edited(Message):
        """The setting has a new text."""

        def __init__(self, key: str, text: str) -> None:
            super().__init__()
            self.key, self.text = key, text

    class Done(Message):
        """Enter was pressed in the setting."""

    def __init__(self, info: FieldInfo, value: Any) -> None:
        super().__init__(classes="field")
        self.info = info
        self._value = shown(value)

    def compose(self) -> ComposeResult:
        yield Label(self.info.name.replace("_", " "))
        if self.info.kind in ("choice", "flag"):
            choices = self.info.choices or ("false", "true")
            if self.info.optional:
                choices = ("none", *choices)
            yield CycleField(choices, self._value or "none")
        else:
            yield Input(
                self._value,
                placeholder="none" if self.info.optional else self.info.expects,
                compact=True,
                select_on_focus=False,
            )

    def mark(self, wrong: bool) -> None:
        """Show whether the setting's text can be used."""
        for widget in self.query(Input):
            widget.set_class(wrong, "-invalid")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._value:
            self._value = event.value
            self.post_message(self.Edited(self.info.key, event.value.strip() or "none"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done())

    def on_cycle_field_changed(self, event: CycleField.Changed) -> None:
        event.stop()
        self.post_message(self.Edited(self.info.key, event.value))

    def on_cycle_field_done(self, event: CycleField.Done) -> None:
        event.stop()
        self.post_message(self.Done())
