"""What keeps a run from going on, found before anything of it changes.

A run that is complete, or was stopped, stays what it is where it cannot be trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError
from calisr_engine.models.folder import find_folder
from calisr_engine.results.run_task import environment_of
from calisr_engine.runs import changes
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import load_task


def go_on(run_dir: Path, sets: Sequence[str] = ()) -> dict[str, changes.Change]:
    """As `runs.changes.go_on`, once data and model are here and the data is as it was.

    Raises:
        CalisrError: as there; the data cannot be read or changed, or the model is not here.
    """

    def check(config: RunConfig) -> None:
        data = load_task(config.task)
        began = any(RunPaths(run_dir).checkpoints.glob("step-*"))
        known = environment_of(run_dir).get("data_fingerprint", data.fingerprint)
        if began and known != data.fingerprint:
            raise ConfigError(
                f"the data changed since {run_dir.name} was trained, so it cannot go on exactly",
                "put its data back, or start a new run",
            )
        find_folder(config.model, fetch=False)

    return changes.go_on(run_dir, sets, check)
