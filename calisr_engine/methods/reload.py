"""Opening a model whose architecture its method changed (adapters, prefixes).

    from calisr_engine.methods.reload import load_with_method
    model = load_with_method("FOLDER")

The folder, written by `calisr_engine.results.with_method`, holds config.json, the tokenizer,
`calisr_method.json` (the method's settings) and `calisr_model.safetensors` (all weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from calisr_engine.errors import UnavailableError
from calisr_engine.methods import registry
from calisr_engine.methods.base import AttachContext
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.components import find_targets, take_apart
from calisr_engine.models.folder import OWN_EXPORT
from calisr_engine.models.load import opener
from calisr_engine.randomness import aside
from calisr_engine.storage.plain import read_json
from calisr_engine.task_kinds import kind_of_export

WEIGHTS = "calisr_model.safetensors"
METHOD = OWN_EXPORT
FORMAT = 1


def load_with_method(folder: Path | str) -> nn.Module:
    """The classifier that `save_with_method` wrote, on the CPU and in evaluation mode.

    Raises:
        UnavailableError: the folder holds no such model, or a damaged one.
    """
    from transformers import AutoConfig

    folder = Path(folder)
    settings = read_settings(folder)
    try:
        content = read_json(folder / "config.json")
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        weights = load_file(folder / WEIGHTS)
    except Exception as error:
        raise UnavailableError(
            f"{folder} cannot be opened: {error}", "the folder is not complete; export it again"
        ) from error
    with aside():
        model = opener(kind_of_export(content)).from_config(config, dtype=torch.float32)
    take_apart(model)
    attach_for_reading(model, settings)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UnavailableError(
            f"the weights in {folder} do not fit its config.json and {METHOD}",
            "the folder is damaged; export it again",
        ) from error
    return model.eval()


def attach_for_reading(model: nn.Module, settings: MethodBase) -> None:
    """Give `model` the parts that its method adds, to be filled with trained weights."""
    names = settings.covered(False)
    targets = [target for target in find_targets(model) if target.component in names]
    registry.get(settings.name).attach(model, targets, settings, _context())


def read_settings(folder: Path) -> MethodBase:
    """The method's settings in an exported folder.

    Raises:
        UnavailableError: there are none, or they cannot be read.
    """
    try:
        content = read_json(folder / METHOD)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, this version reads {FORMAT}")
        values = dict(content["method"])
        return METHODS[values["name"]].model_validate(values)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise UnavailableError(
            f"{folder} holds no readable {METHOD}: {error}",
            f"name the exported folder of a model that was trained with {_loaded_here()}; other "
            "exports open with transformers' from_pretrained",
        ) from error


def _loaded_here() -> str:
    return " or ".join(each.title for each in METHODS.values() if each.changes_architecture)


def _context() -> AttachContext:
    def no_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        raise AssertionError("nothing trains here")

    return AttachContext(
        seed=0,
        calibrated=False,
        learning_rate=0.0,
        lft_learning_rate=None,
        weight_decay=0.0,
        max_grad_norm=0.0,
        total_steps=0,
        gradient_batches=lambda limit: [],
        forward_loss=no_loss,
        resuming=True,
    )
