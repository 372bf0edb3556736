"""What the list of runs asks of its user: names, notes, tags, pins, and where to save the list."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.plain_words import counted
from calisr_engine.runs.about import LONGEST_NAME, LONGEST_NOTES
from calisr_tui.dialogs import Typing
from calisr_tui.host import Host

if TYPE_CHECKING:
    from calisr_engine.runs.about import About
    from calisr_engine.runs.columns import Column
    from calisr_engine.runs.summary import RunSummary

Then = Callable[[], None]
BREAK = " ⏎ "
"""The end of a line where a note is typed, which is in one line."""


def ask_name(app: Host, run: RunSummary | None, then: Then) -> None:
    """A name beside the id; an empty one takes it away."""
    if run is None:
        app.notify("no run is chosen", severity="warning")
        return

    def typed(text: str | None) -> None:
        if text is not None:
            _change(app, [run], lambda about: replace(about, name=text), then)

    dialog = Typing("Name the run", run.run_id, run.name, empty=True, longest=LONGEST_NAME)
    app.push_screen(dialog, typed)


def ask_notes(app: Host, run: RunSummary | None, then: Then) -> None:
    """What to note about the run; nothing takes it away."""
    if run is None:
        app.notify("no run is chosen", severity="warning")
        return

    def typed(text: str | None) -> None:
        if text is not None:
            notes = text.replace(BREAK, "\n")
            _change(app, [run], lambda about: replace(about, notes=notes), then)

    dialog = Typing(
        "Note about the run",
        run.name or run.run_id,
        BREAK.join(run.notes.splitlines()),
        empty=True,
        goes_on=True,
        longest=LONGEST_NOTES,
        ends=BREAK,
    )
    app.push_screen(dialog, typed)


def ask_tags(app: Host, runs: Sequence[RunSummary], then: Then) -> None:
    """Tags to add to runs and to take away from them."""
    if not runs:
        app.notify("no run is chosen", severity="warning")
        return
    what = runs[0].name or runs[0].run_id if len(runs) == 1 else counted(len(runs), "run")
    has = list(dict.fromkeys(tag for run in runs for tag in run.tags))
    has_words = f"It has: {' '.join(has)}. " if has and len(runs) == 1 else ""

    def typed(text: str | None) -> None:
        from calisr_engine.runs.about import retagged

        if text:
            tags = text.replace(",", " ").split()
            _change(app, runs, lambda about: retagged(about, tags), then)

    app.push_screen(
        Typing(f"Tags of {what}", f"{has_words}To add: base good; to take away: -old", ""), typed
    )


def pin(app: Host, runs: Sequence[RunSummary], then: Then) -> None:
    """Keep runs on top of every list; where all are there, no longer."""
    if not runs:
        app.notify("no run is chosen", severity="warning")
        return
    pinned = not all(run.pinned for run in runs)
    _change(app, runs, lambda about: replace(about, pinned=pinned), then)


def _change(
    app: Host, runs: Sequence[RunSummary], change: Callable[[About], About], then: Then
) -> None:
    from calisr_engine.runs.about import read_about, write_about

    try:
        for run in runs:
            write_about(Path(run.path), change(read_about(Path(run.path))))
    except CalisrError as error:
        app.show_error("Not noted", error)
    then()


def save(app: Host, path: Path, runs: Sequence[RunSummary], columns: Sequence[Column]) -> None:
    """Write runs as CSV, or whole as JSON, by the ending of the name."""
    from calisr_engine.runs.arrange import as_csv
    from calisr_engine.storage.whole import write_text

    try:
        if path.suffix == ".json":
            text = json.dumps([run.to_dict() for run in runs], indent=1) + "\n"
        elif path.suffix == ".csv":
            text = as_csv(runs, columns)
        else:
            raise ConfigError(f"{path} ends with neither .csv nor .json", "give it an ending")
        write_text(path, text, "the list of runs")
    except CalisrError as error:
        app.show_error("Not saved", error)
    else:
        app.notify(f"saved {len(runs)} runs: {path}")
