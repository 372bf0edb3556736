"""Folders of tiny models of every supported architecture, and ways to change them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

from calisr_engine.models.architectures import ARCHITECTURES, DECODERS
from calisr_engine.models.blocks import joined
from calisr_engine.models.load import LoadedModel, load_model
from calisr_engine.models.settings import ModelSettings
from tests.slow import quick_where
from tests.training.tiny_run import LETTERS, tokenizer

NAMES = ("no", "yes")
WEIGHTS = "model.safetensors"
ROTARY = frozenset({"modernbert", "eurobert", "nomic_bert", "gte"}) | DECODERS
"""Those without a table of positions, and so without a longest input."""
TYPELESS = frozenset({"distilbert", "mpnet", "modernbert", "eurobert"}) | DECODERS
"""Those that are not told which of two texts a token is of."""
_LIKE_OTHERS = DECODERS - {"qwen2"} | {
    *("albert", "big_bird", "camembert", "electra", "eurobert", "gte", "longformer"),
    "xlm-roberta",
}
with_a_table_of_positions = pytest.mark.parametrize(
    "kind", quick_where(sorted(set(ARCHITECTURES) - ROTARY), lambda kind: kind not in _LIKE_OTHERS)
)
every_encoder = pytest.mark.parametrize(
    "kind",
    quick_where(sorted(set(ARCHITECTURES) - DECODERS), lambda kind: kind not in _LIKE_OTHERS),
)
every_architecture = pytest.mark.parametrize(
    "kind", quick_where(sorted(ARCHITECTURES), lambda kind: kind not in _LIKE_OTHERS)
)


def config_of(kind: str, labels: int = 2, **more: Any) -> Any:
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "embedding_size": 8,
        "num_hidden_groups": 2,
    }
    if kind not in ("electra", "albert"):
        sizes.pop("embedding_size")
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
    if kind == "deberta-v2":
        sizes |= {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
    if kind == "longformer":
        sizes["attention_window"] = [8] * more.get("num_hidden_layers", 2)
    if kind == "nomic_bert":
        sizes["head_dim"] = 8
    sizes |= {
        "vocab_size": 80,
        "max_position_embeddings": 40,
        "num_labels": labels,
        "pad_token_id": None if kind in DECODERS else 0,
    }
    if kind in DECODERS:
        sizes |= {"bos_token_id": None, "eos_token_id": 0, "head_dim": 8, "num_key_value_heads": 1}
    return transformers.CONFIG_MAPPING[kind](**(sizes | more))


def save(
    kind: str, folder: Path, labels: int = 2, form: str = "SequenceClassification", **more: Any
) -> Path:
    """A random model with a head of that form, and the tokenizer of letters."""
    auto = getattr(transformers, f"AutoModelFor{form}" if form else "AutoModel")
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = auto.from_config(config_of(kind, labels, **more))
        for parameter in model.parameters():  # nothing is 0 or 1 as in a fresh model
            parameter.data.add_(0.05 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    if kind in ("nomic_bert", "gte") and form == "SequenceClassification":
        # transformers saves them under their old names; these are its own.
        save_file(model.state_dict(), folder / WEIGHTS, metadata={"format": "pt"})
    (bare_tokenizer() if kind in DECODERS else tokenizer()).save_pretrained(folder)
    return folder


def bare_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Characters as tokens and nothing around them, as decoders have it: nothing pads or parts."""
    characters = ["<|end|>", "Ġ", *LETTERS, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    inner = Inner(models.BPE({each: number for number, each in enumerate(characters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|end|>", padding_side="left", model_max_length=128
    )


def load(
    folder: Path, labels: tuple[str, ...] | None = NAMES, seed: int = 1, **more: Any
) -> LoadedModel:
    settings = ModelSettings(name=str(folder), **more)
    kind = "classification" if labels else "regression"
    return load_model(settings, len(labels or "1"), kind, seed, labels)


def stored(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / WEIGHTS)


def edit(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Change the weights of the folder's file by `change`."""
    tensors = {name: tensor.clone() for name, tensor in stored(folder).items()}
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def set_config(folder: Path, name: str = "config.json", **values: Any) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def is_head(name: str) -> bool:
    return name.startswith(("classifier.", "pre_classifier.", "dense.", "score."))


def is_body(name: str) -> bool:
    return not is_head(name) and "pooler." not in name and not name.startswith("head.")


def strip_head(folder: Path) -> None:
    edit(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if is_head(name)])


def own_weights(loaded: LoadedModel) -> dict[str, Tensor]:
    """The model's tensors under transformers' names."""
    return joined(loaded.model, loaded.model.state_dict())


def same(one: LoadedModel, two: LoadedModel) -> bool:
    ours, theirs = one.model.state_dict(), two.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
