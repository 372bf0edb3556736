"""`calisr export`: a copy of a run's exported model, or only its adapter where that is right."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import ConfigError, NotFoundError
from calisr_engine.methods import registry
from calisr_engine.models.components import find_targets, head_parameters
from calisr_engine.models.load import load_model
from calisr_engine.results.best_model import verify_exported
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import whole_folder


def export_run(run_dir: Path, folder: Path, adapter_only: bool = False) -> None:
    """Write the best model of a finished run to `folder`.

    Raises:
        ConfigError: `folder` exists, or an adapter alone would be wrong.
        NotFoundError: the run has no exported model (yet).
        UnavailableError: the exported model is damaged.
        StorageError: `folder` cannot be written.
    """
    paths = RunPaths(run_dir)
    if folder.exists():
        raise ConfigError(f"{folder} exists already", "name a folder that does not exist")
    if not paths.model.is_dir():
        view = load_view(run_dir)
        raise NotFoundError(
            f"{run_dir.name} has no exported model (state: {view.state})",
            "a run exports its best model when it completes, unless output.export is false",
        )
    verify_exported(paths.model)
    needs = sum(each.stat().st_size for each in paths.model.rglob("*") if each.is_file())
    needed = None if adapter_only else needs
    with whole_folder(folder, "the exported model", "then export again", needed) as part:
        if adapter_only:
            write_adapter(paths, part)
        else:
            shutil.copytree(paths.model, part, dirs_exist_ok=True)


def write_adapter(paths: RunPaths, folder: Path) -> None:
    """Only the light part, where the base was never trained.

    Whether it was is not asked of the settings but of the weights: everything but the head and the
    covered matrices must be that of the base, to the bit.
    """
    config = from_resolved(paths.config)
    merged = load_file(paths.model / "model.safetensors")
    plain = read_json(paths.model / "config.json")
    loaded = load_model(
        config.model,
        num_labels=len(plain.get("id2label", {})) or 1,
        kind="regression" if plain.get("problem_type") == "regression" else "classification",
        seed=config.training.seed,
    )
    covered = [
        target.name
        for target in find_targets(loaded.model)
        if target.component in config.method.covered(False)
    ]
    head = {id(parameter) for parameter in head_parameters(loaded.model)}
    free = {f"{name}.weight" for name in covered}
    for name, parameter in loaded.model.named_parameters():
        if name in free or id(parameter) in head:
            continue
        if not torch.equal(merged[name], parameter.detach()):
            raise ConfigError(
                f"--adapter-only: the run trained {name} of the base too, so an adapter on the "
                "original base would be another, wrong model",
                "export the merged model: leave --adapter-only out; a plain LoRA run with "
                "method.reference=true trains the adapter and the head alone",
            )
    method = registry.get(config.method.name)
    method.write_adapter(loaded.model, covered, merged, config.method, config.model.name, folder)
    loaded.tokenizer.save_pretrained(folder)
