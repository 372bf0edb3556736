"""Setup: a few short steps from a model to a run, with what the choice means beside the form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Footer

from calisr_engine import presets
from calisr_engine.config import preset_files
from calisr_engine.config.describe import FieldInfo
from calisr_engine.config.load import ResolvedConfig, base_of_run
from calisr_engine.errors import CalisrError, Problem
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models import catalog
from calisr_engine.tasks import glue
from calisr_tui import data_source, estimates, form
from calisr_tui.charts.summary import summary
from calisr_tui.choice import Choice
from calisr_tui.data_source import DataRead, Request
from calisr_tui.dialogs import Picking, Reading, Typing
from calisr_tui.draft import OWN, Draft
from calisr_tui.estimates import Known
from calisr_tui.form import CHOICE_KEYS, STEPS
from calisr_tui.host import Host
from calisr_tui.screens.file_picker import FilePicker
from calisr_tui.verbatim import Text
from calisr_tui.widgets.fields import CycleField, Field, Fold, Heading
from calisr_tui.widgets.paths import PathInput, Wanted
from calisr_tui.widgets.verbatim import Option, OptionList, Static

if TYPE_CHECKING:
    from calisr_engine.forecast.before_start import Checked

COMPACT_WIDTH = 100
PAUSE = 0.3
"""Seconds without a change after which data is read and settings are checked."""

WAYS = "↑↓ or Tab go through · Ctrl-L lists what there is · Esc back"
VARIANTS = {
    "off": "no calibration: the method as it is",
    "S": "each of the six components switches by itself",
    "S3": "three groups: attention, and the two feed-forward matrices",
    "D": "one score and one switch for the whole model",
}


class SetupScreen(Screen[None]):
    """Model, task, method, calibration, training; Enter goes on and at the end starts the run."""

    app: Host
    PARTS = (CycleField, Heading, PathInput)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="setup.back"),
        Binding("ctrl+n", "next", "Next step", show=False, id="setup.next"),
        Binding("down", "app.focus_next", "Next field", show=False, id="setup.down"),
        Binding("up", "app.focus_previous", "Field before", show=False, id="setup.up"),
        Binding("ctrl+l", "list", "Choose from a list", id="setup.list"),
        Binding("ctrl+t", "full", "Right side in full", show=False, id="setup.full"),
        Binding("ctrl+r", "start", "Start", id="setup.start"),
        Binding("ctrl+o", "open_preset", "Presets", id="setup.presets"),
        Binding("ctrl+s", "save_preset", "Save as preset", id="setup.save"),
        Binding("f7", "detach", "In this app/detached", show=False, id="setup.detach"),
        Binding("f8", "copy_command", "Copy command", show=False, id="setup.copy"),
        Binding("f9", "settings", "TOML", id="setup.toml"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.page = STEPS[0]
        self.draft = Draft(Path("runs"), None)
        self.detached = False
        self._timer: Timer | None = None
        self._then = ""
        self._checking: ResolvedConfig | None = None
        self._last_check: Checked | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="steps")
        with Horizontal(id="setup-body"):
            with Vertical(id="form", classes="box"):
                yield OptionList(id="choices")
                yield Static(id="choice-problem", classes="field-problem")
                yield Vertical(id="fields")
                yield Static(id="hint")
            with VerticalScroll(id="side", classes="box"):
                yield Static(id="summary")
        yield Footer(compact=True, show_command_palette=False)

    async def on_mount(self) -> None:
        self.detached = self.app.detaches
        self.draft = Draft(self.app.output_dir, self.app.data_dir)
        await self._show_page(look=False)  # nothing was chosen yet

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.compact, "compact")
        if self.is_mounted:
            self.call_after_refresh(self._show_side)

    def redraw(self) -> None:
        """Draw again what depends on the theme."""
        self._show_side()

    def commands(self) -> list[tuple[str, str, str]]:
        """Palette commands: title, help, action."""
        return [
            ("setup: start", "begin the run as it is set", "start"),
            ("setup: open preset", "begin from a preset", "open_preset"),
            ("setup: save as preset", "keep these settings under a name", "save_preset"),
            ("setup: here or detached", "where the run trains", "detach"),
            ("setup: copy command", "the calisr run line", "copy_command"),
            ("setup: show TOML", "the settings as a file", "settings"),
            ("setup: right side in full", "the data, or what the run means", "full"),
        ]

    # What is seen --------------------------------------------------------------------------------

    @property
    def compact(self) -> bool:
        """Whether form and summary stand above each other."""
        return self.app.size.width < COMPACT_WIDTH

    @property
    def _pages(self) -> list[str]:
        return [each for each in form.PAGES if each != "data" or self.draft.own]

    def _choices(self) -> list[tuple[str, str]]:
        if self.page == "model":
            found = []
            for each in catalog.names():
                entry = catalog.find(each)
                assert entry is not None
                total = estimates.millions(catalog.parameter_total(entry))
                found.append((each, f"{entry.layers} layers, hidden {entry.hidden}, {total}"))
            return found
        if self.page == "task":
            tasks = [(each, glue.find(each)) for each in glue.names()]
            known = [(each, f"{t.title}, {t.sizes['train']:,} examples") for each, t in tasks]
            return [
                ("demo", "synthetic sentences, needs no download"),
                (OWN, "a file, a folder, or a data set of the hub"),
                *known,
            ]
        if self.page == "method":
            return [(each, model.summary) for each, model in METHODS.items()]
        return list(VARIANTS.items()) if self.page == "calibration" else []

    async def _show_page(self, look: bool = True) -> None:
        step = "task" if self.page == "data" else self.page
        title = f"{STEPS.index(step) + 1} of {len(STEPS)} · {step}"
        if self.page == "data":
            title += " · your data"
        box = self.query_one("#form")
        box.border_title = Text(title)
        side = "The data" if self.page == "data" else "This run"
        self.query_one("#side").border_title = Text(side)
        last = self.page == STEPS[-1]
        box.border_subtitle = Text(f"Enter: {'start the run' if last else 'next step'}")
        self._show_choices()
        await self._show_fields()
        await self._show_state()
        self._focus_first()
        if look:
            self._look_later()

    def _show_choices(self) -> None:
        choices, options = self.query_one("#choices", OptionList), self._choices()
        choices.clear_options()
        choices.display = bool(options)
        if not options:
            return
        current = self.draft.task if self.page == "task" else ""
        current = current or str(self.draft.value(CHOICE_KEYS[self.page]))
        refused = self.page == "calibration" and bool(self.draft.calibration_refused)
        for value, note in options:
            text = Text(value, no_wrap=True, overflow="ellipsis").append(f"  {note}", "dim")
            choices.add_option(Option(text, id=value, disabled=refused and value != "off"))
        names = [value for value, _ in options]
        choices.highlighted = names.index(current) if current in names else None

    async def _show_fields(self) -> None:
        body = self.query_one("#fields")
        await body.remove_children()
        rows: list[Field | Fold] = []
        for group in self._groups():
            if group.title:
                keys = [info.key for info in group.infos]
                rows.append(Fold(group.title, keys, partial(self._fields_of, group)))
            else:
                rows += self._fields_of(group)
        await body.mount_all(rows)

    def _groups(self) -> list[form.Group]:
        """The settings of the page; of data that nobody has seen, where it comes from."""
        groups = form.groups(self.page, self.draft.method)
        if self.page == "data" and (self.draft.data is None or self.draft.data.look is None):
            first = form.Group("", groups[0].infos[:1])
            return [first, *groups[1:]]
        return groups

    def _fields_of(self, group: form.Group) -> list[Field]:
        return [self._field(info) for info in group.infos]

    def _field(self, info: FieldInfo) -> Field:
        return Field(
            info,
            self.draft.shown(info),
            self._values_of(info),
            _wanted(info),
            late=info.key == "task.dataset",
        )

    def _values_of(self, info: FieldInfo) -> tuple[str, ...]:
        """What a setting is chosen from; none where it is typed."""
        if self.page == "data" and self.draft.data is not None:
            kind = str(self.draft.value("task.kind"))
            named = tuple(name for name, _ in self.draft.data.choices(info.key, kind))
            if named:
                return ("none", *named) if info.key == "task.text_pair_column" else named
        if info.kind not in ("choice", "flag"):
            return ()
        known = info.choices or ("false", "true")
        return ("none", *known) if info.optional and info.key != "task.kind" else known

    async def _show_state(self) -> None:
        """Show values, mistakes and meaning as they are now."""
        problems, wrong = self.draft.problems, self._wrong_pages()
        marks = form.marks(problems, self.draft.method)
        for fold in self.query(Fold):
            fold.heading.set_here = sum(key in self.draft.changes for key in fold.keys)
            if not fold.is_open and any(key in marks for key in fold.keys):
                await fold.turn(True)
        for field in self.query(Field):
            field.show(self.draft.shown(field.info), marks.get(field.info.key, ""))
        focused = _field_of(self.focused)
        if focused is not None:
            self._hint_of(focused)
        key = CHOICE_KEYS.get(self.page, "")
        at_list = "" if any(f.info.key == key for f in self.query(Field)) else marks.get(key, "")
        below = self.query_one("#choice-problem", Static)
        note = self.draft.calibration_refused if self.page == "calibration" else ""
        below.display = bool(at_list or note)
        below.set_class(not at_list, "note")
        below.update(Text(f"✗ {at_list}" if at_list else note))
        bar = Text(no_wrap=True, overflow="ellipsis")
        at = STEPS.index("task" if self.page == "data" else self.page)
        for index, each in enumerate(STEPS):
            mark = "▸" if index == at else "✓" if index < at else " "
            if each in wrong:
                mark = "✗"
            bar.append(f"{mark} {each}  ", "bold" if index == at else "dim")
        bar.append(f"from {self.draft.base.name}" if self.draft.base.name else "", "dim")
        self.query_one("#steps", Static).update(bar)
        self._show_side()

    def _show_side(self) -> None:
        shown = self.query_one("#summary", Static)
        if self.page == "data":
            from calisr_tui.charts.data_look import overview

            read = self.draft.data
            if self.draft.asked is not None:
                shown.update(Text("reading …", "dim"))
            elif read is None or read.look is None:
                shown.update(Text("What the data holds is shown here once it is named.", "dim"))
            else:
                shown.update(overview(read.look, max(30, self.query_one("#side").size.width - 3)))
            return
        if self.draft.resolved is not None and not self.draft.problems:
            text = summary(self.draft.resolved, self.detached, self.compact, self._known())
            shown.update(text)
            return
        text = Text("This cannot be run\n" if self.draft.problems else "reading …\n", "bold")
        for each in self.draft.problems:
            page, key = form.first_page(each)
            name = f"{form.label(key)}: " if key else ""
            text.append(f"\n✗ {page or 'settings'} · {name}{form.sentence(each)}\n")
        shown.update(text)

    def _known(self) -> Known:
        return Known(*self.draft.facts())

    def _wrong_pages(self) -> set[str]:
        """Steps with a mistake."""
        pages = {form.first_page(each)[0] for each in self.draft.problems}
        return {"task" if each == "data" else each for each in pages}

    def _hint(self, text: str) -> None:
        self.query_one("#hint", Static).update(Text(text))

    def _hint_of(self, field: Field) -> None:
        shown = self.draft.shown(field.info)
        why = f"It is {shown.text}: {shown.why}. " if shown.text else f"Default: {shown.why}. "
        why = why if shown.why else ""
        marks = form.marks(self.draft.problems, self.draft.method)
        mend = "Mend this, or go on with Ctrl-N. " if field.info.key in marks else ""
        self._hint(f"{mend}{why}{field.info.help} ({field.info.expects})")

    def _focus_first(self) -> None:
        choices = self.query_one("#choices", OptionList)
        if choices.display:
            choices.focus()
        else:
            self.query(Field).first().control.focus()

    # Choosing and typing -------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted, "#choices")
    async def choice_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        key, value = CHOICE_KEYS.get(self.page), event.option.id or ""
        if key is None or not event.option_list.has_focus:
            return
        # The whole note where the list cuts it.
        self._hint(f"{dict(self._choices()).get(value, '')}\n{WAYS}")
        if self.page == "task":
            if value == self.draft.task:
                return
            self.draft.choose_task(value)
        elif str(self.draft.value(key)) == value:
            return
        else:
            self.draft.change(key, value)
        if self.page == "method":
            await self._show_fields()
        await self._changed()

    @on(OptionList.OptionSelected, "#choices")
    async def choice_selected(self) -> None:
        await self.action_forward()

    @on(Field.Edited)
    async def field_edited(self, event: Field.Edited) -> None:
        self.draft.change(event.key, event.text)
        if event.key == CHOICE_KEYS["model"]:
            choices = self.query_one("#choices", OptionList)
            names = [option.id for option in choices.options]
            choices.highlighted = names.index(event.text) if event.text in names else None
        await self._changed()

    @on(Field.Done)
    async def field_done(self) -> None:
        await self.action_forward()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        widget = event.widget
        field = _field_of(widget)
        if field is not None:
            self._hint_of(field)
        elif isinstance(widget, Heading):
            self._hint("Enter, ← and → open and close these settings")
        elif isinstance(widget, OptionList):
            self._hint(WAYS)

    def action_list(self) -> None:
        """Choose the value of the field from a list: a file, a column, a word."""
        focused = self.focused
        field = (
            next((a for a in focused.ancestors if isinstance(a, Field)), None) if focused else None
        )
        if field is None:
            self.app.notify("go to a field first (Tab); a list of its values opens there")
            return

        def take(value: str | None) -> None:
            if value is not None:
                field.take(value)

        title = form.label(field.info.key)
        wanted = _wanted(field.info)
        if field.choices:
            notes = {}
            if self.draft.data is not None:
                kind = str(self.draft.value("task.kind"))
                notes = dict(self.draft.data.choices(field.info.key, kind))
            listed = [Choice(each, each, notes.get(each, "")) for each in field.choices]
            self.app.push_screen(Picking(title, listed, field.control.value), take)
        elif wanted is not None:
            typed = self.draft.shown(field.info).text
            begin = Path(typed).expanduser() if typed else Path()
            begin = begin if begin.is_dir() else begin.parent
            picker = FilePicker(title, begin, wanted, field.info.key != "task.validation_file")
            self.app.push_screen(picker, take)
        else:
            self.app.notify(f"{title} is typed: {field.info.expects}")

    # Going through the steps ---------------------------------------------------------------------

    async def action_forward(self) -> None:
        """The next step, unless something is wrong on this one; after the last the run begins."""
        if self.page == "data" and self.draft.asked is not None:
            self._wait_then("forward")
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
            self.page = self._pages[at + 1]
            await self._show_page()
        else:
            await self.action_start()

    async def action_back(self) -> None:
        """The step before; or from the right side in full to the form."""
        if self.has_class("full"):
            self.action_full()
            return
        at = self._pages.index(self.page)
        if at:
            self.page = self._pages[at - 1]
            await self._show_page()

    async def _go_to(self, problem: Problem) -> None:
        """Show the field where a mistake is to be mended."""
        page, key = form.first_page(problem)
        if not page:
            self.app.notify(form.sentence(problem), severity="error")
            return
        if page == "task" and self.draft.own and key != "task.data_dir":
            page = "data"
        if page != self.page:
            self.page = page
            await self._show_page()
        await self._show_state()
        for field in self.query(Field):
            if field.info.key == key:
                field.control.focus()

    def action_full(self) -> None:
        """The right side alone, in full; and back."""
        full = not self.has_class("full")
        self.set_class(full, "full")
        if full:
            self.query_one("#side").focus()
        else:
            self._focus_first()
        self.call_after_refresh(self._show_side)

    # Reading and checking in the background ------------------------------------------------------

    async def _changed(self) -> None:
        self._then = ""
        await self._show_state()
        self._look_later()

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(PAUSE, self._look)

    def _look(self) -> None:
        """Read the data, or check settings that are complete, if there is anything to do."""
        self._timer = None
        asked, unchecked = self.draft.asked, self.draft.unchecked
        if asked is not None:
            self._read(asked)
        elif unchecked is not None and (self.page != "task" or self._then):
            self._checking = unchecked
            self._check(unchecked)  # a task of the list is not fetched before it is taken

    @property
    def idle(self) -> bool:
        """Whether nothing is read or checked, nor about to be."""
        return self._timer is None and self.draft.asked is None and self._checking is None

    @work(thread=True, exclusive=True, group="data")
    def _read(self, asked: Request) -> None:
        read = data_source.read(asked)
        self.app.call_from_thread(self.call_later, self._data_read, read)

    async def _data_read(self, read: DataRead) -> None:
        if not self.draft.take(read):
            return  # other data is asked for by now
        if self.page == "data":
            await self._renew_fields()
        await self._show_state()
        if self.draft.problems:
            self._waited()
        self._look()

    async def _renew_fields(self) -> None:
        """Show fields that came with the data, with its columns to choose from; others stay."""
        body, focused = self.query_one("#fields"), _field_of(self.focused)
        there = {each.info.key: each for each in body.children if isinstance(each, Field)}
        before: Field | None = None
        for info in self._groups()[0].infos:
            field = there.pop(info.key, None)
            if field is None or field.choices != self._values_of(info):
                old, field = field, self._field(info)
                await body.mount(field, before=0 if before is None else None, after=before)
                if old is not None and old is focused:
                    field.control.focus()
                if old is not None:
                    await old.remove()
            before = field
        for gone in there.values():
            if gone is focused and before is not None:
                before.control.focus()
            await gone.remove()

    @work(thread=True, exclusive=True, group="check")
    def _check(self, resolved: ResolvedConfig) -> None:
        found = data_source.check(resolved.config, self._last_check)
        self.app.call_from_thread(self.call_later, self._was_checked, resolved, found)

    async def _was_checked(self, resolved: ResolvedConfig, found: Checked) -> None:
        self._last_check = found
        if self._checking is resolved:
            self._checking = None
        if self.draft.checked(resolved, found.problems):
            await self._show_state()
            self._waited()

    def _wait_then(self, what: str) -> None:
        self._then = what
        self._hint("reading the data and checking the settings …")
        if self._timer is not None:
            self._timer.stop()
        self._look()

    def _waited(self) -> None:
        then, self._then = self._then, ""
        if then == "forward":
            self.call_later(self.action_forward)
        elif then == "start":
            self.call_later(self.action_start)

    # The run -------------------------------------------------------------------------------------

    async def action_start(self) -> None:
        """Make the run directory and begin; where something is wrong, go there instead."""
        from calisr_engine.runs.create import create_run

        if self.draft.problems:
            await self._go_to(self.draft.problems[0])
            return
        if self.draft.asked is not None or self.draft.unchecked is not None:
            self._wait_then("start")
            return
        if self.app.started.running and not self.detached:
            self.app.notify("a run trains in this app already; F7 detaches", severity="warning")
            return
        assert self.draft.resolved is not None
        try:
            run_dir = create_run(self.draft.resolved)
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
        self._show_side()

    def _ready(self) -> ResolvedConfig | None:
        """The settings, said to be unusable where they are."""
        if self.draft.resolved is None:
            self.app.notify("mend the settings first (see ✗ above)", severity="warning")
        return self.draft.resolved

    def action_copy_command(self) -> None:
        """Copy the command line of this run."""
        resolved = self._ready()
        if resolved is not None:
            self.app.copy_to_clipboard(resolved.command_line(self.detached))
            self.app.notify("copied")

    def action_settings(self) -> None:
        """Show the settings as TOML."""
        resolved = self._ready()
        if resolved is not None:
            text = resolved.minimal_toml() or "# every setting has its default\n"
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
            if name is None:
                return
            try:
                self.draft.begin(name)
            except CalisrError as error:
                self.app.show_error("The preset cannot be used", error)
                return
            self.page = STEPS[0]
            await self._show_page()
            await self._changed()

        self.app.push_screen(Picking("Presets", found), take)

    async def begin_from(self, run_dir: Path, keys: Sequence[str] = ()) -> None:
        """Begin from the settings of a run, but for its name; at the field of one of `keys`."""
        try:
            self.draft.begin(base_of_run(run_dir))
        except CalisrError as error:
            self.app.show_error("The settings of the run cannot be read", error)
            return
        self.draft.change("output.name", "")
        self.page = STEPS[0]
        await self._show_page()
        if any(form.page_of(key) for key in keys):
            await self._go_to(Problem("", keys=tuple(keys)))

    def action_save_preset(self) -> None:
        """Keep these settings as a preset of the user."""
        resolved = self._ready()
        if resolved is None:
            return
        toml = resolved.minimal_toml

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


def _field_of(widget: Widget | None) -> Field | None:
    """The field that a widget is in."""
    above = () if widget is None else widget.ancestors
    return next((each for each in above if isinstance(each, Field)), None)


def _wanted(info: FieldInfo) -> Wanted | None:
    """What a path may lead to; None for settings that are no paths."""
    if info.key in ("task.train_file", "task.validation_file", "task.test_file"):
        return Wanted(endings=data_source.endings())
    if info.key == "model.name":
        return Wanted(words=tuple(catalog.names()), marker="config.json")
    return Wanted() if info.kind == "path" else None
