"""Tokenised texts on disk, as safetensors; a file that is damaged counts as not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from calisr_engine.storage.whole import whole_file

VERSION = "1"


def default_dir() -> Path:
    """`$CALISR_CACHE_DIR/tokens`, or the user's cache folder."""
    given = os.environ.get("CALISR_CACHE_DIR")
    if given:
        return Path(given) / "tokens"
    import platformdirs

    return Path(platformdirs.user_cache_dir("calisr")) / "tokens"


def load(folder: Path, key: str, rows: int) -> dict[str, Tensor] | None:
    """What was stored under `key`; None where it is missing, damaged or of another shape."""
    path = folder / f"{key}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception:
        # Missing, unreadable, cut short, not safetensors: all mean tokenising anew.
        return None
    if facts.get("version") != VERSION or facts.get("sha256") != _checksum(tensors):
        return None
    offsets = tensors.get("offsets")
    if offsets is None or len(offsets) != rows + 1 or not {"ids", "full"} <= set(tensors):
        return None
    return tensors


def store(folder: Path, key: str, tensors: Mapping[str, Tensor]) -> None:
    """Store under `key`, whole or not at all; does nothing where the folder cannot be written."""
    facts = {"version": VERSION, "sha256": _checksum(tensors)}
    # No space, no permission, a file where the folder should be: a cache may be missing.
    with (
        contextlib.suppress(Exception),
        whole_file(folder / f"{key}.safetensors", "the tokenised texts") as part,
    ):
        save_file(dict(tensors), part, metadata=facts)


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
