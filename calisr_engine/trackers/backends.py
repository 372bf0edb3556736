"""Starting accelerate's trackers: what each is told of the run, and how a resumed run goes on."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from calisr_engine.config.schema import RunConfig
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import write_text
from calisr_engine.trackers.scalars import hyperparameters

Kept = dict[str, Any]
"""What a run remembers of its run at a tracker, in trackers/NAME.json."""


def start(name: str, config: RunConfig, paths: RunPaths, resumed_from: int | None) -> Any:
    """Start one of accelerate's trackers for a run; may block on the network, and may raise.

    Args:
        resumed_from: step that a resumed run goes on from; None for a fresh one.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    file = paths.trackers / f"{name}.json"
    kept = _read(file)
    paths.trackers.mkdir(exist_ok=True)
    if name == "wandb" and "id" not in kept:
        kept["id"] = uuid.uuid4().hex[:12]
        _write(file, kept)
    positional, named = arguments(name, config.output.tracker_project, paths, kept, resumed_from)
    tracker: Any = LOGGER_TYPE_TO_CLASS[name](*positional, **named)
    tracker.start()
    kept |= _identity(name, tracker)
    if not kept.get("configured"):
        tracker.store_init_configuration(hyperparameters(config.model_dump(mode="json")))
        kept["configured"] = True
    _write(file, kept)
    return tracker


def arguments(
    name: str, project: str, paths: RunPaths, kept: Kept, resumed_from: int | None
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of a tracker's class, by position and by name.

    All but TensorBoard sort runs into projects. W&B, MLflow and trackio go on in the run that is
    kept; TensorBoard writes on in its folder, and hides steps that are taken twice.
    """
    run_id = paths.root.resolve().name
    if name == "tensorboard":
        purge = None if resumed_from is None else resumed_from + 1
        return [paths.tensorboard.name, str(paths.root)], {"purge_step": purge}
    if name == "wandb":
        quiet = {"silent": True, "console": "off"}
        same = {"id": kept["id"], "resume": "allow"}
        return [project], {"name": run_id, "dir": str(paths.trackers), "settings": quiet} | same
    if name == "mlflow":
        return [project], {"run_id": kept["id"]} if "id" in kept else {"run_name": run_id}
    if name == "trackio":
        if "id" in kept:
            return [project], {"name": kept["id"], "resume": "allow", "embed": False}
        return [project], {"name": run_id, "embed": False}
    return [project], {}


def _identity(name: str, tracker: Any) -> Kept:
    if name == "mlflow":
        return {"id": tracker.tracker.info.run_id}
    if name == "trackio":
        return {"id": tracker.tracker.name}
    return {}


def _read(file: Path) -> Kept:
    try:
        return read_json(file)
    except (OSError, ValueError):
        return {}


def _write(file: Path, kept: Kept) -> None:
    write_text(file, json.dumps(kept) + "\n", "the tracker's note")
