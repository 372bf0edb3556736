"""Rows of a form: one setting each, typed or chosen, with what is wrong below it; and folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from calisr_engine.config.describe import FieldInfo
from calisr_tui import form, late
from calisr_tui.form import Shown
from calisr_tui.verbatim import Text
from calisr_tui.widgets.paths import PathInput, Wanted
from calisr_tui.widgets.verbatim import Label, Static

MARK = "≡ "
"""Before what has several values."""


class CycleField(Widget, can_focus=True):
    """A setting with a few values: left, right and space go through them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "cycle(1)", "Next", show=False, id="field.next"),
        Binding("left", "cycle(-1)", "Previous", show=False, id="field.previous"),
        Binding("enter", "done", "Next step", show=False, id="field.done"),
    ]
    value = reactive("")
    note = reactive("")
    """Why it is this one, or that it is the default."""

    class Changed(Message):
        """Another value was chosen."""

        def __init__(self, field: CycleField, value: str) -> None:
            super().__init__()
            self.field, self.value = field, value

    class Done(Message):
        """Enter was pressed."""

    def __init__(self, choices: Sequence[str], value: str, note: str = "") -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.set_reactive(CycleField.value, value)
        self.set_reactive(CycleField.note, note)

    def render(self) -> Text:
        text = Text(f"‹ {self.value} ›", no_wrap=True, overflow="ellipsis")
        return text.append(f"  {self.note}", "dim") if self.note else text

    def action_cycle(self, by: int) -> None:
        if not self.choices:
            return
        known = self.value in self.choices
        at = self.choices.index(self.value) + by if known else 0
        self.take(self.choices[at % len(self.choices)])

    def take(self, value: str) -> None:
        """Choose a value."""
        self.value, self.note = value, ""
        self.post_message(self.Changed(self, value))

    def action_done(self) -> None:
        self.post_message(self.Done())

    def on_click(self, event: events.Click) -> None:
        self.focus()
        self.action_cycle(1)


