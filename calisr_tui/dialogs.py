"""Small dialogs: a question, a text to read, a line to type, a choice from a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from calisr_tui.choice import Choice
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Button, Option, OptionList, Static


@dataclass(frozen=True)
class Answer:
    """One answer of a question: its key word, its button, why it cannot be given ("" if it can)."""

    name: str
    label: str
    refused: str = ""
    variant: Any = "default"


ROOM_FOR_REMARKS = 76
"""Cells of a screen from which on the remarks of a settings file keep their column."""

LEAST_BUTTON = 10
"""Cells of a button with a short word."""


class Question(ModalScreen[str | None]):
    """A question with two to four answers; Escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="dialog.cancel"),
        Binding("left,up", "app.focus_previous", "Previous", show=False, id="dialog.previous"),
        Binding("right,down", "app.focus_next", "Next", show=False, id="dialog.next"),
    ]

    def __init__(self, title: str, text: str, answers: Sequence[Answer]) -> None:
        super().__init__()
        self._title, self._text, self._answers = title, text, answers

    def compose(self) -> ComposeResult:
        refused = [f"{a.label}: {a.refused}" for a in self._answers if a.refused]
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Text(self._title)
            yield Static(self._text, classes="dialog-text")
            for line in refused:
                yield Static(line, classes="dialog-note")
            with Horizontal(classes="dialog-buttons"):
                for answer in self._answers:
                    yield Button(
                        answer.label,
                        id=f"answer-{answer.name}",
                        disabled=bool(answer.refused),
                        variant=answer.variant,
                        compact=True,
                    )

    def on_mount(self) -> None:
        first = next((a for a in self._answers if not a.refused), None)
        if first is not None:
            self.query_one(f"#answer-{first.name}").focus()

    def on_resize(self) -> None:
        """Buttons that have no room beside each other stand below each other."""
        buttons = self.query_one(".dialog-buttons")
        needed = sum(max(LEAST_BUTTON, len(each.label) + 4) + 2 for each in self._answers)
        self.set_class(needed > buttons.size.width, "stacked")

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        self.dismiss((event.button.id or "").removeprefix("answer-"))

    def action_cancel(self) -> None:
        self.dismiss(None)


class Reading(ModalScreen[None]):
    """A text to read; `copy` is what the copy key takes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "close", "Close", id="reading.close"),
        Binding("y", "copy", "Copy", id="reading.copy"),
    ]

    def __init__(self, title: str, text: str, copy: str = "", wide: bool = False) -> None:
        super().__init__()
        self._title, self._text, self._copy, self._wide = title, text, copy, wide

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide" if self._wide else "dialog") as dialog:
            dialog.border_title = Text(self._title)
            dialog.border_subtitle = Text("Enter close" + (" · y copy" if self._copy else ""))
            with VerticalScroll(classes="dialog-scroll"):
                yield Static(self._text, classes="dialog-text")

    def on_resize(self) -> None:
        """Remarks at the ends of lines stand near them where there is no room for a column."""
        narrow = self.app.size.width < ROOM_FOR_REMARKS
        text = re.sub(r"(?<=\S) {3,}(?=# )", "  ", self._text) if narrow else self._text
        self.query_one(".dialog-text", Static).update(text)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        if self._copy:
            self.app.copy_to_clipboard(self._copy)
            self.app.notify("copied")


class Lines(Input):
    """One line that takes several when they are pasted, each end of a line as `ends`."""

    def __init__(self, *args: Any, ends: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ends = ends

    def on_paste(self, event: events.Paste) -> None:
        event.text = self._ends.join(event.text.splitlines())


class Typing(ModalScreen[str | None]):
    """One line to type; Escape gives None.

    Args:
        empty: whether an empty line is an answer, too.
        goes_on: whether what is typed goes on with the value; else the first key takes its place.
        longest: so many characters are taken; the rest is cut.
        ends: what stands for the end of a line; without it the first line of a paste is taken.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="typing.cancel")
    ]

    def __init__(
        self,
        title: str,
        text: str,
        value: str = "",
        placeholder: str = "",
        empty: bool = False,
        goes_on: bool = False,
        longest: int | None = None,
        ends: str = "",
    ) -> None:
        super().__init__()
        self._title, self._text, self._value, self._placeholder = title, text, value, placeholder
        self._empty, self._goes_on, self._longest, self._ends = empty, goes_on, longest, ends

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Text(self._title)
            dialog.border_subtitle = "Enter take it · Esc cancel"
            yield Static(self._text, classes="dialog-text")
            how: dict[str, Any] = {
                "placeholder": self._placeholder,
                "compact": True,
                "select_on_focus": not self._goes_on,
            }
            ends = self._ends
            yield Lines(self._value, ends=ends, **how) if ends else Input(self._value, **how)

    @on(Input.Changed)
    def cut(self, event: Input.Changed) -> None:
        """What is too long is cut as it comes, and that is told."""
        if self._longest is not None and len(event.value) > self._longest:
            event.input.value = event.value[: self._longest]
            self.notify(f"cut to {self._longest:,} characters", severity="warning")

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        text = event.value.strip()[: self._longest]
        self.dismiss(text if text or self._empty else None)

    def action_cancel(self) -> None:
        self.dismiss(None)


