"""Weights of a model folder, and whether they are the weights of the model that config.json says.

transformers draws what a file lacks at random and drops what it has no place for. Here either is
an error that names the weights, unless it is known to be harmless; then it is a note or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.models.components import HEAD_MODULES, POOLERS
from calisr_engine.models.folder import weight_files

_FLOATS = {
    torch.float32: "",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float64: "float64",
}
_POOLER = re.compile(rf"(^|\.)pooler\.|^({'|'.join(POOLERS)})\.")
_OTHER_HEADS = re.compile(
    r"^(cls|lm_head|generator_predictions|generator_lm_head|discriminator_predictions|predictions"
    r"|sop_classifier|vocab_transform|vocab_layer_norm|vocab_projector|lm_predictions"
    r"|decoder|mask_predictions|qa_outputs|seq_relationship|classifier|pre_classifier"
    r"|sequence_summary)\."
)
"""Heads of pretraining and of other tasks: every pretrained checkpoint has one, none is missed."""
_BUFFERS = re.compile(r"(^|\.)(position_ids|token_type_ids)$")
_ALIASES = re.compile(r"\.word_embeddings\._weight$")
"""A second name of a table in the published mDeBERTa."""
_BODY = re.compile(r"^(embeddings|embeddings_project|encoder|transformer|layers)\.")


def read_weights(folder: Path, headers_only: bool = False) -> dict[str, Tensor]:
    """All tensors of the folder by their names in the file, in memory of their own.

    Args:
        headers_only: read shapes and types alone; the tensors are on the meta device.

    Raises:
        UnavailableError: a file is cut short, damaged or not safetensors.
    """
    found: dict[str, Tensor] = {}
    for file, names in weight_files(folder).items():
        try:
            tensors = _headers(file) if headers_only else load_file(file)
        except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
            raise UnavailableError(
                f"model.name: {file} cannot be loaded, as it is not a whole safetensors file: "
                f"{str(error)[:200]}",
                "copy or download it again",
            ) from error
        lacking = sorted(set(names or ()) - set(tensors))
        if lacking:
            raise UnavailableError(
                f"model.name: {file} lacks what its index promises: {listed(lacking)}",
                "copy or download it again",
            )
        # Tensors of safetensors are a window on the file: whoever writes to it changes them.
        found |= {name: tensors[name].clone() for name in names or tensors}
    return found


def _headers(file: Path) -> dict[str, Tensor]:
    """Tensors without content; safetensors itself checks that the file is as long as they are."""
    with safe_open(file, framework="pt") as opened:
        found = {}
        for name in opened.keys():  # noqa: SIM118
            part = opened.get_slice(name)
            shape = part.get_shape()
            dtype = (part[:0] if shape else opened.get_tensor(name)).dtype
            found[name] = torch.empty(shape, dtype=dtype, device="meta")
        return found


def check_types(weights: Mapping[str, Tensor]) -> list[str]:
    """Notes on the number types of the file.

    Raises:
        ConfigError: a weight is no floating-point number: quantised, or not a weight.
    """
    kinds: dict[str, int] = {}
    for name, tensor in weights.items():
        if _BUFFERS.search(name):
            continue
        if tensor.dtype not in _FLOATS:
            raise ConfigError(
                f"model.name: {name} is of type {str(tensor.dtype).removeprefix('torch.')}; "
                "weights to train must be floating-point numbers of 16 bits or more",
                "use a checkpoint that is not quantised",
            )
        kinds[_FLOATS[tensor.dtype]] = kinds.get(_FLOATS[tensor.dtype], 0) + 1
    other = sorted(kind for kind in kinds if kind)
    if not other:
        return []
    return [f"the weights of the file are {' and '.join(other)}; they are trained as float32"]


def check_fit(model: nn.Module, info: Mapping[str, Any], source: str) -> list[str]:
    """Notes on what the file lacks and what of it is not used; the head is no matter of this.

    Args:
        info: transformers' loading info.
        source: the model's name.

    Raises:
        ConfigError: a weight of the body is missing, of another shape, or has no place.
    """
    missing = sorted(name for name in info["missing_keys"] if not is_head(name))
    surplus = sorted(name for name in info["unexpected_keys"] if not _is_usual(name))
    lost = [name for name in missing if not _POOLER.search(name)]
    lost += [
        f"{name} {tuple(file)} for {tuple(own)}"
        for name, file, own in sorted(info["mismatched_keys"])
        if not is_head(name)
    ]
    if lost:
        beside = f"; the file holds {listed(surplus)} in vain" if surplus else ""
        raise ConfigError(
            f"model.name: the weights of {source} do not fit its config.json: {listed(lost)} "
            f"missing or of another shape{beside}",
            "use a complete checkpoint of this architecture, with transformers' own names",
        )
    own = {_of_any_layer(name) for name in model.state_dict()}
    layers = [name for name in surplus if _of_any_layer(name) in own]
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    foreign = [
        name
        for name in surplus
        if name not in layers
        and not _ALIASES.search(name)
        and (name.startswith(prefix) or _BODY.match(name))
    ]
    if foreign:
        raise ConfigError(
            f"model.name: {source} holds weights inside the encoder that this architecture does "
            f"not use: {listed(foreign)}",
            "without them it would be another model; use a standard checkpoint",
        )
    notes = []
    if missing:
        notes.append(
            f"{source} has no pooler in its weights; it is drawn from the seed ({listed(missing)})"
        )
    if layers:
        notes.append(
            f"{source} holds {len(layers)} weights of layers beyond those of its config.json, "
            f"which does not use them: {listed(layers)}"
        )
    rest = [name for name in surplus if name not in layers]
    if rest:
        notes.append(f"{source} holds weights that this architecture does not use: {listed(rest)}")
    return notes


def check_names(weights: Mapping[str, Tensor], prefix: str, source: str) -> None:
    """Refuse a file that holds a weight under two of the names that transformers reads it by.

    Args:
        prefix: of the encoder's names ("bert").

    Raises:
        ConfigError: one of the two would be dropped.
    """
    by_own: dict[str, list[str]] = {}
    for name in weights:
        own = name.removeprefix(f"{prefix}.")
        own = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", own)
        by_own.setdefault(re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", own), []).append(name)
    twice = [" and ".join(names) for names in by_own.values() if len(names) > 1]
    if twice:
        raise ConfigError(
            f"model.name: {source} holds weights under two names: {listed(twice)}",
            "only one of each can be used; save the model again with save_pretrained",
        )


def check_finite(model: nn.Module) -> None:
    """Check that every weight is a number.

    Raises:
        ConfigError: some are NaN or infinite; the message names them.
    """
    broken = [
        name
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if broken:
        raise ConfigError(
            f"model.name: {listed(broken)} hold values that are not numbers (NaN or infinite)",
            "the checkpoint is of a training that diverged, or damaged; use another",
        )


def is_head(name: str) -> bool:
    """Whether a weight of this name belongs to the classification head."""
    return name.split(".", 1)[0] in HEAD_MODULES


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    given = list(names)
    more = f" and {len(given) - most} more" if len(given) > most else ""
    return ", ".join(given[:most]) + more


def _of_any_layer(name: str) -> str:
    return re.sub(r"\.\d+\.", ".0.", name)


def _is_usual(name: str) -> bool:
    return bool(_OTHER_HEADS.match(name) or _BUFFERS.search(name) or _POOLER.search(name))
