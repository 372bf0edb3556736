"""Telling a run's end from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_tui.cli.out import notice, ring, say
from calisr_tui.notices import facts_of, is_news, post

if TYPE_CHECKING:
    from calisr_engine.events.view import RunView


def tell_end(view: RunView, run_dir: Path, ways: Sequence[str]) -> None:
    """Tell all ways how a run ended.

    What does not work is said on stderr and changes nothing else.
    """
    if not ways or not is_news(view):
        return
    facts = facts_of(view, run_dir)
    for each in ways:
        if each == "bell":
            ring()
        elif each == "osc9":
            notice(facts["text"])
        elif problem := post(each, facts):
            say(problem)
