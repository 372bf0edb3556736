"""What is done with the settings of the setup: a run, a grid, a search, a command, a preset."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine import presets
from calisr_engine.config import preset_files
from calisr_engine.config.load import ResolvedConfig
from calisr_engine.errors import CalisrError
from calisr_engine.plain_words import command
from calisr_engine.storage.whole import write_text
from calisr_engine.tune.study import Plan
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking, Reading, Typing
from calisr_tui.draft import Draft
from calisr_tui.host import Host
from calisr_tui.marked_grid import FILE, Outlook
from calisr_tui.marked_search import SearchOutlook

if TYPE_CHECKING:
    from calisr_tui.screens.search_start import SearchStart

Found = ResolvedConfig | Outlook | SearchOutlook
"""What can be started: the settings of a run, or what a grid or a search comes to."""


def start(app: Host, resolved: ResolvedConfig, detached: bool) -> None:
    """Make the run directory and begin."""
    from calisr_engine.runs.create import create_run

    if app.started.running and not detached:
        app.notify("a run trains in this app already; F7 detaches", severity="warning")
        return
    try:
        run_dir = create_run(resolved)
    except CalisrError as error:
        app.show_error("The run could not be started", error)
        return
    app.start_training(run_dir, detached)


def start_grid(app: Host, outlook: Outlook) -> None:
    """Write the grid's file, ask how, begin, and show the grid."""
    # nobody who sets one run up needs these, and the app opens sooner without
    from calisr_tui.grid_source import GridSource
    from calisr_tui.screens import grid_training

    made = not outlook.folder.exists()
    path = _write(app, outlook)
    if path is None:
        return

    def take_back() -> None:
        if made:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                outlook.folder.rmdir()

    try:
        reading = GridSource(str(path), app.output_dir, app.data_dir).read()
    except CalisrError as error:
        take_back()
        app.show_error("The grid could not be started", error)
        return
    grid_training.start(app, reading, False, lambda: app.open_grid(str(path)), take_back)


def may_search(app: Host) -> bool:
    """Whether a search can begin on this machine; says what is missing where it cannot."""
    from calisr_engine.tune.by_optuna import check_installed

    try:
        check_installed()
    except CalisrError as error:
        app.notify(f"{error.message}; {error.hint}", severity="warning", timeout=10)
        return False
    return True


def start_search(
    app: Host, outlook: SearchOutlook, plan: Plan, take: Callable[[Plan], None]
) -> None:
    """Ask how, begin the search, and show the study; `take` is told how in any case."""
    from calisr_tui.screens import study_training
    from calisr_tui.screens.search_start import StartSearch

    def go(start: SearchStart | None) -> None:
        if start is None:
            return
        take(start.plan)
        words = outlook.command(start.plan, start.jobs, start.devices)
        if study_training.begin(app, outlook.folder, words):
            app.open_study(outlook.folder)

    if study_training.is_free(app, outlook.folder):
        app.push_screen(StartSearch("Start the search", plan, outlook.command), go)


def _write(app: Host, outlook: Outlook) -> Path | None:
    """The grid's file, as it is written now."""
    path = outlook.folder / FILE
    try:
        outlook.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, outlook.toml, "the grid's file")
    except (CalisrError, OSError) as error:
        app.notify(f"the grid could not be written: {error}", severity="error")
        return None
    return path


def grid_command(outlook: Outlook, draft: Draft) -> str:
    """The command line that trains the grid."""
    words = ["grid", "run", str(outlook.folder / FILE), "--output-dir", str(outlook.folder.parent)]
    return command(*words, *(["--data-dir", str(draft.data_dir)] if draft.data_dir else []))


def copy(app: Host, found: Found, draft: Draft, plan: Plan, detached: bool) -> None:
    """Copy the command line of a run, a grid or a search; the file that a grid names is written."""
    if isinstance(found, Outlook):
        if (path := _write(app, found)) is not None:
            app.copy_to_clipboard(grid_command(found, draft))
            app.notify(f"copied; {path} is written")
        return
    if isinstance(found, SearchOutlook):
        app.copy_to_clipboard(command(*found.command(plan)))
    else:
        app.copy_to_clipboard(found.command_line(detached))
    app.notify("copied")


def show(app: Host, found: Found, plan: Plan) -> None:
    """Show the settings of a run as TOML, a grid's file, or the command of a search."""
    title = "Settings of this run"
    if isinstance(found, Outlook):
        title, text = str(found.folder / FILE), found.toml
    elif isinstance(found, SearchOutlook):
        title, text = "The command of this search", command(*found.command(plan))
    else:
        text = found.minimal_toml() or "# every setting has its default\n"
    app.push_screen(Reading(title, text, copy=text, wide=True))


def save_preset(app: Host, resolved: ResolvedConfig) -> None:
    """Keep the settings as a preset of the user."""

    def save(name: str | None) -> None:
        if name is None:
            return
        try:
            path = presets.save(Path(name).stem, resolved.minimal_toml(name))
        except CalisrError as error:
            app.show_error("The preset was not saved", error)
        else:
            app.notify(f"saved {path}")

    app.push_screen(Typing("Save as preset", "A name for these settings:"), save)


def choose_preset(app: Host, take: Callable[[str | None], Awaitable[None]]) -> None:
    """Ask for a preset."""
    found = []
    for name in preset_files.names():
        try:
            found.append(Choice(name, name, presets.describe(name).title))
        except CalisrError:
            continue
    app.push_screen(Picking("Presets", found), take)
