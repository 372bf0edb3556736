"""What can be done with a run next, by key: ask it, see its errors, export it, make one like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from calisr_tui import places
from calisr_tui.host import Host

COMMANDS = [
    ("run: try", "type a text and see its classes", "try_it"),
    ("run: errors", "confusions, calibration, the most confident mistakes", "errors"),
    ("run: export", "its best model as a folder, or as ONNX", "export"),
    ("run: begin from its settings", "change them in the setup and train anew", "begin_from"),
]


class NextSteps(Screen[None]):
    """A screen with a run at hand. Its keys always work; the footer names those that fit the run.

    Attributes:
        FOOTER: state of the run, "" where there is none -> id of a binding -> its word in the
            footer; a state that is not there leaves the footer as the bindings have it.
    """

    app: Host
    FOOTER: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "try_it", "Try", show=False, id="run.try"),
        Binding("E", "errors", "Errors", show=False, id="run.errors"),
        Binding("X", "export", "Export", show=False, id="run.export"),
        Binding("N", "begin_from", "New like it", show=False, id="run.begin_from"),
    ]
    _named: Mapping[str, str] | None = None

    @property
    def at_hand(self) -> tuple[Path, str] | None:
        """(directory, state) of the run that the keys are for."""
        raise NotImplementedError

    @property
    def active_bindings(self) -> Any:
        """As the footer reads them."""
        found = super().active_bindings
        named = self._fitting()
        return found if named is None else self._listed(found, named)

    def _listed(self, found: Any, named: Mapping[str, str]) -> Any:
        """Those that are named are shown, in this order and by these words."""
        listed = {
            key: each._replace(
                binding=replace(
                    each.binding,
                    show=each.binding.id in named,
                    description=named.get(each.binding.id or "", each.binding.description),
                )
            )
            for key, each in found.items()
        }
        at = {name: place for place, name in enumerate(named)}
        return dict(
            sorted(listed.items(), key=lambda item: at.get(item[1].binding.id or "", len(at)))
        )

    def _fitting(self) -> Mapping[str, str] | None:
        run = self.at_hand
        return self.FOOTER.get("" if run is None else run[1])

    def name_next_steps(self) -> None:
        """Let the footer follow the run at hand."""
        named = self._fitting()
        if named is not self._named:
            self._named = named
            self.refresh_bindings()

    def _run(self) -> Path | None:
        run = self.at_hand
        if run is None:
            self.app.notify("no run is chosen", severity="warning")
        return None if run is None else run[0]

    def action_try_it(self) -> None:
        """Ask the run's best model."""
        self._open("try")

    def action_errors(self) -> None:
        """See where its best model is wrong."""
        self._open("errors")

    def _open(self, name: str) -> None:
        if path := self._run():
            page: Any = places.place(name).load()
            self.app.push_screen(page(path))

    def action_begin_from(self) -> None:
        """To the setup, with the settings of this run."""
        if path := self._run():
            self.app.set_up_like(path)

    def action_export(self) -> None:
        """Write its best model to a folder."""
        self._open("export")
