"""What stands beside the setup form: the steps above it, and what the settings or the data mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from calisr_engine.plain_words import command as command_line
from calisr_engine.tune.study import Plan
from calisr_tui import form
from calisr_tui.charts.summary import grid_summary, search_summary, summary
from calisr_tui.draft import Draft
from calisr_tui.estimates import Known
from calisr_tui.form import STEPS
from calisr_tui.marked_grid import Outlook
from calisr_tui.marked_search import SearchOutlook
from calisr_tui.screens.setup_run import grid_command
from calisr_tui.several import in_words
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Static

if TYPE_CHECKING:
    from calisr_engine.config.load import ResolvedConfig
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
        self,
        page: str,
        draft: Draft,
        outlook: Outlook | SearchOutlook | None,
        plan: Plan,
        detached: bool,
        compact: bool,
    ) -> None:
        """Draw it as it is now.

        Args:
            outlook: what a grid or a search comes to, once that is known.
            plan: how a search is done.
        """
        run = "This search" if draft.searched else "This grid" if draft.marked else "This run"
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
        elif draft.searched:
            searched = outlook if isinstance(outlook, SearchOutlook) else None
            text = _search(draft, searched, plan, compact, self._width)
        elif draft.marked:
            found = outlook if isinstance(outlook, Outlook) else None
            text = _grid(draft, found, compact, self._width)
        else:
            known = Known(*draft.facts())
            text = summary(draft.resolved, detached, compact, known, self._width)
            if not compact:
                text = self._with_settings(text, draft.resolved)
        self.query_one("#summary", Static).update(text)

    def _with_settings(self, text: Text, resolved: ResolvedConfig) -> Text:
        """The text, and below it the settings as a file, where there is room for both."""
        lines = [len(line) // self._width + 1 for line in text.plain.split("\n")]
        text.rstrip()
        settings = resolved.minimal_toml().strip()
        if not settings or sum(lines) + settings.count("\n") + 4 > self.size.height:
            return text
        title = ("\n\nIts settings as a file (F9)\n", "bold")
        return Text.assemble(text, title, settings)

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


def _search(
    draft: Draft, outlook: SearchOutlook | None, plan: Plan, compact: bool, width: int
) -> Text:
    assert draft.resolved is not None
    axes = {form.label(key, whole=True): in_words(draft.dimension(key)) for key in draft.marked}
    seconds, command = None, ""
    if outlook is not None:
        command = command_line(*outlook.command(plan))
        if outlook.cpu_seconds is not None and outlook.gpu_seconds is not None:
            runs = plan.trials + plan.seeds
            seconds = runs * outlook.cpu_seconds, runs * outlook.gpu_seconds
    return search_summary(axes, plan, seconds, command, draft.resolved.config, compact, width)


def _refused(draft: Draft) -> Text:
    text = Text("This cannot be run\n", "bold")
    if not draft.problems:
        return Text("reading …\n", "bold")
    for each in draft.problems:
        page, key = form.first_page(each)
        name = f"{form.label(key)}: " if key else ""
        text.append(f"\n✗ {page or 'settings'} · {name}{form.sentence(each)}\n")
    return text
