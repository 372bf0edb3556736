"""Setup: a few short steps from a model to a run, with what the choice means beside the form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen

from calisr_engine.config.load import ResolvedConfig, base_of_run
from calisr_engine.errors import CalisrError, Problem
from calisr_engine.tune.study import Plan
from calisr_tui import form, late, marked_search
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking
from calisr_tui.draft import Draft
from calisr_tui.form import CHOICE_KEYS, STEPS
from calisr_tui.host import Host
from calisr_tui.marked_search import SearchOutlook
from calisr_tui.screens import setup_run
from calisr_tui.screens.file_picker import FilePicker
from calisr_tui.screens.setup_checks import Checks
from calisr_tui.screens.setup_form import WAYS, SetupForm, offers, wanted
from calisr_tui.screens.setup_side import SetupSide, StepsBar
from calisr_tui.widgets.fields import CycleField, Field, Heading
from calisr_tui.widgets.footer import Keys
from calisr_tui.widgets.paths import PathInput
from calisr_tui.widgets.verbatim import OptionList

COMPACT_WIDTH = 100


class SetupScreen(Screen[None]):
    """Model, task, method, calibration, training; Enter goes on and at the end starts the run."""

    app: Host
    draft: Draft
    checks: Checks
    form: SetupForm
    PARTS = (CycleField, Heading, PathInput)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="setup.back"),
        Binding("ctrl+n", "next", "Next step", show=False, id="setup.next"),
        Binding("down", "app.focus_next", "Next field", show=False, id="setup.down"),
        Binding("up", "app.focus_previous", "Field before", show=False, id="setup.up"),
        Binding("ctrl+l", "list", "List", id="setup.list"),
        Binding("ctrl+y", "mark", "Several values", show=False, id="setup.mark"),
        Binding("f10", "clear_marks", "One value each", show=False, id="setup.clear_marks"),
        Binding("ctrl+t", "full", "Right side in full", show=False, id="setup.full"),
        Binding("ctrl+r", "start", "Start", id="setup.start"),
        Binding("ctrl+o", "open_preset", "Presets", id="setup.presets"),
        Binding("ctrl+s", "save_preset", "Save as preset", id="setup.save"),
        Binding("f7", "detach", "Here/detached, grid/search", show=False, id="setup.detach"),
        Binding("f8", "copy_command", "Copy command", show=False, id="setup.copy"),
        Binding("f9", "settings", "TOML", id="setup.toml"),
    ]

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

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("setup: start", "begin the run as it is set", "start"),
            ("setup: several values", "of the field, or one more of the list: a grid", "mark"),
            ("setup: one value each", "takes back what has several values", "clear_marks"),
            ("setup: open preset", "begin from a preset", "open_preset"),
            ("setup: save as preset", "keep these settings under a name", "save_preset"),
            ("setup: here or detached, grid or search", "how it is trained", "detach"),
            ("setup: copy command", "the calisr run line", "copy_command"),
            ("setup: show TOML", "the settings as a file", "settings"),
            ("setup: right side in full", "the data, or what the run means", "full"),
        ]

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
        # The whole note where the list cuts it.
        self.form.hint(f"{offers(self.page).get(value, '')}\n{WAYS}")
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

    def action_list(self) -> None:
        """Choose the value of the field from a list: a file, a column, a word."""
        field = self.form.field_in_focus
        if field is None:
            self.app.notify("go to a field first (Tab); a list of its values opens there")
            return

        def take(value: str | None) -> None:
            if value is not None:
                self.form.take(field.info.key, value)

        def add(value: str | None) -> None:
            if value is not None:
                there = self.draft.values(field.info.key)
                others = [each for each in there if each != value]
                several = others if value in there else [*there, value]
                self.form.take(field.info.key, ", ".join(several))

        title, path = form.label(field.info.key), wanted(field.info)
        values = self.form.values_of(field.info)
        read = self.draft.data if field.info.key in form.SPLITS else None
        splits = read.splits if read is not None else ()
        if field.marked and values:
            listed = [Choice(each, each) for each in values]
            self.app.push_screen(Picking(f"{title}: add or take away", listed), add)
        elif field.choices:
            notes = {}
            if self.draft.data is not None:
                kind = str(self.draft.value("task.kind"))
                notes = dict(self.draft.data.choices(field.info.key, kind))
            listed = [Choice(each, each, notes.get(each, "")) for each in field.choices]
            self.app.push_screen(Picking(title, listed, field.control.value), take)
        elif splits:
            listed = [Choice(each, each) for each in splits]
            self.app.push_screen(Picking(title, listed, field.control.value), take)
        elif path is not None:
            typed = self.draft.shown(field.info).text
            begin = Path(typed).expanduser() if typed else Path()
            begin = begin if begin.is_dir() else begin.parent
            picker = FilePicker(title, begin, path, field.info.key != "task.validation_file")
            self.app.push_screen(picker, take)
        else:
            self.app.notify(f"{title} is typed: {field.info.expects}")

    async def action_mark(self) -> None:
        """Give a setting several values, which makes a grid; or take that back."""
        refused = await self.form.mark()
        if refused:
            self.app.notify(refused, severity="warning")
        else:
            await self._changed()

    async def action_clear_marks(self) -> None:
        """One value for each setting again."""
        self.draft.clear_marks()
        await self.form.show_marks()
        await self._changed()

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

    # The run -------------------------------------------------------------------------------------

    async def action_start(self) -> None:
        """Begin the run or the grid; where something is wrong, go there instead."""
        if self.draft.problems:
            await self._go_to(self.draft.problems[0])
        elif self.draft.asked is not None or self.draft.unchecked is not None:
            self._wait_then(self.action_start)
        elif isinstance(self.checks.outlook, SearchOutlook):
            setup_run.start_search(self.app, self.checks.outlook, self.plan, self._take_plan)
        elif self.checks.outlook is not None:
            setup_run.start_grid(self.app, self.checks.outlook)
        else:
            assert self.draft.resolved is not None
            setup_run.start(self.app, self.draft.resolved, self.detached)

    def _wait_then(self, act: Callable[[], Awaitable[None]]) -> None:
        self.form.hint("reading the data and checking the settings …")
        self.checks.wait_then(act)

    def _take_plan(self, plan: Plan) -> None:
        """How a search is done was chosen."""
        self.plan = plan
        self.redraw()

    async def action_detach(self) -> None:
        """Train in this app or in a process of its own; several values: search them or take all."""
        if self.draft.marked:
            if self.draft.searched or setup_run.may_search(self.app):
                self.draft.search(not self.draft.searched)
                await self._changed()
            return
        if self.app.is_web:
            self.app.notify("in a browser runs are always detached: they go on when the tab closes")
            return
        self.detached = not self.detached
        self.redraw()

    def _ready(self) -> setup_run.Found | None:
        """The settings of the run, or what grid or search come to; said to be unusable where so."""
        many = self.checks.outlook
        found = many if self.draft.marked else self.draft.resolved
        if found is None or (many is not None and not many.ready):
            self.app.notify("mend the settings first (see ✗ above)", severity="warning")
            return None
        return found

    def action_copy_command(self) -> None:
        """Copy the command line of this run, grid or search."""
        if (found := self._ready()) is not None:
            setup_run.copy(self.app, found, self.draft, self.plan, self.detached)

    def action_settings(self) -> None:
        """Show the settings as TOML."""
        if (found := self._ready()) is not None:
            setup_run.show(self.app, found, self.plan)

    def action_save_preset(self) -> None:
        """Keep these settings as a preset of the user."""
        found = self._ready()
        if isinstance(found, ResolvedConfig):
            setup_run.save_preset(self.app, found)
        elif found is not None:
            self.app.notify("a preset is of one run; F10 takes the marks back", severity="warning")

    def action_open_preset(self) -> None:
        """Begin from a preset."""

        async def take(name: str | None) -> None:
            if name is None:
                return
            try:
                self.draft.begin(name)
            except CalisrError as error:
                self.app.show_error("The preset cannot be used", error)
                return
            await self._show_page(STEPS[0])
            await self._changed()

        setup_run.choose_preset(self.app, take)

    async def begin_from(self, path: Path, keys: Sequence[str] = ()) -> None:
        """Begin from the settings of a run, but for its name, or from a file; at the field of one
        of `keys`."""
        try:
            self.draft.begin(base_of_run(path) if path.is_dir() else str(path))
        except CalisrError as error:
            self.app.show_error("The settings cannot be read", error)
            return
        self.draft.change("output.name", "")
        await self._show_page(STEPS[0])
        if any(form.page_of(key) for key in keys):
            await self._go_to(Problem("", keys=tuple(keys)))
