"""`calisr export`: a copy of a run's exported model, or only its adapter where that is right."""

from __future__ import annotations

import shutil
from pathlib import Path

from calisr_engine.errors import ConfigError, NotFoundError
from calisr_engine.results.plain_export import refuse_adapter_only
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.whole import whole_folder


def export_run(run_dir: Path, folder: Path, adapter_only: bool = False) -> None:
    """Write the best model of a finished run to `folder`.

    Raises:
        ConfigError: `folder` exists, or an adapter alone would be wrong.
        NotFoundError: the run has no exported model (yet).
        StorageError: `folder` cannot be written.
    """
    paths = RunPaths(run_dir)
    if adapter_only:
        view = load_view(run_dir)
        # In every run the biases and LayerNorm of the base train beside the adapter, unless the
        # reference habit freezes them; and a run that began in FFT trained all of the base.
        plain = view.variant == "off" and not view.setting("schedule", "switch_at")
        base_trained = not (plain and view.setting("method", "reference"))
        refuse_adapter_only(view.method, base_trained)
        raise ConfigError(
            "--adapter-only: the run directory keeps the merged weights only",
            "export the merged model: leave --adapter-only out",
        )
    if folder.exists():
        raise ConfigError(f"{folder} exists already", "name a folder that does not exist")
    if not paths.model.is_dir():
        view = load_view(run_dir)
        raise NotFoundError(
            f"{run_dir.name} has no exported model (state: {view.state})",
            "a run exports its best model when it completes, unless output.export is false",
        )
    with whole_folder(folder, "the exported model") as part:
        shutil.copytree(paths.model, part, dirs_exist_ok=True)
