"""The list from which the value of a field of the setup is chosen."""

from __future__ import annotations

from pathlib import Path

from calisr_tui import form
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking
from calisr_tui.host import Host
from calisr_tui.screens.file_picker import FilePicker
from calisr_tui.screens.setup_form import SetupForm
from calisr_tui.screens.setup_offers import wanted


def choose(app: Host, of: SetupForm) -> None:
    """Open the list of the field that has the focus: of files, columns, words."""
    field = of.field_in_focus
    if field is None:
        app.notify("go to a field first (Tab); a list of its values opens there")
        return

    def take(value: str | None) -> None:
        if value is not None:
            of.take(field.info.key, value)

    def add(value: str | None) -> None:
        if value is not None:
            there = of.draft.values(field.info.key)
            others = [each for each in there if each != value]
            several = others if value in there else [*there, value]
            of.take(field.info.key, ", ".join(several))

    title, path = form.label(field.info.key), wanted(field.info)
    values = of.values_of(field.info)
    read = of.draft.data if field.info.key in form.SPLITS else None
    splits = read.splits if read is not None else ()
    if field.marked and values:
        listed = [Choice(each, each) for each in values]
        app.push_screen(Picking(f"{title}: add or take away", listed), add)
    elif field.choices:
        notes = {}
        if of.draft.data is not None:
            kind = str(of.draft.value("task.kind"))
            notes = dict(of.draft.data.choices(field.info.key, kind))
        listed = [Choice(each, each, notes.get(each, "")) for each in field.choices]
        app.push_screen(Picking(title, listed, field.control.value), take)
    elif splits:
        listed = [Choice(each, each) for each in splits]
        app.push_screen(Picking(title, listed, field.control.value), take)
    elif path is not None:
        typed = of.draft.shown(field.info).text
        begin = Path(typed).expanduser() if typed else Path()
        begin = begin if begin.is_dir() else begin.parent
        picker = FilePicker(title, begin, path, field.info.key != "task.validation_file")
        app.push_screen(picker, take)
    else:
        app.notify(f"{title} is typed: {field.info.expects}")
