"""Help: the method in a few words, and every key with its id."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen

from calisr_tui import keymap, places
from calisr_tui.themes import colours
from calisr_tui.verbatim import Table, Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.verbatim import Static

WORDS = (
    (
        "CaliSr",
        "Fine-tuning begins full (FFT: every weight) and goes over to a light method (LFT, such "
        "as LoRA) when the stable rank says that the light part does as well.",
    ),
    (
        "stable rank",
        "‖W‖F² / ‖W‖₂² of a weight matrix: between 1 and its rank, low where few directions "
        "carry it. The paper takes the lower one as the sign of the step that generalises better.",
    ),
    (
        "hit",
        "At a sample the step is taken in two parts. A hit is counted when the light part alone "
        "gives a lower stable rank than the full step: Δ rank is below zero, ▼.",
    ),
    (
        "SRS",
        "Stable rank score: hits / samples of a decision window, usually an epoch. Above δ the "
        "group switches to the light method and never comes back.",
    ),
    (
        "needs, coin",
        "How many hits of the samples to come would switch the group, or where it did (◆); and how "
        "likely a fair coin in the place of the comparisons had switched it by now.",
    ),
    (
        "D, S, S3, L, LC",
        "CaliSr-D has one counter for the whole model, S one for each component, S3 "
        "one each for the two feed-forward matrices and attention, L one for each layer, LC one "
        "for each component of each layer, own those of calibration.groups.",
    ),
    (
        "δ",
        "With 3 samples every δ from 0.4 to 0.6 needs 2 hits; with 5 samples all but 0.6 need 3.",
    ),
)

Row = tuple[str | Text, str, str]
"""A key, what it does, its id."""
MOST_COLUMNS = 3
AROUND = 6
"""Cells of a line that the page's padding and its scroll bar take."""


class HelpScreen(Screen[None]):
    """Words and keys on one page."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "close", "Close", key_display="Esc", id="help.close"),
        Binding("y", "copy_keymap", "Copy keymap file", id="help.copy"),
    ]

    def compose(self) -> ComposeResult:
        yield Static(" Help", classes="head")
        with VerticalScroll(id="help-body"):
            yield Static(id="help-words")
            yield Static(id="help-keys")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#help-body").focus()  # the page is drawn when its size is known

    def on_resize(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Also asked for when the theme changes."""
        styles = colours(self.app.theme)
        self.query_one("#help-words", Static).update(self._words(styles))
        self.query_one("#help-keys", Static).update(self._keys(styles))

    def _words(self, styles: dict[str, str]) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2, 1, 0), pad_edge=False)
        table.add_column(style=f"bold {styles['fft']}", no_wrap=True)
        table.add_column()
        for word, text in WORDS:
            table.add_row(word, text)
        signs = Text.assemble(
            ("█", styles["fft"]),
            " full  ",
            ("░", styles["lft"]),
            " light  ◆ switch  ┊ decision  ",
            ("●", styles["good"]),
            " hit  ",
            ("○", styles["bad"]),
            " no hit  · to come  ┃ δ",
        )
        table.add_row("signs", signs)
        return table

    def _keys(self, styles: dict[str, str]) -> Table:
        """The keys of each place, in as many columns as there is room for."""
        own = getattr(self.app, "_keymap", {})
        groups: dict[str, list[Row]] = {}
        for binding in places.every_binding(type(self.app)):
            name = str(binding.id)
            keys = own.get(name, binding.key)
            shown = " ".join(_shown(key) for key in keys.split(","))
            groups.setdefault(name.split(".")[0], []).append((shown, binding.description, name))
        parts: list[list[Row]] = [
            [("", "", ""), (Text(group, f"bold {styles['fft']}"), "", ""), *rows]
            for group, rows in groups.items()
        ]
        parts.append([("", "", ""), ("ctrl+p", "Command palette: everything by name", "")])
        room = max(1, self.app.size.width - AROUND)
        for count in range(MOST_COLUMNS, 0, -1):
            columns = self._columns(parts, count, styles)
            needed = sum(self.app.console.measure(each).maximum for each in columns)
            if needed <= room:
                break
        page = Table.grid(expand=True)
        for _ in columns:
            page.add_column()
        page.add_row(*columns)
        path = keymap.config_dir() / "keymap.toml"
        page.caption = f"Keys of your own: {path}, by id (y copies a start)."
        page.caption_justify = "left"
        return page

    def _columns(self, parts: list[list[Row]], count: int, styles: dict[str, str]) -> list[Table]:
        """The parts in their order, in up to `count` tables of about one height."""
        height = sum(map(len, parts)) / count
        columns: list[Table] = []
        for part in parts:
            full = not columns or columns[-1].row_count + len(part) / 2 > height
            if full and len(columns) < count:
                table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
                table.add_column("key", style="bold", no_wrap=True)
                table.add_column("does")
                table.add_column("id", style=styles["dim"], no_wrap=True)
                columns.append(table)
            for row in part:
                columns[-1].add_row(*row)
        return columns

    def action_close(self) -> None:
        self.dismiss(None)

    def action_copy_keymap(self) -> None:
        self.app.copy_to_clipboard(keymap.EXAMPLE)
        self.app.notify("copied a keymap file to start from", timeout=2)


def _shown(key: str) -> str:
    names: dict[str, Any] = {
        "question_mark": "?",
        "plus": "+",
        "minus": "-",
        "equals_sign": "=",
        "left": "←",
        "right": "→",
        "up": "↑",
        "down": "↓",
        "slash": "/",
        "escape": "Esc",
        "space": "Space",
        "enter": "Enter",
    }
    return str(names.get(key, key.upper() if key[:1] == "f" and key[1:].isdigit() else key))
