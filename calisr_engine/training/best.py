"""The best model so far: weights and validation logits in `best/step-N`, sealed like checkpoints.

A checkpoint counts on the best model that it names, so a best model goes only when no kept
checkpoint names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from calisr_engine.errors import DamagedError
from calisr_engine.storage.sealed import MANIFEST, sealed_folder, verified
from calisr_engine.storage.whole import remove, sweep, tensor_bytes

WEIGHTS = "weights.safetensors"
LOGITS = "logits.safetensors"


def save(
    folder: Path, step: int, weights: Mapping[str, Tensor], logits: Mapping[str, Tensor]
) -> None:
    """Keep `weights` as the best model; older ones stay until `prune`.

    Args:
        weights: dense ones under transformers' names where the method merges, else the model's own.
        logits: float32 (examples, classes) of each validation set.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    place, hint = _place(folder, step), "then `calisr resume` the run"
    needs = tensor_bytes(weights) + tensor_bytes(logits)
    with sealed_folder(place, {"step": step}, "the best model", hint, needs) as part:
        plain = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
        save_file(plain, part / WEIGHTS)
        save_file(dict(logits), part / LOGITS)


def verify(folder: Path, step: int) -> None:
    """Raise DamagedError unless the best model of `step` is there and whole.

    Runs before format 2 of checkpoints wrote no manifest; theirs is whole if its files open.
    """
    place = _place(folder, step)
    if place.is_dir() and not (place / MANIFEST).exists():
        for name in (WEIGHTS, LOGITS):
            _load(place / name)
        return
    verified(place)


def weights(folder: Path, step: int) -> dict[str, Tensor]:
    """The weights that `save` kept for `step`.

    Raises:
        DamagedError: they are missing or damaged.
    """
    verify(folder, step)
    return _load(_place(folder, step) / WEIGHTS)


def logits(folder: Path, step: int) -> dict[str, Tensor]:
    """The validation logits that `save` kept for `step`, by validation set.

    Raises:
        DamagedError: they are missing or damaged.
    """
    verify(folder, step)
    return _load(_place(folder, step) / LOGITS)


def prune(folder: Path, keep: Collection[int]) -> None:
    """Delete the best models of other steps than `keep`, and leftovers of interrupted writes."""
    sweep(folder)
    names = {f"step-{step}" for step in keep}
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.startswith("step-") and path.name not in names:
                remove(path)


def _place(folder: Path, step: int) -> Path:
    return folder / f"step-{step}"


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # the library has no common base class of its errors
        raise DamagedError(f"{path.name} of the best model cannot be read: {error}") from error
