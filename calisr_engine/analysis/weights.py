"""The target matrices of a run, a checkpoint, an exported model or a model of the catalogue."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from calisr_engine.config.load import from_resolved
from calisr_engine.config.names import nearest
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, NotFoundError, UnavailableError
from calisr_engine.methods import registry
from calisr_engine.methods.base import dense_matrices
from calisr_engine.models import catalog
from calisr_engine.models.architectures import (
    ARCHITECTURES,
    Located,
    Places,
    is_complete,
    located,
    parse_places,
)
from calisr_engine.models.component_names import COMPONENTS
from calisr_engine.models.components import OWN_PLACES, find_targets
from calisr_engine.models.folder import check_architecture
from calisr_engine.models.mapping import by_rule
from calisr_engine.models.settings import ModelSettings
from calisr_engine.plain_words import command
from calisr_engine.runs import store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.training import checkpoint as checkpoints

WHAT = (
    "give a run directory, a checkpoint of one (RUN/checkpoints/step-N), an exported model folder, "
    "or a model of `calisr models`"
)


@dataclass(frozen=True)
class TargetWeights:
    """Attributes: label: what they are, in a few words; matrices: "LAYER.component" -> (out, in),
    float32 or float64, layer by layer in the order of COMPONENTS."""

    label: str
    matrices: Mapping[str, Tensor]

    def choose(self, wanted: Sequence[str]) -> list[str]:
        """Names of targets: "LAYER.component", a component for all layers, a layer for all of it.

        Raises:
            NotFoundError: there is none of that name; the hint names the nearest.
        """
        if not wanted:
            return list(self.matrices)
        chosen: list[str] = []
        for word in wanted:
            found = [name for name in self.matrices if word in (name, *name.split(".", 1))]
            if not found:
                near = nearest(word, [*self.matrices, *COMPONENTS])
                raise NotFoundError(
                    f"{self.label} has no target {word!r}",
                    f"did you mean {near}?"
                    if near
                    else f"targets are LAYER.component, such as {next(iter(self.matrices))}; the "
                    f"components are {', '.join(COMPONENTS)}",
                )
            chosen += [name for name in found if name not in chosen]
        return chosen


def read_weights(source: str | Path, output_dir: Path = Path("runs")) -> TargetWeights:
    """The target matrices of `source`.

    Args:
        source: a run directory (its newest checkpoint counts), the id of a run in `output_dir`, a
            checkpoint (`checkpoints/step-N` or `best/step-N` of a run), a transformers folder, or
            the name of a model of the catalogue.

    Raises:
        NotFoundError: there is no such thing, or it has no weights.
        UnavailableError: a model of the catalogue cannot be had here.
        ConfigError: its architecture is not supported.
        CalisrError: its weights are damaged.
    """
    path = Path(source)
    if os.path.isfile(path / checkpoints.STATE):
        return checkpoint_weights(path)
    if os.path.isfile(path / "weights.safetensors"):
        return _from_tensors(_label(path), load_file(path / "weights.safetensors"), path)
    if os.path.isfile(path / "config.json"):
        return folder_weights(path)
    if os.path.isfile(path / "events.jsonl"):
        return run_weights(path)
    if os.path.exists(path):
        raise NotFoundError(f"{path} holds no weights", WHAT)
    if catalog.find(str(source)) is not None:
        try:
            return start_weights(RunConfig(model=ModelSettings(name=str(source))))
        except UnavailableError as error:
            raise UnavailableError(error.message.removeprefix("model.name: "), WHAT) from error
    try:
        return run_weights(store.find(str(source), output_dir))
    except NotFoundError as error:
        if error.message.startswith("there is no run"):
            hint = f"{error.hint} or {WHAT}" if error.hint.startswith("did") else WHAT
            raise NotFoundError(f"there is no {str(source)!r}", hint) from error
        raise


def run_weights(run_dir: Path) -> TargetWeights:
    """The newest checkpoint of a run that verifies.

    Raises:
        NotFoundError: the run has none.
    """
    skipped = []
    for path in reversed(checkpoints.steps(RunPaths(run_dir).checkpoints)):
        try:
            return checkpoint_weights(path)
        except NotFoundError:
            raise
        except CalisrError as error:
            skipped.append(f"{path.name}: {error.message}")
    why = f"; damaged: {', '.join(skipped)}" if skipped else ""
    raise NotFoundError(
        f"{run_dir.name} has no weights yet: no checkpoint was kept{why}",
        f"a run writes checkpoints while it trains; go on with it: {command('resume', run_dir)}",
    )


def checkpoint_weights(path: Path) -> TargetWeights:
    """A checkpoint `RUN/checkpoints/step-N`, with each matrix as its method means it.

    Raises:
        NotFoundError: it does not lie in a run directory.
        CalisrError: it is damaged.
    """
    config = _config_of(path)
    tensors = checkpoints.load(path).model
    method = registry.get(config.method.name)
    dense = method.dense_matrices(tensors, config.method)
    return _ordered(_label(path), dense, config.model.components)


def folder_weights(path: Path) -> TargetWeights:
    """A transformers folder with weights in safetensors.

    Raises:
        NotFoundError: it holds none.
        ConfigError: its architecture is not supported.
        UnavailableError: a file in it cannot be read.
    """
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise NotFoundError(f"{path} holds no weights in safetensors", WHAT)
    try:
        config = read_json(path / "config.json")
        kind = config["model_type"]
        tensors = {name: tensor for file in files for name, tensor in load_file(file).items()}
    except Exception as error:
        raise UnavailableError(
            f"{path} cannot be read: {error}", "the folder is damaged; save the model again"
        ) from error
    check_architecture(str(kind), str(path))
    return _ordered(_label(path), dense_matrices(tensors), _places(config))


def start_weights(config: RunConfig) -> TargetWeights:
    """The weights that a run starts from (a pretrained model, as a rule).

    Raises:
        UnavailableError: the model cannot be had here.
    """
    from calisr_engine.models.load import load_model

    seed = config.training.seed
    settings = config.model.model_copy(update={"head": "fresh"})  # the encoder is looked at
    model = load_model(settings, num_labels=2, kind="classification", seed=seed).model
    matrices = {f"{t.layer}.{t.component}": t.weight.detach() for t in find_targets(model)}
    return TargetWeights(Path(config.model.name).name, matrices)


def same_targets(one: TargetWeights, two: TargetWeights) -> None:
    """Check that two models have the same targets in the same shapes.

    Raises:
        ConfigError: they have not.
    """
    for name in dict.fromkeys([*one.matrices, *two.matrices]):
        shapes = [
            tuple(side.matrices[name].shape) if name in side.matrices else None
            for side in (one, two)
        ]
        if shapes[0] != shapes[1]:
            said = [
                f"{side.label} has {'none' if shape is None else ' x '.join(map(str, shape))}"
                for side, shape in zip((one, two), shapes, strict=True)
            ]
            raise ConfigError(
                f"the models do not match at {name}: {said[0]}, {said[1]}",
                "compare models of one architecture and size",
            )


def total_stable_rank(weights: TargetWeights) -> float:
    """Sum of the stable ranks of all targets."""
    from calisr_engine.calibration.stable_rank import stable_rank

    by_shape: dict[torch.Size, list[Tensor]] = {}
    for matrix in weights.matrices.values():
        by_shape.setdefault(matrix.shape, []).append(matrix)
    return sum(float(stable_rank(torch.stack(batch)).sum()) for batch in by_shape.values())


def _from_tensors(label: str, tensors: Mapping[str, Tensor], path: Path) -> TargetWeights:
    return _ordered(label, dense_matrices(tensors), _config_of(path).model.components)


def _config_of(checkpoint: Path) -> RunConfig:
    """Settings of the run that a checkpoint folder lies in."""
    config = RunPaths(checkpoint.resolve().parent.parent).config
    if not config.is_file():
        raise NotFoundError(
            f"{checkpoint} does not lie in a run directory: {config} is missing",
            "a checkpoint is read together with the settings of its run",
        )
    return from_resolved(config)


def _places(config: Mapping[str, Any]) -> str | None:
    """`model.components` of the run that wrote this config.json, if it had any."""
    written = config.get(OWN_PLACES)
    return None if written is None else str(written)


def _ordered(label: str, dense: Mapping[str, Tensor], written: str | None) -> TargetWeights:
    """The targets among all dense matrices, by the architecture whose names fit.

    Args:
        written: `model.components`, where the run has them.
    """
    try:
        tried: list[Places] = [*ARCHITECTURES.values()]
        if written is not None:
            tried = [parse_places(written)]
    except ValueError as error:
        raise ConfigError(f"{label}: its {OWN_PLACES} cannot be read: {error}") from error
    if written is None:
        with contextlib.suppress(ConfigError):
            tried.append(by_rule({n: (len(w), w.shape[1]) for n, w in dense.items()}, label))
    for places in tried:
        found = located(dense, places)
        if is_complete(found, places):
            matrices = {f"{each.layer}.{each.component}": _block(dense, each) for each in found}
            return TargetWeights(label, matrices)
    raise ConfigError(
        f"{label} holds no encoder whose targets are known",
        f"supported: {', '.join(sorted(ARCHITECTURES))}, and what `calisr models FOLDER` can map",
    )


def _block(dense: Mapping[str, Tensor], target: Located) -> Tensor:
    whole, place = dense[target.name], target.place
    return whole if target.whole else whole.chunk(place.blocks)[place.block - 1]


def _label(path: Path) -> str:
    """Two parts of a path say which run and which step."""
    parts = path.resolve().parts
    if re.match(r"^step-\d+$", parts[-1]) and len(parts) > 2:
        best = " (best)" if parts[-2] == "best" else ""
        return f"{parts[-3]} {parts[-1]}{best}"
    return f"{parts[-2]}/model" if parts[-1] == "model" and len(parts) > 1 else parts[-1]
