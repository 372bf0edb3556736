"""The command palette: commands as "group: verb", of the app and of the screen that is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.screen import Screen

from calisr_tui import places, themes
from calisr_tui.feed import EXAMPLE

if TYPE_CHECKING:
    from calisr_tui.app import CalisrApp


def commands(app: CalisrApp, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """Every command that can be given on this screen."""
    for place in places.modes():
        jump = partial(app.action_jump, place.name)
        yield SystemCommand(f"go: {place.name}", place.does, jump)
    yield SystemCommand(
        "replay: example", "the recorded run of the package", partial(app.open_replay, EXAMPLE)
    )
    own: Callable[[], Iterable[tuple[str, str, str]]] = getattr(screen, "commands", tuple)
    for title, text, action in own():
        yield SystemCommand(title, text, partial(screen.run_action, action))
    for name in themes.NAMES:
        yield SystemCommand(f"theme: {name}", "colours", partial(app.use_theme, name))
    yield SystemCommand("app: help", "keys and words", app.action_help)
    yield SystemCommand("app: screenshot", "save the screen as SVG", app.action_picture)
    yield SystemCommand("app: quit", "end the app", app.action_ask_quit)
