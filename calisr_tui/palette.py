"""The command palette: commands as "group: verb", of the app and of the screen that is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from textual.app import SystemCommand
from textual.screen import Screen

from calisr_tui import places, themes
from calisr_tui.feed import EXAMPLE
from calisr_tui.host import Host

Command = tuple[str, str, str]
"""Title, help line, action."""


def commands(app: Host, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """Every command that can be given on this screen; a screen lists its own in `commands`."""
    for place in places.modes():
        jump = partial(app.action_jump, place.name)
        yield SystemCommand(f"go: {place.name}", place.does, jump)
    example = partial(app.open_replay, EXAMPLE)
    yield SystemCommand("replay: example", "the recorded run of the package", example)
    own: Callable[[], Iterable[Command]] = getattr(screen, "commands", tuple)
    for title, text, action in own():
        yield SystemCommand(title, text, partial(screen.run_action, action))
    for name in themes.NAMES:
        use = partial(app.run_action, f"use_theme('{name}')")
        yield SystemCommand(f"theme: {name}", "colours", use)
    for title, text, action in APP:
        yield SystemCommand(title, text, partial(app.run_action, action))


APP: tuple[Command, ...] = (
    ("app: help", "keys and words", "help"),
    ("app: screenshot", "save the screen as SVG", "picture"),
    ("app: quit", "end the app", "ask_quit"),
)
