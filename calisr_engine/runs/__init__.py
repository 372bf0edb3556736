"""Run directories: where they are, what they say, who trains in them."""

from __future__ import annotations

from pathlib import Path

from calisr_engine.errors import NotFoundError
from calisr_engine.events.fold import fold_blocks
from calisr_engine.events.log import EventReader
from calisr_engine.events.view import RunView
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked

__all__ = ["load_view"]


def load_view(run_dir: str | Path) -> RunView:
    """Read the whole log of a run.

    A log that says `running` while no process holds the run's lock gives state `interrupted`.

    Raises:
        NotFoundError: there is no log at that place.
    """
    paths = RunPaths(Path(run_dir))
    reader = EventReader(paths.events)
    view = fold_blocks(RunView(), reader.blocks())
    if reader.vanished:
        raise NotFoundError(
            f"{run_dir} is not a run directory: it has no {paths.events.name}",
            "`calisr runs` lists the runs",
        )
    view.garbage += reader.garbage
    if view.state in ("running", "paused") and not is_locked(paths):
        view.state = "interrupted"
    return view
