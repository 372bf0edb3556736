"""Run directories: where they are, what they say, who trains in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from calisr_engine.errors import CalisrError, DamagedError, NotFoundError
from calisr_engine.events.fold import fold_blocks
from calisr_engine.events.log import EventReader
from calisr_engine.events.view import RunView
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked

__all__ = ["checked", "load_view", "load_views"]


def load_view(run_dir: str | Path) -> RunView:
    """Read the whole log of a run.

    A log that says `running` while no process holds the run's lock gives state `interrupted`.

    Raises:
        NotFoundError: there is no log at that place.
        DamagedError: it cannot be read, or holds no line that can.
    """
    paths = RunPaths(Path(run_dir))
    reader = EventReader(paths.events)
    return checked(fold_blocks(RunView(), reader.blocks()), reader, paths)


def load_views(run_dirs: Iterable[Path]) -> tuple[dict[Path, RunView], dict[Path, str]]:
    """(the runs that can be read, why each of the others cannot)."""
    views: dict[Path, RunView] = {}
    problems: dict[Path, str] = {}
    for run_dir in run_dirs:
        try:
            views[run_dir] = load_view(run_dir)
        except CalisrError as error:
            problems[run_dir] = error.message
    return views, problems


def checked(view: RunView, reader: EventReader, paths: RunPaths) -> RunView:
    """The view that was folded from a log, if that can be relied on at all.

    Raises:
        NotFoundError, DamagedError: as `load_view`.
    """
    if reader.vanished:
        raise NotFoundError(
            f"{paths.root} is not a run directory: it has no {paths.events.name}",
            "`calisr runs` lists the runs",
        )
    view.garbage += reader.garbage
    if reader.problem:
        raise DamagedError(f"{paths.events} is damaged: {reader.problem}")
    if view.garbage and not view.messages and view.updated is None:
        raise DamagedError(f"{paths.events} is damaged: it holds no line that can be read")
    if view.state in ("running", "paused") and not is_locked(paths):
        view.state = "interrupted"
    return view
