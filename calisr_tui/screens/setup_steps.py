"""The pages of the setup: what is chosen and typed on them, and how one goes through them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen

from calisr_engine.errors import Problem
from calisr_tui import form, late, marked_search
from calisr_tui.draft import Draft
from calisr_tui.form import CHOICE_KEYS, STEPS
from calisr_tui.host import Host
from calisr_tui.screens.setup_checks import Checks
from calisr_tui.screens.setup_form import SetupForm
from calisr_tui.screens.setup_offers import offers
from calisr_tui.screens.setup_side import SetupSide, StepsBar
from calisr_tui.widgets.fields import CycleField, Field, Heading
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.paths import PathInput
from calisr_tui.widgets.verbatim import OptionList

COMPACT_WIDTH = 100


class SetupSteps(Screen[None]):
    """Model, task, method, calibration, training; Enter goes on, and at the end starts."""

    app: Host
    draft: Draft
    checks: Checks
    form: SetupForm
    PARTS = (CycleField, Heading, PathInput)

    def compose(self) -> ComposeResult:
        self.detached = self.app.detaches
        self.draft = Draft(self.app.output_dir, self.app.data_dir)
        # A task of the list is not fetched before it is taken.
        self.plan = marked_search.DEFAULTS
        self.checks = Checks(self, self.draft, lambda: self.page != "task", self._found_out)
        yield StepsBar(id="steps")
        with Horizontal(id="setup-body"):
            self.form = SetupForm(self.draft)
            yield self.form
            yield SetupSide()
        yield Keys()

    async def on_mount(self) -> None:
        await self._show_page(STEPS[0], look=False)  # nothing was chosen yet

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.compact, "compact")
        if self.is_mounted:
            late.after_refresh(self, self.redraw)

    # What is seen --------------------------------------------------------------------------------

    @property
    def page(self) -> str:
        """The page that is shown."""
        return self.form.page

    @property
    def compact(self) -> bool:
        """Whether form and summary stand above each other."""
        return self.app.size.width < COMPACT_WIDTH

    @property
    def idle(self) -> bool:
        """Whether nothing is read or checked, nor about to be."""
        return self.checks.idle

    def redraw(self) -> None:
        """Draw again what depends on the theme and the size."""
        side = self.query_one(SetupSide)
        found = self.checks.outlook
        side.show(self.page, self.draft, found, self.plan, self.detached, self.compact)

    async def _show_page(self, page: str = "", look: bool = True) -> None:
        self.checks.forget()
        await self.form.turn_to(page or self.page)
        self._show_around()
        if look:
            self.checks.look_later()

    async def _show_state(self) -> None:
        """Show values, mistakes and meaning as they are now."""
        await self.form.show_state()
        self._show_around()

    def _show_around(self) -> None:
        self.query_one(StepsBar).show(self.page, self.draft)
        self.redraw()

    async def _changed(self) -> None:
        self.checks.forget()
        await self._show_state()
        self.checks.look_later()

    async def _found_out(self, of_data: bool) -> None:
        if of_data and self.page == "data":
            await self.form.renew_fields()
        await self._show_state()

    # Choosing and typing -------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted, "#choices")
    async def choice_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        key, value = CHOICE_KEYS.get(self.page), event.option.id or ""
        if key is None or not event.option_list.has_focus:
            return
        if value not in offers(self.page):  # of the page before
            return
        self.form.hint_of_choice()
        if key in self.draft.marked:
            return
        if self.page == "task":
            if value == self.draft.task:
                return
            self.draft.choose_task(value)
        elif str(self.draft.value(key)) == value:
            return
        else:
            self.draft.change(key, value)
        if self.page == "method":
            await self.form.show_fields()
        await self._changed()

    @on(OptionList.OptionSelected, "#choices")
    async def choice_selected(self) -> None:
        await self.action_forward()

    @on(Field.Edited)
    async def field_edited(self, event: Field.Edited) -> None:
        before = self.draft.entries
        self.draft.change(event.key, event.text)
        if self.draft.entries != before:
            await self.form.show_fields()
            self.form.focus_field(event.key)
        if event.key == CHOICE_KEYS["model"]:
            self.form.go_to_choice(event.text)
        await self._changed()

    @on(Field.Done)
    async def field_done(self) -> None:
        field = self.form.field_in_focus
        if field is not None and field.late and self.draft.asked is not None:
            self._wait_then(self._stay)  # to see what was read
        else:
            await self.action_forward()

    async def _stay(self) -> None:
        if not self.draft.problems:
            self.form.hint("this is what was read; Enter goes on")

    # Going through the steps ---------------------------------------------------------------------

    @property
    def _pages(self) -> list[str]:
        return [each for each in form.PAGES if each != "data" or self.draft.own]

    async def action_forward(self) -> None:
        """The next step, unless something is wrong on this one; after the last the run begins."""
        if self.page == "data" and self.draft.asked is not None:
            self._wait_then(self.action_forward)
            return
        here = [each for each in self.draft.problems if form.first_page(each)[0] == self.page]
        if here:
            await self._go_to(here[0])
            return
        await self.action_next()

    async def action_next(self) -> None:
        """The next step, whatever is wrong; after the last one the run begins."""
        at = self._pages.index(self.page)
        if at + 1 < len(self._pages):
            await self._show_page(self._pages[at + 1])
        else:
            await self.action_start()

    async def action_back(self) -> None:
        """The step before; or from the right side in full to the form."""
        if self.has_class("full"):
            self.action_full()
            return
        at = self._pages.index(self.page)
        if at:
            await self._show_page(self._pages[at - 1])

    async def _go_to(self, problem: Problem) -> None:
        """Show the field where a mistake is to be mended."""
        page, key = form.first_page(problem)
        if not page:
            self.app.notify(form.sentence(problem), severity="error")
            return
        if page == "task" and self.draft.own and key != "task.data_dir":
            page = "data"
        if page != self.page:
            await self._show_page(page)
        await self._show_state()
        self.form.focus_field(key)

    def action_full(self) -> None:
        """The right side alone, in full; and back."""
        full = not self.has_class("full")
        self.set_class(full, "full")
        if full:
            self.query_one(SetupSide).focus()
        else:
            self.form.focus_first()
        late.after_refresh(self, self.redraw)

    async def action_start(self) -> None:
        """Begin what is set up; where something is wrong, go there instead."""
        raise NotImplementedError

    def _wait_then(self, act: Callable[[], Awaitable[None]]) -> None:
        self.form.hint("reading the data and checking the settings …")
        self.checks.wait_then(act)
