"""What a run began with, in hashes: it goes on only with the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

PARTS = ("weights of the model", "weights of the model", "config.json of the model", "tokenizer")
"""Of a model's fingerprint, in order. Version 0.1.0 knew the first alone, a sample of the weights;
the second covers all of them."""


def of_model(model: nn.Module, config: Any, tokenizer: Any, folder: Path) -> str:
    """The fingerprint of a model before anything of it changes: one hash a part, dots between."""
    file = folder / "config.json"
    settings = file.read_bytes() if file.is_file() else config.to_json_string().encode()
    hashes = (_sample(model), _all(model), _short(settings), _short(_words(tokenizer)))
    return ".".join(hashes)


def changed(stored: str, now: str) -> list[str]:
    """Which parts of `DATA/MODEL` fingerprints differ, in words; parts that the older of the two
    does not have are not compared."""
    data_then, _, model_then = stored.rpartition("/")
    data_now, _, model_now = now.rpartition("/")
    found = ["data"] if data_then != data_now else []
    pairs = zip(PARTS, model_then.split("."), model_now.split("."), strict=False)
    found += [part for part, then, since in pairs if then != since]
    return list(dict.fromkeys(found))


def _sample(model: nn.Module) -> str:
    """SHA-256 over a part of every parameter."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        digest.update(str(tuple(parameter.shape)).encode())
        flat = parameter.detach().reshape(-1)
        stride = max(1, flat.numel() // 4096)
        digest.update(flat[::stride].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _all(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        plain = parameter.detach().contiguous().reshape(-1).view(torch.uint8)
        digest.update(plain.numpy().tobytes())
    return digest.hexdigest()[:16]


def _words(tokenizer: Any) -> bytes:
    """All that decides how a text becomes numbers, as far as the tokenizer tells."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = sorted(tokenizer.get_vocab().items()) if backend is None else backend.to_str()
    around = (
        tokenizer.model_max_length,
        tokenizer.padding_side,
        tokenizer.truncation_side,
        tokenizer.pad_token_id,
        list(tokenizer.model_input_names),
    )
    return repr((type(tokenizer).__name__, words, around)).encode()


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
