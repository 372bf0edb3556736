"""The paper's figures from the runs of a grid, drawn as `calisr figure` draws them.

A figure is computed by that very command in a process of its own: weights and torch stay out of the
app, a long computation ends when another figure is chosen, and the screen stays fluent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import textwrap
from pathlib import Path
from typing import Any, ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen

from calisr_engine.figures.data import Figure, Panel
from calisr_engine.grid import Grid
from calisr_tui import late
from calisr_tui.charts.figure_text import legend_lines, panel_text
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking, ask_file
from calisr_tui.grid_source import figure_words, process_words
from calisr_tui.host import Host
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.verbatim import Static

FIGURES = {
    "2a": "when each group switches",
    "2b": "trainable share against the share of full fine-tuning",
    "3": "stable rank, loss and metric of full and light training",
    "4a": "change of singular values, full fine-tuning",
    "4b": "change of singular values, light method",
    "4c": "alignment of singular vectors, full fine-tuning",
    "4d": "alignment of singular vectors, light method",
    "5a": "best delta of each task",
    "5b": "metric against delta",
}
LEAST_ROWS = 8
SETTLE_SECONDS = 0.3
"""How long a choice must stand before it is computed, so that one can go past heavy figures."""


class FiguresScreen(Screen[None]):
    """One figure at a time; left and right go to the next."""

    app: Host

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "next(-1)", "Previous", key_display="←", priority=True, id="figures.left"),
        Binding("right", "next(1)", "Next", key_display="→", priority=True, id="figures.right"),
        Binding("o", "choose", "Choose", id="figures.choose"),
        Binding("w", "write", "Save SVG", id="figures.save"),
        Binding("u", "reload", "Compute again", show=False, id="figures.reload"),
        Binding("y", "copy", "Copy command", show=False, id="figures.copy"),
        Binding("escape", "back", "Grid", id="figures.back"),
    ]

    def __init__(self, plan: Grid, name: str = "") -> None:
        super().__init__()
        self.plan = plan
        self.name_shown = name or first_figure(plan.head.name)
        self.figure: Figure | None = None
        self.message = ""
        self._found: dict[str, Figure] = {}

    def compose(self) -> ComposeResult:
        yield Static("", classes="head", id="figures-head")
        yield Static("", id="figures-tabs")
        with VerticalScroll(id="figures-body"):
            yield Static("", id="figures-text")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#figures-body").focus()
        self._turn_to(self.name_shown)

    def on_resize(self, event: events.Resize) -> None:
        late.after_refresh(self, self.redraw)

    # Computing -----------------------------------------------------------------------------------

    def _turn_to(self, name: str) -> None:
        self.name_shown, self.message = name, "Computing …"
        self.figure = self._found.get(name)
        self.query_one("#figures-body").scroll_home(animate=False)
        self.redraw()
        if self.figure is None:
            self._compute(name)
        else:
            self.workers.cancel_group(self, "figure")

    @work(exclusive=True, group="figure")
    async def _compute(self, name: str) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        status, out, said = await finished([*figure_words(self.plan, name), "--json"])
        if name != self.name_shown:
            return
        self.message = said.strip().removeprefix("calisr: ") or f"it ended with status {status}"
        if status == 0:
            try:
                self.figure = self._found[name] = Figure.from_dict(json.loads(out))
            except (ValueError, KeyError, TypeError) as error:
                self.message = f"the figure's data cannot be read: {error}"
        self.redraw()

    # Showing -------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw the figure at the present size and in the present colours."""
        if not self.is_mounted:
            return
        styles = colours(self.app.theme)
        self.query_one("#figures-head", Static).update(
            f"Figure {self.name_shown} · {FIGURES[self.name_shown]}"
        )
        tabs = Text(no_wrap=True)
        for name in FIGURES:
            chosen = name == self.name_shown
            tabs.append(f"▸{name} " if chosen else f" {name} ", "bold" if chosen else styles["dim"])
        self.query_one("#figures-tabs", Static).update(tabs)
        shown = self.query_one("#figures-text", Static)
        if self.figure is None:
            shown.update(Text(self.message))
            return
        body = self.query_one("#figures-body").scrollable_content_region
        width, title = body.width, FIGURES[self.name_shown]
        notes = "; ".join(self.figure.notes)
        height = body.height - (1 + _lines(notes, width) if notes else 0)
        parts = [
            panel_text(each, width, rows_of(each, width, height), styles, below=title)
            for each in self.figure.panels
        ]
        if notes:
            parts.append(Text(notes, styles["dim"]))
        shown.update(Text("\n\n").join(parts))

    # Keys ----------------------------------------------------------------------------------------

    def action_next(self, by: int) -> None:
        names = list(FIGURES)
        self._turn_to(names[(names.index(self.name_shown) + by) % len(names)])

    def action_choose(self) -> None:
        def chosen(name: str | None) -> None:
            if name is not None:
                self._turn_to(name)

        choices = [Choice(name, name, title) for name, title in FIGURES.items()]
        self.app.push_screen(Picking("Figures", choices), chosen)

    def action_reload(self) -> None:
        self._found.clear()
        self._turn_to(self.name_shown)

    def action_copy(self) -> None:
        """Copy the command that draws this figure."""
        import shlex

        command = shlex.join(["calisr", *figure_words(self.plan, self.name_shown)])
        self.app.copy_to_clipboard(command)
        self.app.notify(f"copied: {command}")

    def action_write(self) -> None:
        """Save the figure as SVG or PNG."""
        name = f"{self.plan.head.name}-figure{self.name_shown}.svg"
        ask_file(self.app, "Save the figure (.svg or .png)", name, self._save)

    @work(group="save")
    async def _save(self, path: Path) -> None:
        self.app.notify(f"drawing {path} …", timeout=3)
        words = figure_words(self.plan, self.name_shown)
        status, _, said = await finished([*words, "--out", str(path)])
        if status == 0:
            self.app.notify(f"saved {path}")
        else:
            self.app.notify(said.strip().removeprefix("calisr: "), severity="error", timeout=8)

    def action_back(self) -> None:
        self.dismiss(None)

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("figures: choose", "2a to 5b", "choose"),
            ("figures: save", "as SVG or PNG", "write"),
            ("figures: compute again", "from the runs as they are now", "reload"),
            ("figures: copy command", "the calisr figure line", "copy"),
        ]


def first_figure(grid_name: str) -> str:
    """The figure that a grid is for by its name (small-figure5 for 5a), else 2a."""
    number = grid_name.rpartition("figure")[2][:1] if "figure" in grid_name else ""
    return next((name for name in FIGURES if number and name.startswith(number)), "2a")


def rows_of(panel: Panel, width: int, height: int) -> int:
    """Lines of the plot such that the panel with its words fills `height`, if it can."""
    words = 2 + legend_lines(panel, width)
    words += sum(_lines(f"  {note}", width) for note in panel.notes)
    return max(LEAST_ROWS, height - words)


def _lines(text: str, width: int) -> int:
    return len(textwrap.wrap(text, max(1, width))) or 1


async def finished(words: list[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a `calisr` command, which is killed on cancelling."""
    try:
        process: Any = await asyncio.create_subprocess_exec(
            *process_words(words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return 1, "", str(error)
    try:
        out, said = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return process.returncode, out.decode(errors="replace"), said.decode(errors="replace")
