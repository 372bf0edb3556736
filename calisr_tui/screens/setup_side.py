"""What stands beside the setup form: the steps above it, and what the settings or the data mean."""

from __future__ import annotations

from rich.console import Group
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from calisr_tui import form
from calisr_tui.charts.summary import summary
from calisr_tui.draft import Draft
from calisr_tui.estimates import Known
from calisr_tui.form import STEPS
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import Static


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

    def compose(self) -> ComposeResult:
        yield Static(id="summary")

    def show(self, page: str, draft: Draft, detached: bool, compact: bool) -> None:
        """Draw it as it is now."""
        self.border_title = Text("The data" if page == "data" else "This run")
        text = self._data(draft) if page == "data" else _run(draft, detached, compact)
        self.query_one("#summary", Static).update(text)

    def _data(self, draft: Draft) -> Text | Group:
        from calisr_tui.charts.data_look import overview

        if draft.asked is not None:
            return Text("reading …", "dim")
        if draft.data is None or draft.data.look is None:
            return Text("What the data holds is shown here once it is named.", "dim")
        return overview(draft.data.look, max(30, self.size.width - 3))


def _run(draft: Draft, detached: bool, compact: bool) -> Text:
    if draft.resolved is not None and not draft.problems:
        return summary(draft.resolved, detached, compact, Known(*draft.facts()))
    text = Text("This cannot be run\n" if draft.problems else "reading …\n", "bold")
    for each in draft.problems:
        page, key = form.first_page(each)
        name = f"{form.label(key)}: " if key else ""
        text.append(f"\n✗ {page or 'settings'} · {name}{form.sentence(each)}\n")
    return text
