"""What keeps a run from going on, found before anything of it changes.

A run that is complete, or was stopped, stays what it is where it cannot be trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calisr_engine.config.schema import RunConfig
from calisr_engine.forecast.before_start import Checked
from calisr_engine.models.folder import find_folder
from calisr_engine.results.run_task import data_of
from calisr_engine.runs import changes
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import load_task


def go_on(
    run_dir: Path, sets: Sequence[str] = ()
) -> tuple[dict[str, changes.Change], Checked | None]:
    """As `runs.changes.go_on`, once data and model are here and the data is as it was.

    Returns:
        The settings that changed; the data that was read, which training need not read again (None
        where some process trains the run, so that nothing was read).

    Raises:
        CalisrError: as there; the data cannot be read or changed, or the model is not here.
    """
    checked: list[Checked] = []

    def check(config: RunConfig) -> None:
        began = any(RunPaths(run_dir).checkpoints.glob("step-*"))
        data = data_of(run_dir, config) if began else load_task(config.task)
        find_folder(config.model, fetch=False)
        checked.append(Checked(config, data=data))

    found = changes.go_on(run_dir, sets, check)
    return found, checked[0] if checked else None