def ask_file(app: App[Any], title: str, proposal: str, then: Callable[[Path], object]) -> None:
    """Ask where to save something, and again before a file is replaced."""

    def typed(name: str | None) -> None:
        if name is None:
            return
        path = Path(name).expanduser()
        if not path.exists():
            then(path)
            return

        def answered(answer: str | None) -> None:
            if answer == "replace":
                then(path)

        answers = [Answer("no", "Keep it"), Answer("replace", "Replace", variant="error")]
        app.push_screen(Question("Replace this file?", str(path), answers), answered)

    app.push_screen(Typing(title, "File:", proposal), typed)


FEW = 8
"""Choices up to which a list has no line to search, and is as high as they are."""
AROUND_LIST = 7
"""Lines of a dialog around its list: border, padding, the line to search, and what parts them."""
NARROW = 66
"""Cells of a line in a dialog of the usual width."""
LONGEST_TITLE = 24
"""Cells up to which notes stand in a column of their own; a longer title pushes its own alone."""


class Picking(ModalScreen[str | None]):
    """A list to choose from, with a line to search; Escape gives None.

    Args:
        current: the name of the choice that is marked at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="picking.cancel")
    ]

    def __init__(self, title: str, choices: Sequence[Choice], current: str = "") -> None:
        super().__init__()
        self._title, self._choices, self._current = title, choices, current

    def compose(self) -> ComposeResult:
        few = len(self._choices) <= FEW
        with Vertical(classes="dialog few" if few else "dialog tall") as dialog:
            dialog.set_class(self._cells > NARROW, "wide")
            dialog.border_title = Text(self._title)
            dialog.border_subtitle = "↑↓ Enter choose · Esc cancel"
            if not few:
                dialog.styles.max_height = len(self._choices) + AROUND_LIST
                yield Input(placeholder="type to search", compact=True)
            yield OptionList(*self._options(""))

    def on_mount(self) -> None:
        self.query("Input, OptionList").first().focus()
        names = [choice.name for choice in self._choices]
        if self._current in names:
            self.query_one(OptionList).highlighted = names.index(self._current)

    @property
    def _cells(self) -> int:
        """Of the longest line."""
        column = self._titles
        lines = (max(column, cell_len(c.title)) + 2 + cell_len(c.note) for c in self._choices)
        return max(lines, default=0)

    @property
    def _titles(self) -> int:
        """Cells of the longest title with a note beside it that is not too long for a column."""
        titles = (cell_len(each.title) for each in self._choices if each.note)
        return max((each for each in titles if each <= LONGEST_TITLE), default=0)

    def _options(self, wanted: str) -> list[Option]:
        found, titles = [], self._titles
        for choice in self._choices:
            words = f"{choice.title} {choice.name} {choice.note}".lower()
            if all(word in words for word in wanted.lower().split()):
                text = Text(choice.title, no_wrap=True, overflow="ellipsis")
                if choice.note:
                    text.pad_right(max(0, titles - cell_len(choice.title)))
                    text.append(f"  {choice.note}", "dim")
                found.append(Option(text, id=choice.name))
        return found

    @on(Input.Changed)
    def search(self, event: Input.Changed) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._options(event.value))
        options.highlighted = 0 if options.option_count else None

    @on(Input.Submitted)
    def take_first(self) -> None:
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self.dismiss(options.get_option_at_index(options.highlighted).id)

    def on_key(self, event: events.Key) -> None:
        options = self.query_one(OptionList)
        if event.key in ("down", "up") and not options.has_focus:
            event.stop()
            if event.key == "down":
                options.action_cursor_down()
            else:
                options.action_cursor_up()

    @on(OptionList.OptionSelected)
    def picked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_cancel(self) -> None:
        self.dismiss(None)
