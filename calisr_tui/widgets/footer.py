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
        self._told: list[tuple[object, ...]] = []

    def compose(self) -> ComposeResult:
        self._width, self._told = self.app.size.width, self._to_tell()
        keys = [each for each in super().compose() if isinstance(each, FooterKey)]
        for key in keys:
            key.add_class("-compact", update=False)  # or each is styled once more for it
        yield from fitting(keys, self._more(), self._width)

    async def recompose(self) -> None:
        """Only where other keys are to be told: bindings are looked at on each change of focus."""
        if self.is_attached and (
            self.app.size.width != self._width or self._to_tell() != self._told
        ):
            await super().recompose()

    def _to_tell(self) -> list[tuple[object, ...]]:
        """What the keys and their words follow from, beside the width."""
        if not self._bindings_ready:
            return []
        found = self.screen.active_bindings
        palette = found.get(self.app.COMMAND_PALETTE_BINDING)
        told = [each for each in found.values() if each.binding.show or each is palette]
        return [
            (key, self.app.get_key_display(key), enabled, tooltip)
            for _, key, enabled, tooltip in told
        ]

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
