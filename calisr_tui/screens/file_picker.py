"""Choose a file or a folder: go through folders, type to filter."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from calisr_tui import late
from calisr_tui.verbatim import Text
from calisr_tui.widgets.paths import MOST, Entry, Wanted, entries, matching
from calisr_tui.widgets.verbatim import Label, Option, OptionList
from calisr_tui.words import size


class FilePicker(ModalScreen[str | None]):
    """The folders and files of one folder; gives a path, relative below the current folder.

    Args:
        begin: the folder that is shown first.
        wanted: which files are shown.
        folders: whether a folder can be taken.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="files.cancel"),
        Binding("left", "up", "Folder above", id="files.up", priority=True),
        Binding("ctrl+t", "take_folder", "Take this folder", id="files.folder"),
    ]

    def __init__(self, title: str, begin: Path, wanted: Wanted, folders: bool = False) -> None:
        super().__init__()
        self._title, self._wanted, self._folders = title, wanted, folders
        self.folder = begin
        self._found: list[Entry] = []
        self._named = ""
        self.idle = False
        self._asked = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog tall") as dialog:
            dialog.border_title = Text(self._title)
            keys = "Enter take · ← up · Esc cancel"
            dialog.border_subtitle = Text(keys + (" · Ctrl-T folder" if self._folders else ""))
            yield Label("", id="files-folder")
            yield Input(placeholder="type to filter", compact=True)
            yield OptionList()

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._go(self.folder)

    def _go(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.query_one(Input).value = ""
        self.idle = self._asked = False
        self._read(self.folder)

    @work(thread=True, exclusive=True, group="save")
    def _read(self, folder: Path) -> None:
        found: list[Entry] = []
        problem = ""
        try:
            found = entries(str(folder), self._wanted)
        except OSError as error:
            problem = f": {error.strerror}"
        late.from_thread(self, self._show, folder, found, problem)

    def _show(self, folder: Path, found: list[Entry], problem: str) -> None:
        if folder != self.folder:
            return
        self._found = found
        more = f" (the first {MOST:,})" if len(found) >= MOST else ""
        self._named = f"{folder}{more}{problem}"
        self._show_name()
        self._fill()
        self.idle = True
        if self._asked:
            self.take_marked()

    def on_resize(self) -> None:
        late.after_refresh(self, self._show_name)

    def _show_name(self) -> None:
        """The folder's name, its end where there is no room for all."""
        room = self.query_one(OptionList).size.width
        name = self._named if len(self._named) <= room else f"…{self._named[1 - room :]}"
        self.query_one("#files-folder", Label).update(Text(name))

    def _fill(self) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        typed = self.query_one(Input).value.strip()
        if not typed and self.folder != self.folder.parent:
            options.add_option(Option("../", id=".."))
        for each in matching(self._found, typed):
            text = Text(each.name + ("/" if each.is_folder else ""), no_wrap=True)
            if each.size is not None:
                text.append(f"  {size(each.size)}", "dim")
            options.add_option(Option(text, id=each.name))
        first = 0 if typed or len(self._found) == 0 else 1
        if not typed:  # rather a file than a folder
            files = [at for at, each in enumerate(self._found) if not each.is_folder]
            first = files[0] + (self.folder != self.folder.parent) if files else first
        options.highlighted = min(first, options.option_count - 1) if options.option_count else None

    @on(Input.Changed)
    def filter(self) -> None:
        if self.idle:
            self._fill()

    @on(Input.Submitted)
    def take_marked(self) -> None:
        self._asked = not self.idle  # what is marked is of the folder before; once there is another
        if self._asked:
            return
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self._take(str(options.get_option_at_index(options.highlighted).id))

    @on(OptionList.OptionSelected)
    def option_taken(self, event: OptionList.OptionSelected) -> None:
        if self.idle:
            self._take(str(event.option.id))

    def _take(self, name: str) -> None:
        known = {each.name: each for each in self._found}
        if name == "..":
            self._go(self.folder.parent)
        elif name in known and known[name].is_folder:
            inside, marker = self.folder / name, self._wanted.marker
            if marker and (inside / marker).is_file():
                self.dismiss(_short(inside))
            else:
                self._go(inside)
        else:
            self.dismiss(_short(self.folder / name))

    def action_up(self) -> None:
        """Show the folder above; in a filter that has text, go left."""
        typed = self.query_one(Input)
        if typed.has_focus and typed.value and typed.cursor_position:
            typed.action_cursor_left()
            return
        self._go(self.folder.parent)

    def action_take_folder(self) -> None:
        """Take the folder that is shown."""
        if self._folders:
            self.dismiss(_short(self.folder))
        else:
            self.app.notify("a file is needed here, not a folder")

    def action_cancel(self) -> None:
        self.dismiss(None)

    def on_key(self, event: events.Key) -> None:
        options = self.query_one(OptionList)
        moves: dict[str, Callable[[], object]] = {
            "down": options.action_cursor_down,
            "up": options.action_cursor_up,
            "pagedown": options.action_page_down,
            "pageup": options.action_page_up,
        }
        if event.key in moves and not options.has_focus:
            event.stop()
            moves[event.key]()


def _short(path: Path) -> str:
    """Relative where it lies below the current folder."""
    try:
        found = str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
    return "./" if found == "." else found
