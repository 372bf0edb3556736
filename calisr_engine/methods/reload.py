"""Saving and opening a model whose architecture its method changed (adapters, prefixes).

    from calisr_engine.methods.reload import load_with_method
    model = load_with_method("FOLDER")

The folder holds config.json, the tokenizer, `calisr_method.json` (the method's settings) and
`calisr_model.safetensors` (all weights). The weights do not lie under transformers' own file name,
so that a plain `from_pretrained` fails rather than open the base without its adapters.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from calisr_engine.config.methods import Adapter, MethodBase, Prefix
from calisr_engine.errors import ConfigError, RunFailedError, UnavailableError
from calisr_engine.methods import registry
from calisr_engine.methods.base import AttachContext
from calisr_engine.models.components import find_targets
from calisr_engine.models.folder import OWN_EXPORT
from calisr_engine.results.plain_export import CardFacts, model_card

WEIGHTS = "calisr_model.safetensors"
METHOD = OWN_EXPORT
FORMAT = 1

KINDS: dict[str, type[MethodBase]] = {"adapter": Adapter, "prefix": Prefix}
"""Methods that change the architecture."""


def save_with_method(
    model: nn.Module,
    tokenizer: Any,
    folder: Path | str,
    settings: MethodBase,
    weights: Mapping[str, Tensor] | None = None,
    card: CardFacts | None = None,
) -> None:
    """Write `model`, to which a method of `settings` is attached, to `folder`, whole or not at all.

    `weights` (default: the model's own) are all tensors of its state dict. `tokenizer` may be None;
    with `card` a README.md is written too.

    Raises:
        ConfigError: the method's result is a plain model, which `save_pretrained` can hold.
        RunFailedError: the disk is full or the folder cannot be written.
    """
    name = str(getattr(settings, "name", ""))
    if name not in KINDS:
        raise ConfigError(
            f"a model trained with {settings.title} is a plain transformers model",
            "export the merged model instead",
        )
    folder = Path(folder)
    part = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    state = model.state_dict() if weights is None else weights
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        config: Any = deepcopy(model.config)
        config.architectures = [type(model).__name__]
        config.save_pretrained(part)
        save_file(
            {key: value.detach().cpu().contiguous().clone() for key, value in state.items()},
            part / WEIGHTS,
            metadata={"format": "pt"},
        )
        content = {"format": FORMAT, "method": settings.model_dump(mode="json")}
        (part / METHOD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if tokenizer is not None:
            tokenizer.save_pretrained(part)
        if card is not None:
            (part / "README.md").write_text(model_card(card), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise RunFailedError(
            f"the model could not be exported to {folder}: {error}",
            "free space there, then export again",
        ) from error


def load_with_method(folder: Path | str) -> nn.Module:
    """The sequence classifier that `save_with_method` wrote, on the CPU and in evaluation mode.

    Raises:
        UnavailableError: the folder holds no such model, or a damaged one.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = Path(folder)
    settings = read_settings(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        weights = load_file(folder / WEIGHTS)
    except Exception as error:
        raise UnavailableError(
            f"{folder} cannot be opened: {error}", "the folder is not complete; export it again"
        ) from error
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
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
    """Give `model` the parts that a method of KINDS adds, to be filled with trained weights."""
    method = registry.get(settings.name)  # type: ignore[attr-defined]
    names = settings.components or method.default_components(settings, False)
    targets = [target for target in find_targets(model) if target.component in names]
    method.attach(model, targets, settings, _context())


def read_settings(folder: Path) -> MethodBase:
    """The method's settings in an exported folder.

    Raises:
        UnavailableError: there are none, or they cannot be read.
    """
    try:
        content = json.loads((folder / METHOD).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, this version reads {FORMAT}")
        values = dict(content["method"])
        return KINDS[values["name"]].model_validate(values)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise UnavailableError(
            f"{folder} holds no readable {METHOD}: {error}",
            "name the folder of a model that was trained with adapters or prefixes and exported; "
            "other exports open with transformers' from_pretrained",
        ) from error


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
