"""Setup: a few short steps from a model to a run, with what the choice means beside the form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from calisr_engine.config.load import ResolvedConfig
from calisr_engine.errors import CalisrError, Problem
from calisr_engine.tune.study import Plan
from calisr_tui import form
from calisr_tui.form import STEPS
from calisr_tui.marked_search import SearchOutlook
from calisr_tui.screens import setup_list, setup_run
from calisr_tui.screens.setup_steps import SetupSteps


class SetupScreen(SetupSteps):
    """The steps of the setup, the keys on them, and what is made of the settings."""

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

    # Lists and several values --------------------------------------------------------------------

    def action_list(self) -> None:
        """Choose the value of the field from a list: a file, a column, a word."""
        setup_list.choose(self.app, self.form)

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
            self.draft.begin(str(path / "config.toml" if path.is_dir() else path))
        except CalisrError as error:
            self.app.show_error("The settings cannot be read", error)
            return
        self.draft.change("output.name", "")
        await self._show_page(STEPS[0])
        if any(form.page_of(key) for key in keys):
            await self._go_to(Problem("", keys=tuple(keys)))
