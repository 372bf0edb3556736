"""What is done with the settings of the setup: a run, a command, a file, a preset; and presets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from calisr_engine import presets
from calisr_engine.config import preset_files
from calisr_engine.config.load import ResolvedConfig
from calisr_engine.errors import CalisrError
from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking, Reading, Typing
from calisr_tui.host import Host


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


def copy_command(app: Host, resolved: ResolvedConfig, detached: bool) -> None:
    """Copy the command line of the run."""
    app.copy_to_clipboard(resolved.command_line(detached))
    app.notify("copied")


def show_settings(app: Host, resolved: ResolvedConfig) -> None:
    """Show the settings as TOML."""
    text = resolved.minimal_toml() or "# every setting has its default\n"
    app.push_screen(Reading("Settings of this run", text, copy=text, wide=True))


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
