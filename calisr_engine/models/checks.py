"""What of a checkpoint is refused or noted: nothing is filled in or dropped in silence."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.models.components import ARCHITECTURES

HEAD = ("classifier.", "pre_classifier.", "score.")
"""Beginnings of the names of a classification head."""

PRETRAINING = (
    "cls.",
    "lm_head.",
    "lm_predictions.",
    "mask_predictions.",
    "discriminator_predictions.",
    "generator_predictions.",
    "generator_lm_head.",
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "qa_outputs.",
    *HEAD,
)
"""Heads of other tasks, which a classifier never needs."""

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")
SENTENCEPIECE = ("spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
ADAPTER, OWN_METHOD = "adapter_config.json", "calisr_method.json"


def check_folder(folder: Path, need_weights: bool) -> None:
    """Refuse a folder that lacks something, before any library guesses at it.

    Raises:
        UnavailableError: with the file that is missing or cannot be used.
    """
    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        raise UnavailableError(
            f"model.name: {folder} holds an adapter, not a model",
            "name the model that it was made for, or a folder into which it was merged",
        )
    if (folder / OWN_METHOD).is_file():
        raise UnavailableError(
            f"model.name: {folder} is the export of a method that changed the architecture, which "
            "cannot be trained further",
            "name the model that the run began with",
        )
    config = _json_object(folder / "config.json", "give the folder that save_pretrained wrote")
    if config.get("model_type") not in ARCHITECTURES:
        return  # which is refused by name once it is loaded
    _check_tokenizer_files(folder)
    if need_weights:
        _check_weight_files(folder)


def _json_object(file: Path, mend: str) -> dict[str, Any]:
    if not file.is_file():
        raise UnavailableError(f"model.name: {file.parent} holds no {file.name}", mend)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise UnavailableError(f"model.name: {file} cannot be read: {error}", mend) from error
    return content


def _check_tokenizer_files(folder: Path) -> None:
    """Without its files a tokenizer is made up: every word becomes [UNK]."""
    if any((folder / name).is_file() for name in TOKENIZERS):
        return
    pieces = [name for name in SENTENCEPIECE if (folder / name).is_file()]
    if not pieces:
        raise UnavailableError(
            f"model.name: {folder} holds no tokenizer (one of {', '.join(TOKENIZERS)})",
            "copy the tokenizer's files of the same model there: tokenizer.save_pretrained",
        )
    if importlib.util.find_spec("sentencepiece") is None:
        raise UnavailableError(
            f"model.name: {folder} has its tokenizer in {pieces[0]} alone, which the package "
            "sentencepiece reads",
            "pip install sentencepiece, or save the tokenizer with a tokenizer.json",
        )


def _check_weight_files(folder: Path) -> None:
    mend = "save it again with save_pretrained of a current transformers"
    for index in sorted(folder.glob("*.safetensors.index.json")):
        named = _json_object(index, mend).get("weight_map")
        files = set(named.values()) if isinstance(named, dict) else set()
        odd = sorted(str(each) for each in files if not str(each).endswith(".safetensors"))
        if odd:
            raise UnavailableError(
                f"model.name: {index.name} names {odd[0]}, which is no safetensors file; pickles "
                "are never loaded",
                mend,
            )
        gone = sorted(each for each in files if not (folder / each).is_file())
        if gone:
            raise UnavailableError(f"model.name: {folder} lacks {gone[0]}", "copy it there")
    if not list(folder.glob("*.safetensors")):
        others = sorted(p.name for end in ("bin", "pt", "pkl") for p in folder.glob(f"*.{end}"))
        why = f" (only {others[0]}, a pickle, which is never loaded)" if others else ""
        raise UnavailableError(f"model.name: {folder} holds no weights in safetensors{why}", mend)


def notes_on_weights(name: str, info: Mapping[str, Any]) -> list[str]:
    """What a user should know of weights that were missing or left over.

    Args:
        info: transformers' loading info (missing, unexpected and mismatched keys).

    Raises:
        ConfigError: weights of the body are missing or of another shape; transformers would draw
            them at random.
    """
    missing = sorted(map(str, info.get("missing_keys", ())))
    mismatched = sorted(_first(each) for each in info.get("mismatched_keys", ()))
    lost = [each for each in [*missing, *mismatched] if not each.startswith(HEAD)]
    pooler = [each for each in lost if "pooler." in each and each in missing]
    body = [each for each in lost if each not in pooler]
    if body:
        raise ConfigError(
            f"model.name: the weights of {name} do not fit its config.json: {_some(body)} "
            "missing or of another shape",
            "use a complete checkpoint of this architecture",
        )
    notes = []
    if pooler:
        notes.append(f"{name} has no pooler in its weights; it is drawn from the seed")
    surplus = sorted(
        each
        for each in map(str, info.get("unexpected_keys", ()))
        if not each.startswith(PRETRAINING)
        and "pooler." not in each
        and not each.endswith("position_ids")
    )
    if surplus:
        notes.append(f"{name} holds weights that this architecture does not use: {_some(surplus)}")
    return notes


def check_finite(name: str, model: nn.Module) -> None:
    """Refuse weights that are not numbers.

    Raises:
        ConfigError: with the first of them.
    """
    for key, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ConfigError(
                f"model.name: {key} of {name} holds values that are not numbers",
                "the checkpoint is damaged or its training failed; use another",
            )


def _first(mismatched: Any) -> str:
    """transformers names a mismatch by its key, or by key and shapes."""
    return str(mismatched[0] if isinstance(mismatched, tuple | list) else mismatched)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + rest
