"""What cannot fit: sizes that are refused before anything of them is allocated.

A system that promises more memory than it has ends a process without a word once the memory is
used, so whatever surely needs more than there is must be refused beforehand. These are lower
bounds: what passes can still run out of memory.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import SHARED_LAYERS

if TYPE_CHECKING:
    import torch

FLOAT_BYTES = 4

_SIZES: dict[str, int] = {
    "hidden_size": 10**6,
    "head_dim": 10**6,
    "dim": 10**6,
    "embedding_size": 10**6,
    "intermediate_size": 10**7,
    "hidden_dim": 10**7,
    "num_hidden_layers": 10**4,
    "n_layers": 10**4,
    "num_hidden_groups": 10**4,
    "inner_group_num": 10**3,
    "num_attention_heads": 10**5,
    "num_key_value_heads": 10**5,
    "n_heads": 10**5,
    "vocab_size": 10**8,
    "max_position_embeddings": 10**8,
    "type_vocab_size": 10**6,
    "num_labels": 10**6,
}
"""Keys of config.json that say how large a model is -> the largest that is believed."""

_SHARES = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "classifier_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "seq_classif_dropout",
    "pooler_dropout",
    "cls_dropout",
)
"""Keys of shares: with dropout of 1 nothing is left to learn from."""

_WITHOUT_TYPES = {"deberta", "deberta-v2"}

_GROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container's limit stands."""


def machine_bytes(device: torch.device | None = None) -> int:
    """Memory that a process can have at most, on a GPU or (None, other devices) this machine."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [int(psutil.virtual_memory().total + psutil.swap_memory().total)]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    for file in _GROUPS:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # no such limit; v2 writes "max" for none
            continue
    return min(limit for limit in limits if limit > 0)


def check_sizes(content: Mapping[str, Any], folder: Path) -> None:
    """Refuse a config.json whose sizes are no sizes, or whose shares no shares.

    Raises:
        ConfigError: one is no such number, or beyond what any model has.
    """
    for key, most in _SIZES.items():
        value = content.get(key)
        least = 1
        if key == "type_vocab_size" and content.get("model_type") in _WITHOUT_TYPES:
            least = 0
        if value is None or (type(value) is int and least <= value <= most):
            continue
        raise ConfigError(
            f"model.name: {folder / 'config.json'} says {key} = {str(value)[:40]}, where a whole "
            f"number from {least} to {most:,} is expected",
            "the file is damaged; copy or save the model again",
        )
    for key in _SHARES:
        value = content.get(key)
        if value is not None and not (type(value) in (int, float) and 0 <= value < 1):
            raise ConfigError(
                f"model.name: {folder / 'config.json'} says {key} = {str(value)[:40]}, where a "
                "share from 0 to below 1 is expected",
                "the file is damaged; copy or save the model again",
            )


def least_parameters(config: Any) -> int:
    """At least so many parameters has an encoder of this (transformers) config."""
    hidden = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", 0) or getattr(config, "hidden_dim", 0))
    layers = int(config.num_hidden_layers)
    if config.model_type in SHARED_LAYERS:
        layers = int(config.num_hidden_groups) * int(config.inner_group_num)
    width = int(getattr(config, "embedding_size", 0) or hidden)
    heads = int(getattr(config, "num_attention_heads", 0) or 1)
    groups = int(getattr(config, "num_key_value_heads", 0) or heads)
    attention = hidden * hidden * (1 + min(groups, heads) / heads)
    return int(config.vocab_size) * width + int(layers * (2 * attention + 2 * hidden * inner))


def check_fits(bytes_needed: int, what: str, mend: str, device: torch.device | None = None) -> None:
    """Refuse what surely needs more memory than there is.

    Args:
        what: with the setting's key, such as "training.batch_size: a batch of 9,000 rows".

    Raises:
        ConfigError: it does.
    """
    there = machine_bytes(device)
    if bytes_needed > there:
        where = "the GPU" if device is not None and device.type == "cuda" else "this machine"
        raise ConfigError(
            f"{what} needs at least {_size(bytes_needed)} of memory; {where} has {_size(there)}",
            mend,
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
