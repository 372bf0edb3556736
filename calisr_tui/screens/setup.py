"""Setup: five short steps from a model to a run, with what the choice means beside the form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer

from calisr_engine import presets
from calisr_engine.config import preset_files
from calisr_engine.config.describe import FieldInfo, by_key
from calisr_engine.config.load import ResolvedConfig, from_resolved, load
from calisr_engine.config.toml_text import changed_texts
from calisr_engine.errors import CalisrError
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models import catalog
from calisr_engine.tasks import glue
from calisr_tui import estimates
from calisr_tui.charts.summary import summary
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking, Reading, Typing
from calisr_tui.host import Host
from calisr_tui.verbatim import Text
from calisr_tui.widgets.fields import CycleField, Field
from calisr_tui.widgets.verbatim import Option, OptionList, Static

COMPACT_WIDTH = 100
WAYS = "↑↓ choose · Tab to the settings · Enter next step · Esc back"
STEPS = ("model", "task", "method", "calibration", "training")
CHOICE_KEYS = {
    "model": "model.name",
    "task": "task.name",
    "method": "method.name",
    "calibration": "calibration.variant",
}
VARIANTS = {
    "off": "no calibration: the method as it is",
    "S": "each of the six components switches by itself",
    "S3": "three groups: attention, and the two feed-forward matrices",
    "D": "one score and one switch for the whole model",
}


class SetupScreen(Screen[None]):
    """Model, task, method, calibration, training; Enter goes on and at the end starts the run."""

    app: Host
    PARTS = (CycleField,)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="setup.back"),
        Binding("ctrl+n", "forward", "Next step", show=False, id="setup.next"),
        Binding("ctrl+r", "start", "Start", id="setup.start"),
        Binding("ctrl+o", "open_preset", "Presets", id="setup.presets"),
        Binding("ctrl+s", "save_preset", "Save as preset", id="setup.save"),
        Binding("f7", "detach", "In this app/detached", show=False, id="setup.detach"),
        Binding("f8", "copy_command", "Copy command", show=False, id="setup.copy"),
        Binding("f9", "settings", "TOML", id="setup.toml"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.base = "demo"
        self.changes: dict[str, str] = {}
        self.detached = False
        self.resolved: ResolvedConfig | None = None
        self.problem: CalisrError | None = None
        self._last_good: ResolvedConfig | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="steps")
        with Horizontal(id="setup-body"):
            with Vertical(id="form", classes="box"):
                yield OptionList(id="choices")
                yield VerticalScroll(id="fields", can_focus=False)
                yield Static(id="hint")
            with VerticalScroll(id="side", classes="box") as side:
                side.border_title = "This run"
                yield Static(id="summary")
        yield Footer(compact=True, show_command_palette=False)

    async def on_mount(self) -> None:
        self.detached = self.app.is_web
        self._resolve()
        await self._show_step()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.compact, "compact")
        if self.is_mounted:
            self._show_summary()

    def redraw(self) -> None:
        """Draw again what depends on the theme."""
        self._show_summary()

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("setup: start", "begin the run as it is set", "start"),
            ("setup: open preset", "begin from a preset", "open_preset"),
            ("setup: save as preset", "keep these settings under a name", "save_preset"),
            ("setup: here or detached", "where the run trains", "detach"),
            ("setup: copy command", "the calisr run line", "copy_command"),
            ("setup: show TOML", "the settings as a file", "settings"),
        ]

    # The settings --------------------------------------------------------------------------------

    def _resolve(self) -> None:
        """Load base and changes again; a mistake leaves the last good settings in the form."""
        overrides: dict[str, Any] = {"output.dir": self.app.output_dir}
        if self.app.data_dir and "task.data_dir" not in self.changes:
            task = self.changes.get("task.name")
            task = task or (self._last_good.config.task.name if self._last_good else "demo")
            if glue.is_task(task):
                overrides["task.data_dir"] = self.app.data_dir
        sets = [f"{key}={text}" for key, text in self.changes.items()]
        try:
            self.resolved = self._last_good = load(self.base or None, sets, overrides)
            self.problem = None
        except CalisrError as error:
            self.resolved, self.problem = None, error

    def _method(self) -> str:
        name = self.changes.get("method.name", "")
        if name in METHODS:
            return name
        return self._last_good.config.method.name if self._last_good else "fft"

    def _value(self, info: FieldInfo) -> Any:
        if info.key in self.changes:
            return self.changes[info.key]
        if self._last_good is None:
            return info.default
        section, _, name = info.key.partition(".")
        return getattr(getattr(self._last_good.config, section), name, info.default)

    def _change(self, key: str, text: str) -> None:
        self.changes[key] = text
        if key == "method.name":
            known = by_key(self._method())
            self.changes = {k: v for k, v in self.changes.items() if k in known}
        self._resolve()
        problems = getattr(self.problem, "problems", ())
        wrong = {key for each in problems for key in each.keys}
        for field in self.query(Field):
            field.mark(field.info.key in wrong)
        self._show_summary()

    # The steps -----------------------------------------------------------------------------------

    def _choices(self) -> list[tuple[str, str]]:
        name = STEPS[self.step]
        if name == "model":
            found = []
            for each in catalog.names():
                entry = catalog.find(each)
                assert entry is not None
                total = estimates.millions(catalog.parameter_total(entry))
                found.append((each, f"{entry.layers} layers, hidden {entry.hidden}, {total}"))
            return found
        if name == "task":
            tasks = [(each, glue.find(each)) for each in glue.names()]
            known = [(each, f"{t.title}, {t.sizes['train']:,} examples") for each, t in tasks]
            return [("demo", "synthetic sentences, needs no download"), *known]
        if name == "method":
            return [(each, model.summary) for each, model in METHODS.items()]
        return list(VARIANTS.items()) if name == "calibration" else []

    def _infos(self) -> list[FieldInfo]:
        section = STEPS[self.step]
        infos = list(by_key(self._method()).values())
        hidden = {CHOICE_KEYS.get(section)} - {"model.name", "task.name"}
        found = [i for i in infos if i.key.startswith(f"{section}.") and i.key not in hidden]
        if section == "training":
            found += [
                i for i in infos if i.key.startswith(("output.", "schedule.", "diagnostics."))
            ]
        return found

    async def _show_step(self) -> None:
        name = STEPS[self.step]
        self.query_one("#form").border_title = Text(f"{self.step + 1} of {len(STEPS)} · {name}")
        bar = Text(no_wrap=True, overflow="ellipsis")
        for index, each in enumerate(STEPS):
            mark = "▸" if index == self.step else "✓" if index < self.step else " "
            bar.append(f"{mark} {each}  ", "bold" if index == self.step else "dim")
        bar.append(f"from {self.base}" if self.base else "from nothing", "dim")
        self.query_one("#steps", Static).update(bar)
        choices = self.query_one("#choices", OptionList)
        choices.clear_options()
        options = self._choices()
        choices.display = bool(options)
        current = ""
        if options:
            current = str(self._value(by_key(self._method())[CHOICE_KEYS[name]]))
            if name == "task" and glue.is_task(current):
                current = glue.find(current).name
        for value, note in options:
            text = Text(value, no_wrap=True, overflow="ellipsis")
            text.append(f"  {note}", "dim")
            choices.add_option(Option(text, id=value))
        names = [value for value, _ in options]
        choices.highlighted = names.index(current) if current in names else None
        await self._show_fields()
        if options:
            choices.focus()
        else:
            self.query("#fields Input, #fields CycleField").first().focus()
        self._show_summary()

    async def _show_fields(self, keep_hint: bool = False) -> None:
        fields = self.query_one("#fields", VerticalScroll)
        await fields.remove_children()
        await fields.mount_all([Field(info, self._value(info)) for info in self._infos()])
        if not keep_hint:
            self._hint(WAYS)

    def _hint(self, text: str) -> None:
        self.query_one("#hint", Static).update(Text(text))

    @on(OptionList.OptionHighlighted, "#choices")
    async def choice_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        key, value = CHOICE_KEYS.get(STEPS[self.step]), event.option.id or ""
        if key is None or not event.option_list.has_focus:
            return
        self._hint(f"{dict(self._choices()).get(value, '')}\n{WAYS}")  # whole where the list cuts
        if str(self._value(by_key(self._method())[key])) == value:
            return
        self._change(key, value)
        await self._show_fields(keep_hint=True)

    @on(OptionList.OptionSelected, "#choices")
    async def choice_selected(self) -> None:
        await self.action_forward()

    @on(Field.Edited)
    def field_edited(self, event: Field.Edited) -> None:
        self._change(event.key, event.text)

    @on(Field.Done)
    async def field_done(self) -> None:
        await self.action_forward()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        field = next((a for a in event.widget.ancestors if isinstance(a, Field)), None)
        if field is not None:
            self._hint(f"{field.info.help} ({field.info.expects})")

    async def action_forward(self) -> None:
        """The next step; after the last one the run begins."""
        if self.step + 1 < len(STEPS):
            self.step += 1
            await self._show_step()
        else:
            self.action_start()

    async def action_back(self) -> None:
        """The step before."""
        if self.step:
            self.step -= 1
            await self._show_step()

    # What it means -------------------------------------------------------------------------------

    def _show_summary(self) -> None:
        text = Text()
        if self.resolved is None:
            error = self.problem
            text.append("This cannot be run\n", "bold")
            text.append(error.message if error else "")
            for each in getattr(error, "problems", ()):
                text.append(f"\n• {each}")
            self.query_one("#summary", Static).update(text)
            return
        self.query_one("#summary", Static).update(
            summary(self.resolved, self.detached, self.compact)
        )

    @property
    def compact(self) -> bool:
        """Whether form and summary stand above each other."""
        return self.app.size.width < COMPACT_WIDTH

    def action_start(self) -> None:
        """Make the run directory and begin."""
        from calisr_engine.runs.create import create_run

        if self.resolved is None:
            self.app.notify("mend the settings first (see This run)", severity="warning")
            return
        if self.app.started.running and not self.detached:
            self.app.notify("a run trains in this app already; F7 detaches", severity="warning")
            return
        try:
            run_dir = create_run(self.resolved)
        except CalisrError as error:
            self.app.show_error("The run could not be started", error)
            return
        self.app.start_training(run_dir, self.detached)

    def action_detach(self) -> None:
        """Train in this app or in a process of its own."""
        if self.app.is_web:
            self.app.notify("in a browser runs are always detached: they go on when the tab closes")
            return
        self.detached = not self.detached
        self._show_summary()

    def action_copy_command(self) -> None:
        """Copy the command line of this run."""
        if self.resolved is not None:
            self.app.copy_to_clipboard(self.resolved.command_line())
            self.app.notify("copied")

    def action_settings(self) -> None:
        """Show the settings as TOML."""
        if self.resolved is not None:
            text = self.resolved.minimal_toml() or "# every setting has its default\n"
            self.app.push_screen(Reading("Settings of this run", text, copy=text, wide=True))

    def action_open_preset(self) -> None:
        """Begin from a preset."""
        found = []
        for name in preset_files.names():
            try:
                found.append(Choice(name, name, presets.describe(name).title))
            except CalisrError:
                continue

        async def take(name: str | None) -> None:
            if name is not None:
                self.base, self.changes, self.step = name, {}, 0
                self._resolve()
                await self._show_step()

        self.app.push_screen(Picking("Presets", found), take)

    async def begin_from(self, run_dir: Path) -> None:
        """Begin from the settings of a run, but for its name and folder."""
        try:
            changes = changed_texts(from_resolved(run_dir / "config.toml"))
        except CalisrError as error:
            self.app.show_error("The settings of the run cannot be read", error)
            return
        own = ("output.name", "output.dir")
        self.base, self.step = "", 0
        self.changes = {key: text for key, text in changes.items() if key not in own}
        self._resolve()
        await self._show_step()

    def action_save_preset(self) -> None:
        """Keep these settings as a preset of the user."""
        if self.resolved is None:
            self.app.notify("mend the settings first (see This run)", severity="warning")
            return
        toml = self.resolved.minimal_toml

        def save(name: str | None) -> None:
            if name is None:
                return
            try:
                path = presets.save(Path(name).stem, toml(name))
            except CalisrError as error:
                self.app.show_error("The preset was not saved", error)
            else:
                self.app.notify(f"saved {path}")

        self.app.push_screen(Typing("Save as preset", "A name for these settings:"), save)
