"""One page of the setup form: a list to choose from, fields, what is wrong, and a hint."""

from __future__ import annotations

import asyncio
from functools import partial

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from calisr_engine.config.describe import FieldInfo, by_key
from calisr_engine.plain_words import counted
from calisr_tui import form, late
from calisr_tui.draft import OWN, Draft
from calisr_tui.form import CHOICE_KEYS, STEPS
from calisr_tui.screens.setup_offers import offers, wanted
from calisr_tui.several import SEARCH_WAYS
from calisr_tui.several import WAYS as WAYS_OF_SEVERAL
from calisr_tui.verbatim import Text
from calisr_tui.widgets.fields import MARK, Field, Fold, Heading
from calisr_tui.widgets.hint import Hint
from calisr_tui.widgets.verbatim import Option, OptionList, Static

ALIGNED = 52
"""Cells from which on what is said of a value stands in a column of its own."""
WAYS = "↑↓ Tab · Ctrl-L list · Ctrl-Y several: a grid · Esc back"


class SetupForm(Vertical):
    """The form beside the summary. Fields and list tell the screen what is chosen and typed.

    Attributes:
        page: what is shown, one of `form.PAGES`.
    """

    def __init__(self, draft: Draft) -> None:
        super().__init__(id="form", classes="box")
        self.draft = draft
        self.page = STEPS[0]
        # Keys act in the app's turn, what the background finds in the screen's.
        self._changing = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield OptionList(id="choices")
        yield Static(id="choice-problem", classes="field-problem")
        yield Vertical(id="fields")
        yield Hint(id="hint")

    async def turn_to(self, page: str) -> None:
        """Show a page and go to its first line."""
        async with self._changing:
            await self._turn_to(page)

    async def _turn_to(self, page: str) -> None:
        self.page = page
        step = "task" if page == "data" else page
        title = f"{STEPS.index(step) + 1} of {len(STEPS)} · {step}"
        if page == "data":
            title += " · your data"
        self.border_title = Text(title)
        self._show_choices()
        await self._show_fields()
        await self._show_state()
        self.focus_first()

    # The list ------------------------------------------------------------------------------------

    def _show_choices(self) -> None:
        choices, options = self.choices, offers(self.page)
        choices.clear_options()
        choices.display = bool(options)
        if not options:
            return
        current = self.draft.task if self.page == "task" else ""
        current = current or str(self.draft.value(CHOICE_KEYS[self.page]))
        refused = self.page == "calibration" and bool(self.draft.calibration_refused)
        for value in options:
            text = self._line_of(value)
            choices.add_option(Option(text, id=value, disabled=refused and value != "off"))
        self.go_to_choice(current)

    def _line_of(self, value: str) -> Text:
        key = CHOICE_KEYS[self.page]
        mark = "" if key not in self.draft.marked else "  "
        mark = MARK if value in self.draft.values(key) else mark
        text = Text(f"{mark}{value}", no_wrap=True, overflow="ellipsis")
        said = offers(self.page)
        if self.size.width >= ALIGNED:
            text.pad_right(max(map(len, said)) - len(value))
        return text.append(f"  {said[value]}", "dim")

    def on_resize(self) -> None:
        self._show_lines()
        if self.choices.has_focus:
            late.after_refresh(self, self.hint_of_choice)

    def _show_lines(self) -> None:
        if self.choices.display:
            for at, option in enumerate(self.choices.options):
                self.choices.replace_option_prompt_at_index(at, self._line_of(option.id or ""))

    @property
    def choices(self) -> OptionList:
        """The list of the page."""
        return self.query_one("#choices", OptionList)

    def go_to_choice(self, name: str) -> None:
        """Put the cursor of the list where it says `name`, if it does."""
        names = [option.id for option in self.choices.options]
        self.choices.highlighted = names.index(name) if name in names else None

    # The fields ----------------------------------------------------------------------------------

    async def show_fields(self) -> None:
        """Make the fields of the page anew."""
        async with self._changing:
            await self._show_fields()

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

    async def renew_fields(self) -> None:
        """Show fields that came with the data, with its columns to choose from; others stay."""
        async with self._changing:
            await self._renew_fields()

    async def _renew_fields(self) -> None:
        body, focused = self.query_one("#fields"), self.field_in_focus
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

    def _groups(self) -> list[form.Group]:
        """The settings of the page; of data that nobody has seen, where it comes from."""
        groups = form.groups(self.page, self.draft.method, self.draft.entries)
        if self.page == "data" and (self.draft.data is None or self.draft.data.look is None):
            first = form.Group("", groups[0].infos[:1])
            return [first, *groups[1:]]
        if self.page == "data" and self.draft.value("task.dataset") is not None:
            kept = [each for each in groups[0].infos if each.key != "task.validation_file"]
            return [form.Group("", tuple(kept)), *groups[1:]]  # a data set has splits for that
        return groups

    def _fields_of(self, group: form.Group) -> list[Field]:
        return [self._field(info) for info in group.infos]

    def _field(self, info: FieldInfo) -> Field:
        field = Field(
            info,
            self.draft.shown(info),
            self._values_of(info),
            wanted(info),
            late=info.key in ("task.dataset", *form.SPLITS),  # each look asks the hub
            marked=info.key in self.draft.marked,
        )
        field.idle = self._is_idle(info)
        return field

    def _is_idle(self, info: FieldInfo) -> bool:
        """Whether the choice beside it leaves a setting without effect, in all runs of a grid."""
        key = "regularizer.name"
        chosen = self.draft.values(key) or (str(self.draft.value(key)),)
        return all(form.is_idle(info.key, each) for each in chosen)

    def _values_of(self, info: FieldInfo) -> tuple[str, ...]:
        """What a setting is chosen from; none where it is typed."""
        return () if info.key in self.draft.marked else self.values_of(info)

    def values_of(self, info: FieldInfo) -> tuple[str, ...]:
        """What a setting may be chosen from; none where there is no list."""
        if self.page == "data" and self.draft.data is not None:
            kind = str(self.draft.value("task.kind"))
            named = tuple(name for name, _ in self.draft.data.choices(info.key, kind))
            if named:
                return ("none", *named) if info.key == "task.text_pair_column" else named
        if info.kind not in ("choice", "flag"):
            return ()
        known = info.choices or ("false", "true")
        return ("none", *known) if info.optional and info.key != "task.kind" else known

    # Several values ------------------------------------------------------------------------------

    async def mark(self) -> str:
        """Give what has the focus several values, or take that back; why it cannot have them."""
        field, option = self.field_in_focus, self.choices.highlighted_option
        if field is not None:
            info = field.info
        elif self.choices.has_focus and option is not None:
            info = by_key(self.draft.method)[CHOICE_KEYS[self.page]]
        else:
            return "go to a field or to a line of a list first"
        refused = self.draft.may_mark(info)
        if refused:
            return refused
        if field is not None:
            self.draft.mark(info.key)
        elif option is not None and option.id == OWN:
            return "own data is no task of a list; its other settings can have several values"
        elif option is not None:
            self.draft.mark_choice(info.key, option.id or "")
        await self.show_marks()
        return ""

    async def show_marks(self) -> None:
        """Show which settings have several values."""
        async with self._changing:
            self._show_lines()
            if self.page == "method":
                focus = self.field_in_focus
                await self._show_fields()
                if focus is not None:
                    self.focus_field(focus.info.key)
            for old in self.query(Field):
                if old.marked != (old.info.key in self.draft.marked):
                    focused, new = old is self.field_in_focus, self._field(old.info)
                    assert isinstance(old.parent, Widget)
                    await old.parent.mount(new, after=old)
                    if focused:
                        new.control.focus()
                    await old.remove()

    # What is wrong, and the hint -----------------------------------------------------------------

    async def show_state(self) -> None:
        """Show values and mistakes as they are now."""
        async with self._changing:
            await self._show_state()

    async def _show_state(self) -> None:
        marks = form.marks(self.draft.problems, self.draft.method)
        for fold in self.query(Fold):
            fold.heading.set_here = sum(key in self.draft.changes for key in fold.keys)
            if not fold.is_open and any(key in marks for key in fold.keys):
                await fold.turn(True)
        fields = self.query(Field)
        for field in fields:
            field.idle = self._is_idle(field.info)
            field.show(self.draft.shown(field.info), marks.get(field.info.key, ""))
        for fold in self.query(Fold):
            fold.show_fields()
        if self.field_in_focus is not None:
            self._hint_of(self.field_in_focus)
        key = CHOICE_KEYS.get(self.page, "")
        runs = self.draft.runs
        many = f"start {counted(runs, 'run')}"
        begin = many if self.draft.marked else "start the run"
        begin = "start the search" if self.draft.searched else begin
        self.border_subtitle = Text(f"Enter: {begin if self.page == STEPS[-1] else 'next step'}")
        at_list = "" if any(f.info.key == key for f in fields) else marks.get(key, "")
        tables = {
            each.key.rpartition(".")[0] for each in self.draft.entries
        }  # not fields of theirs
        at_list = at_list or " ".join(marks[each] for each in sorted(tables & marks.keys()))
        below = self.query_one("#choice-problem", Static)
        note = self.draft.calibration_refused if self.page == "calibration" else ""
        below.display = bool(at_list or note)
        below.set_class(not at_list, "note")
        below.update(Text(f"✗ {at_list}" if at_list else note))

    def hint(self, text: str) -> None:
        """Say something below the fields."""
        self.query_one("#hint", Hint).say(text)

    def hint_of_choice(self) -> None:
        """The ways from the list, and the note of the line that is marked where that cuts it."""
        at = self.choices.highlighted
        value = "" if at is None else self.choices.get_option_at_index(at).id or ""
        room = self.choices.scrollable_content_region.width
        room -= self.choices.get_component_styles("option-list--option").padding.width
        note = offers(self.page).get(value, "")
        cut = note and self._line_of(value).cell_len > room > 0
        self.hint(f"{note}\n{WAYS}" if cut else WAYS)

    def _hint_of(self, field: Field) -> None:
        shown = self.draft.shown(field.info)
        why = f"It is {shown.text}: {shown.why}. " if shown.text else f"Default: {shown.why}. "
        why = why if shown.why and not field.tells_why else ""
        if field.marked:
            if self.draft.searched:
                why = f"{SEARCH_WAYS}; F7 takes every combination. "
            else:
                why = f"{WAYS_OF_SEVERAL}; F7 searches them; Ctrl-Y takes them back. "
        marks = form.marks(self.draft.problems, self.draft.method)
        mend = "Mend this, or go on with Ctrl-N. " if field.info.key in marks else ""
        self.hint(f"{mend}{why}{field.info.help} ({field.info.expects})")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        widget = event.widget
        field = _field_of(widget)
        if field is not None:
            self._hint_of(field)
        elif isinstance(widget, Heading):
            self.hint("Enter, ← and → open and close these settings")
        elif isinstance(widget, OptionList):
            self.hint_of_choice()

    # The focus -----------------------------------------------------------------------------------

    @property
    def field_in_focus(self) -> Field | None:
        """The field that the focus is in."""
        return _field_of(self.screen.focused)

    def focus_first(self) -> None:
        """Go to the list, or to the first field."""
        if self.choices.display:
            self.choices.focus()
        else:
            self.query(Field).first().control.focus()

    def take(self, key: str, text: str) -> None:
        """Set the text of a field, as if it was typed. While its value was chosen, what was read of
        the data may have put another field in the place of that one."""
        for field in self.query(Field):
            if field.info.key == key and late.is_here(field):
                field.take(text)

    def focus_field(self, key: str) -> None:
        """Go to the field of a setting, if it is on this page."""
        for field in self.query(Field):
            if field.info.key == key:
                field.control.focus()


def _field_of(widget: Widget | None) -> Field | None:
    """The field that a widget is in."""
    above = () if widget is None else widget.ancestors
    return next((each for each in above if isinstance(each, Field)), None)
