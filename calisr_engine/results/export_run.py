"""`calisr export`: a run's best model as a folder, or only its adapter where that is right."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import ConfigError, NotFoundError
from calisr_engine.methods import registry
from calisr_engine.models.blocks import Blocks, apart
from calisr_engine.models.components import find_targets, head_parameters
from calisr_engine.models.load import load_model
from calisr_engine.results.best_model import (
    best_weights,
    export_counts,
    rebuild,
    verify_exported,
)
from calisr_engine.results.plain_export import CardFacts, export_merged
from calisr_engine.results.run_task import class_names, task_of
from calisr_engine.results.with_method import save_with_method
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import whole_folder
from calisr_engine.task_kinds import kind_of_export


def export_run(run_dir: Path, folder: Path, adapter_only: bool = False) -> None:
    """Write the best model of a run to `folder`: a copy of its export, else built from `best/`.

    Raises:
        ConfigError: `folder` exists, or an adapter alone would be wrong.
        NotFoundError: the run has no best model (yet); for an adapter, no exported one.
        UnavailableError: it is damaged, or the model that the run began with is not here.
        StorageError: `folder` cannot be written.
    """
    paths = RunPaths(run_dir)
    if folder.exists():
        raise ConfigError(f"{folder} exists already", "name a folder that does not exist")
    if not export_counts(run_dir):
        if adapter_only:
            raise NotFoundError(
                f"{run_dir.name} has no export of its best model (state: "
                f"{load_view(run_dir).state}), which --adapter-only takes the adapter from",
                "a run exports its best model when it completes, unless output.export is false; "
                "the merged model can be had now: leave --adapter-only out",
            )
        export_from_best(run_dir, folder)
        return
    verify_exported(paths.model)
    needs = sum(each.stat().st_size for each in paths.model.rglob("*") if each.is_file())
    needed = None if adapter_only else needs
    with whole_folder(folder, "the exported model", "then export again", needed) as part:
        if adapter_only:
            write_adapter(paths, part)
        else:
            shutil.copytree(paths.model, part, dirs_exist_ok=True)


def export_from_best(run_dir: Path, folder: Path) -> None:
    """Write the model in `best/`, as the run itself would have exported it at its end."""
    config = from_resolved(RunPaths(run_dir).config)
    task, view = task_of(config), load_view(run_dir)
    weights = best_weights(run_dir)
    names = class_names(run_dir, config) if task.has_classes else ()
    model, tokenizer = rebuild(config, names, task.kind, weights)
    plain = not config.method.changes_architecture
    card = CardFacts.of(
        config,
        synthetic=view.synthetic_data,
        switched={group: (view.switched or {}).get(group) for group in view.groups},
        metric=view.metric,
        best=view.best,
        best_step=view.best_step,
        last=view.last,
        label_names=names or None,
        plain=plain,
    )
    if plain:
        export_merged(weights, model, tokenizer, folder, card, "then export again")
    else:
        save_with_method(model, tokenizer, folder, config.method, weights, card)


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
        kind=kind_of_export(plain).name,
        seed=config.training.seed,
    )
    covered = [
        target.name
        for target in find_targets(loaded.model)
        if target.component in config.method.covered(False)
    ]
    merged = apart(loaded.model, merged)
    parents = {name: loaded.model.get_submodule(name.rpartition(".")[0]) for name in covered}
    blocks = [name for name, parent in parents.items() if isinstance(parent, Blocks)]
    if blocks:
        raise ConfigError(
            f"--adapter-only: {blocks[0]} is a block of rows of a matrix that the base has whole, "
            "and an adapter file names whole matrices",
            "export the merged model: leave --adapter-only out",
        )
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