class Field(Vertical):
    """Label and widget of one setting, and below them what is wrong with it.

    Args:
        choices: values to choose from; none where it is typed.
        wanted: what a path may lead to; None where no path is typed.
        late: tell only of text that was finished with Enter or by leaving the field.
        marked: whether several values are typed.

    Attributes:
        idle: whether the setting has no effect beside another's choice; a fold leaves it out.
    """

    class Edited(Message):
        """The setting has a new text; "" where it was emptied."""

        def __init__(self, key: str, text: str) -> None:
            super().__init__()
            self.key, self.text = key, text

    class Done(Message):
        """Enter was pressed in the setting."""

    def __init__(
        self,
        info: FieldInfo,
        shown: Shown,
        choices: Sequence[str] = (),
        wanted: Wanted | None = None,
        late: bool = False,
        marked: bool = False,
    ) -> None:
        super().__init__(classes="field")
        self.info = info
        self.marked = marked
        self.idle = False
        self.choices = tuple(choices)
        self._shown, self._wanted, self.late = shown, wanted, late
        self._told = shown.text
        self._seen: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        with Horizontal(classes="field-row"):
            yield Label(f"{MARK if self.marked else ''}{form.label(self.info.key)}")
            if self.choices:
                yield CycleField(self.choices, *self._cycled())
            elif self._wanted is not None:
                yield PathInput(self._shown.text, self._wanted, self._shown.default)
            else:
                yield Input(
                    self._shown.text,
                    placeholder=self._shown.default,
                    compact=True,
                    select_on_focus=False,
                )
        yield Static(classes="field-problem")

    def _cycled(self) -> tuple[str, str]:
        """Value and note of the choice."""
        shown = self._shown
        if shown.text:
            return shown.text, shown.why
        default = shown.default.removeprefix("default: ")
        return (default, "default") if default in self.choices else ("none", "")

    @property
    def control(self) -> Input | CycleField:
        """What has the focus."""
        return self.query_one(CycleField) if self.choices else self.query_one(Input)

    @property
    def tells_why(self) -> bool:
        """Whether the whole reason for its value stands beside it."""
        control = self.control
        if not isinstance(control, CycleField) or control.note != self._shown.why:
            return False
        return control.render().cell_len <= control.content_size.width

    def show(self, shown: Shown, problem: str) -> None:
        """Show the setting as it is now; what is being typed stays."""
        self._shown = shown
        if not self.is_mounted or not late.is_here(self):
            return
        control = self.control
        seen = shown, problem, self._told, control.has_focus
        if seen == self._seen:
            return
        self._seen = seen
        if isinstance(control, CycleField):
            control.value, control.note = self._cycled()
        else:
            self._show_default()
            if not control.has_focus and shown.text != self._told:
                self._told = control.value = shown.text
        control.set_class(bool(problem), "-invalid")
        below = self.query_one(".field-problem", Static)
        below.display = bool(problem)
        below.update(Text(f"✗ {problem}" if problem else ""))

    def on_resize(self) -> None:
        late.after_refresh(self, self._show_default)

    def _show_default(self) -> None:
        """What an empty setting stands for, with a sign where it is cut."""
        control = self.control
        if isinstance(control, Input):
            room, text = control.content_size.width, self._shown.default
            control.placeholder = f"{text[: room - 2]}…" if 2 < room < len(text) + 1 else text

    def take(self, text: str) -> None:
        """Set the text, as if it was typed."""
        control = self.control
        if isinstance(control, CycleField):
            control.take(text)
        else:
            control.value = text
            control.cursor_position = len(text)
            self._tell(text)

    def _tell(self, value: str) -> None:
        if value != self._told:
            self._told = value
            self.post_message(self.Edited(self.info.key, value.strip()))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.late:
            self._tell(event.value)

    def on_input_blurred(self, event: Input.Blurred) -> None:
        event.stop()
        self._tell(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._tell(event.value)
        self.post_message(self.Done())

    def on_cycle_field_changed(self, event: CycleField.Changed) -> None:
        event.stop()
        self._told = event.value
        self.post_message(self.Edited(self.info.key, event.value))

    def on_cycle_field_done(self, event: CycleField.Done) -> None:
        event.stop()
        self.post_message(self.Done())


class Fold(Vertical):
    """Settings under a heading, which are made when it is first opened."""

    def __init__(self, title: str, keys: Sequence[str], make: Callable[[], list[Field]]) -> None:
        super().__init__(classes="fold")
        self.heading = Heading(title, len(keys))
        self.keys, self._make = tuple(keys), make

    def compose(self) -> ComposeResult:
        yield self.heading

    async def turn(self, to: bool) -> None:
        """Open or close it."""
        self.heading.is_open = to
        if to and len(self.children) == 1:
            await self.mount_all(self._make())
        self.show_fields()

    def show_fields(self) -> None:
        """Show the fields that are not idle, if it is open."""
        for field in self.query(Field):
            field.display = self.is_open and not field.idle

    @property
    def is_open(self) -> bool:
        return self.heading.is_open

    async def on_heading_turned(self, event: Heading.Turned) -> None:
        event.stop()
        await self.turn(event.to)


class Heading(Widget, can_focus=True):
    """The line that opens and closes a fold."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "turn", "Open or close", show=False, id="fold.turn"),
        Binding("right", "turn(True)", "Open", show=False, id="fold.open"),
        Binding("left", "turn(False)", "Close", show=False, id="fold.close"),
    ]
    is_open = reactive(False)
    set_here = reactive(0)
    """How many of the settings the user has set."""

    class Turned(Message):
        """It is to be opened or closed."""

        def __init__(self, to: bool) -> None:
            super().__init__()
            self.to = to

    def __init__(self, title: str, count: int) -> None:
        super().__init__()
        self.title, self.count = title, count

    def render(self) -> Text:
        text = Text(f"{'▾' if self.is_open else '▸'} {self.title}", no_wrap=True)
        count = f"{self.count} settings" if self.count > 1 else "one setting"
        changed = f", {self.set_here} set" if self.set_here else ""
        return text.append(f"  {count}{changed}", "dim")

    def action_turn(self, to: bool | None = None) -> None:
        self.post_message(self.Turned(not self.is_open if to is None else to))

    def on_click(self, event: events.Click) -> None:
        self.focus()
        self.action_turn()
