"""What stands beside the setup form: the steps above it, and what the settings or the data mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from calisr_tui import form
from calisr_tui.charts.summary import grid_summary, summary
from calisr_tui.draft import Draft
from calisr_tui.estimates import Known
from calisr_tui.form import STEPS
from calisr_tui.marked_grid import Outlook
from calisr_tui.screens.setup_run import grid_command
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Static

if TYPE_CHECKING:
    from calisr_engine.preview.look import Look


class StepsBar(Static):
    """The steps, which is shown, and where a mistake is."""

    def show(self, page: str, draft: Draft) -> None:
        pages = {form.first_page(each)[0] for each in draft.problems}
        wrong = {"task" if each == "data" else each for each in pages}
        bar = Text(no_wrap=True, overflow="ellipsis")
        at = STEPS.index("task" if page == "data" else page)
        for index, each in enumerate(STEPS):
            mark = "▸" if index == at else "✓" if index < at else " "
            if each in wrong:
                mark = "✗"
            bar.append(f"{mark} {each}  ", "bold" if index == at else "dim")
        bar.append(f"from {draft.base.name}" if draft.base.name else "", "dim")
        self.update(bar)


class SetupSide(VerticalScroll):
    """The data on its page; elsewhere the run, or what keeps it from beginning."""

    def __init__(self) -> None:
        super().__init__(id="side", classes="box")
        self._seen: tuple[Look, int] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="summary")

    def show(
        self, page: str, draft: Draft, outlook: Outlook | None, detached: bool, compact: bool
    ) -> None:
        """Draw it as it is now.

        Args:
            outlook: what a grid comes to, once that is known.
        """
        run = "This grid" if draft.marked else "This run"
        self.border_title = Text("The data" if page == "data" else run)
        look = draft.data.look if draft.data is not None and draft.asked is None else None
        if page == "data" and look is not None:
            self._show_data(look)
            return
        self._seen = None
        if page == "data":
            nothing = "What the data holds is shown here once it is named."
            text = Text("reading …" if draft.asked is not None else nothing, "dim")
        elif draft.problems or draft.resolved is None:
            text = _refused(draft)
        elif draft.marked:
            text = _grid(draft, outlook, compact, self._width)
        else:
            known = Known(*draft.facts())
            text = summary(draft.resolved, detached, compact, known, self._width)
        self.query_one("#summary", Static).update(text)

    @property
    def _width(self) -> int:
        """Cells of a line of text."""
        return max(30, self.size.width - 3)

    def _show_data(self, look: Look) -> None:
        from calisr_tui.charts.data_look import overview

        width = self._width
        if self._seen is None or self._seen[0] is not look or self._seen[1] != width:
            self._seen = look, width
            self.query_one("#summary", Static).update(overview(look, width))


def _grid(draft: Draft, outlook: Outlook | None, compact: bool, width: int) -> Text:
    assert draft.resolved is not None
    axes = {form.label(key, whole=True): draft.values(key) for key in draft.marked}
    runs, seconds, command = None, None, ""
    if outlook is not None:
        runs, command = outlook.runs, grid_command(outlook, draft)
        if outlook.cpu_seconds is not None and outlook.gpu_seconds is not None:
            seconds = outlook.cpu_seconds, outlook.gpu_seconds
    return grid_summary(axes, runs, seconds, command, draft.resolved.config, compact, width)


def _refused(draft: Draft) -> Text:
    text = Text("This cannot be run\n", "bold")
    if not draft.problems:
        return Text("reading …\n", "bold")
    for each in draft.problems:
        page, key = form.first_page(each)
        name = f"{form.label(key)}: " if key else ""
        text.append(f"\n✗ {page or 'settings'} · {name}{form.sentence(each)}\n")
    return text
