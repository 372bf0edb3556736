"""The one table of screens. Modes, keys, the command palette, help and jumps come from it.

What a screen may say of itself beside Textual's BINDINGS: `commands()`, its palette entries as
(title, help line, action); `PARTS`, widgets of it with keys of their own; and a class method
`begin(app, shown)`, asked before a jump there, which gives False where it went elsewhere instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from textual.binding import Binding
from textual.screen import ModalScreen, Screen


@dataclass(frozen=True)
class Place:
    """A screen.

    Attributes:
        name: what jumps, keys (`app.NAME`) and the palette (`go: NAME`) call it.
        loader: "module:Class"; the module is imported when the screen is first seen.
        keys: with commas between them; "" for a screen that opens above another.
        title: of its key on the help page.
        does: its line in the palette.
    """

    name: str
    loader: str
    keys: str = ""
    title: str = ""
    does: str = ""

    def load(self) -> type[Screen[Any]]:
        """The class of the screen."""
        module, _, name = self.loader.partition(":")
        found: type[Screen[Any]] = getattr(import_module(module), name)
        return found

    def make(self) -> Screen[Any]:
        """A new screen."""
        return self.load()()

    @property
    def binding(self) -> Binding:
        """The key that goes there from anywhere."""
        action = f"jump('{self.name}')"
        return Binding(self.keys, action, self.title, show=False, id=f"app.{self.name}")


PLACES = (
    Place(
        "home",
        "calisr_tui.screens.home:HomeScreen",
        "H",
        "Home",
        "what trains, what to go on with, the last and the best run",
    ),
    Place(
        "setup",
        "calisr_tui.screens.setup:SetupScreen",
        "f2",
        "Setup",
        "choose model, task, method and start a run",
    ),
    Place("live", "calisr_tui.live.screen:LiveScreen", "f3", "Live", "the run that is open"),
    Place(
        "runs",
        "calisr_tui.screens.runs:RunsScreen",
        "f4",
        "Runs",
        "all runs of the output folder",
    ),
    Place(
        "compare",
        "calisr_tui.screens.compare:CompareScreen",
        "f5",
        "Compare",
        "runs side by side",
    ),
    Place("replay", "calisr_tui.live.replay:ReplayScreen", "f6", "Replay", "a recorded run"),
    Place(
        "grid",
        "calisr_tui.screens.grid:GridScreen",
        "ctrl+g,f12",
        "Grid",
        "many runs as one table, with report and figures",
    ),
    Place("try", "calisr_tui.screens.try_it:TryScreen"),
    Place("export", "calisr_tui.screens.export:ExportScreen"),
    Place("errors", "calisr_tui.screens.errors:ErrorsScreen"),
    Place("start", "calisr_tui.screens.grid_start:StartGrid"),
    Place("report", "calisr_tui.screens.report:ReportScreen"),
    Place("figures", "calisr_tui.screens.figures:FiguresScreen"),
    Place("help", "calisr_tui.screens.help:HelpScreen"),
    Place("question", "calisr_tui.dialogs:Question"),
    Place("reading", "calisr_tui.dialogs:Reading"),
    Place("typing", "calisr_tui.dialogs:Typing"),
    Place("picking", "calisr_tui.dialogs:Picking"),
    Place("files", "calisr_tui.screens.file_picker:FilePicker"),
)


def modes() -> list[Place]:
    """The places that have a key of their own, in the order of the table."""
    return [place for place in PLACES if place.keys]


def place(name: str) -> Place:
    """The place of this name.

    Raises:
        KeyError: there is none.
    """
    return {each.name: each for each in PLACES}[name]


def key_owners(app: type) -> Iterator[Any]:
    """The app, all places and their parts: all that have keys of their own."""
    yield app
    for each in PLACES:
        screen = each.load()
        yield screen
        yield from getattr(screen, "PARTS", ())


def together(app: type) -> Iterator[list[tuple[str, str]]]:
    """(id, keys) of the bindings that are there at one time: of each place, its parts, the app."""
    for each in PLACES:
        screen = each.load()
        owners = [screen, *getattr(screen, "PARTS", ())]
        own = [binding for owner in owners for binding in _own(owner)]
        if not issubclass(screen, ModalScreen):
            own += _own(app)
        yield [(str(b.id), b.key) for b in own]


def every_binding(app: type) -> Iterator[Binding]:
    """Every binding with an id, once each: of the app, of all places and of their parts."""
    seen: set[str] = set()
    for owner in key_owners(app):
        for binding in _own(owner):
            if binding.id not in seen:
                seen.add(str(binding.id))
                yield binding


def _own(owner: type) -> list[Binding]:
    """The bindings of ours that a class has, also by inheritance; those of Textual have no id."""
    found: dict[str, Binding] = {}
    for base in owner.__mro__:
        for binding in vars(base).get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id:
                found.setdefault(binding.id, binding)
    return list(found.values())
