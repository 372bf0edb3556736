"""The command palette: commands as "group: verb", of the app and of the screen that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.screen import Screen

from calisr_tui import themes
from calisr_tui.screens.live import LiveScreen
from calisr_tui.screens.replay import ReplayScreen

if TYPE_CHECKING:
    from calisr_tui.app import CalisrApp

PLACES = (
    ("setup", "choose model, task, method and start a run"),
    ("live", "the run that is open"),
    ("runs", "all runs of the output folder"),
    ("compare", "runs side by side"),
    ("replay", "a recorded run"),
    ("grid", "many runs as one table, with report and figures"),
)


def commands(app: CalisrApp, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """Every command that can be given on this screen."""
    from calisr_tui.app import EXAMPLE

    for name, text in PLACES:
        yield SystemCommand(f"go: {name}", text, partial(app.action_jump, name))
    yield SystemCommand(
        "replay: example", "the recorded run of the package", partial(app.open_replay, EXAMPLE)
    )
    own = screen_commands(screen) if isinstance(screen, LiveScreen) else ()
    if hasattr(screen, "commands"):
        own = screen.commands()
    for title, text, action in own:
        yield SystemCommand(title, text, partial(screen.run_action, action))
    for name in themes.NAMES:
        yield SystemCommand(f"theme: {name}", "colours", partial(app.use_theme, name))
    yield SystemCommand("app: help", "keys and words", app.action_help)
    yield SystemCommand("app: screenshot", "save the screen as SVG", app.action_picture)
    yield SystemCommand("app: quit", "end the app", app.action_ask_quit)


def screen_commands(screen: LiveScreen) -> list[tuple[str, str, str]]:
    """Palette commands of the live and replay screens: title, help, action."""
    view = [
        ("view: freeze", "stop the display, not the run", "freeze"),
        ("view: full-screen pane", "the chosen pane alone", "full"),
        ("view: smooth", "next smoothing of the loss", "smooth"),
        ("view: log scale", "logarithmic loss and share", "log_scale"),
        ("view: cursor", "values at a step", "cursor"),
        ("view: next group", "another group's stable ranks", "next_group"),
        ("group: explain", "what the counter means and why it came out so", "explain"),
        ("run: copy folder", "copy the run directory", "copy"),
        ("run: settings", "the run's config.toml", "settings"),
        ("run: traceback", "of a failed run", "traceback"),
    ]
    if isinstance(screen, ReplayScreen):
        return [
            ("replay: play or pause", "", "play"),
            ("replay: to the next switch", "", "next_switch"),
            ("replay: to start", "", "start"),
            ("replay: to end", "", "finish"),
            *view,
        ]
    return [
        ("run: pause or go on", "", "pause"),
        ("run: stop and save", "a checkpoint, then stop", "stop_and_save"),
        ("run: stop", "without a checkpoint", "stop"),
        ("run: evaluate now", "", "evaluate"),
        ("run: checkpoint now", "", "checkpoint"),
        ("run: resume", "from its newest checkpoint", "resume_run"),
        ("group: switch by hand", "to the light method", "switch"),
        *view,
    ]
