"""The last line of a screen: its keys, as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from calisr_tui import late

ALWAYS = ("help", "ask_quit")
"""Actions whose keys stay: help and quit."""


def fitting(keys: Sequence[FooterKey], more: FooterKey | None, width: int) -> list[FooterKey]:
    """The keys that fit into `width` cells.

    Without room for all, the last ones before help and quit are left out, one by one, and `more`
    stands in their place.
    """

    def wide(some: Sequence[FooterKey]) -> int:
        return sum(cell_len(f"{each.key_display} {each.description}") + 1 for each in some) - 1

    if wide(keys) <= width:
        return [*keys]
    always = [each for each in keys if each.action in ALWAYS]
    spare = [each for each in keys if each.action not in ALWAYS]
    end = [*([more] if more is not None else []), *always]
    while spare and wide([*spare, *end]) > width:
        spare.pop()
    return [*spare, *end]


class Keys(Footer):
    """A footer without keys that are cut: those that are left out are in the command palette."""

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._width = 0

    def compose(self) -> ComposeResult:
        self._width = self.app.size.width
        keys = [each for each in super().compose() if isinstance(each, FooterKey)]
        yield from fitting(keys, self._more(), self._width)

    def _more(self) -> FooterKey | None:
        """The key of the command palette, with a word that says that there is more."""
        found = self.screen.active_bindings.get(self.app.COMMAND_PALETTE_BINDING)
        if found is None:
            return None
        binding = found.binding
        display = self.app.get_key_display(binding)
        key = FooterKey(binding.key, display, "More", binding.action)
        key.data_bind(compact=Footer.compact)
        return key

    def on_resize(self) -> None:
        if self.app.size.width != self._width:
            late.after_refresh(self, self.recompose)
