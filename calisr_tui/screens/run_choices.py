"""Choosing what a list of runs shows: columns, and the levels of its tree. Escape ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from calisr_tui.choice import Choice
from calisr_tui.dialogs import Picking
from calisr_tui.host import Host

NONE = "-"
"""Name of the choice of nothing."""
Take = Callable[[tuple[str, ...]], None]


def choose_columns(app: Host, shown: Sequence[str], take: Take, current: str = "") -> None:
    """Show a column or leave it out, one after the other.

    Args:
        take: gets the names of the columns each time; none for the usual ones.
    """
    _choose(app, "Columns", "the usual columns", shown, take, current, first=True)


def choose_groups(app: Host, by: Sequence[str], take: Take, current: str = "") -> None:
    """Make columns and settings levels of the tree, in the order in which they are chosen."""
    _choose(app, "Groups", "no groups", by, take, current, first=False)


def _choose(
    app: Host, title: str, none: str, taken: Sequence[str], take: Take, current: str, first: bool
) -> None:
    from calisr_engine.runs.columns import all_columns, column

    def chosen(name: str | None) -> None:
        if name is None:
            return
        if name == NONE:
            take(())
            return
        rest = tuple(each for each in taken if each != name)
        new = rest if name in taken else (name, *rest) if first else (*rest, name)
        take(new)
        _choose(app, title, none, new, take, name, first)

    others = [each for each in all_columns() if each.name not in taken]
    listed = [
        Choice(each.name, f"{'✓' if each.name in taken else ' '} {each.name}", each.help)
        for each in [*map(column, taken), *others]
    ]
    app.push_screen(Picking(title, [Choice(NONE, none), *listed], current), chosen)
