"""The tokenizer of a model: loaded where it is whole, and made to fit the model's tables.

transformers makes up an empty tokenizer where files are missing. An adapted tokenizer gives the
model nothing that it has no row for: that holds for every text of every split, and for whoever
opens the export.
"""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

from torch import nn

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.models.folder import TOKENIZER_FILES, explained, tokenizer_files

_SETTINGS_ONLY = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
_PROBES = (
    "The Quick fox, don't",
    "naïve CAFÉ",
    "日本語 text",
    "two  spaces\tand a tab",
    "1,234.5 (x)",
)
"""Texts that tokenizers of different rules read differently."""

_COPY = "copy the tokenizer's files of the model that it was made from into that folder"


def load_tokenizer(folder: Path, may_lack_padding: bool = False) -> tuple[Any, list[str]]:
    """The tokenizer in `folder`, and notes on what transformers added to it.

    Args:
        may_lack_padding: for a decoder, which gets its padding token elsewhere.

    Raises:
        UnavailableError: its files are missing or damaged, or a package that reads them is.
        ConfigError: it cannot serve an encoder.
    """
    from transformers import AutoTokenizer

    present = {file.name for file in tokenizer_files(folder)}
    vocabularies = present - _SETTINGS_ONLY
    if not vocabularies:
        raise UnavailableError(
            f"model.name: {folder} holds no tokenizer (one of "
            f"{', '.join(name for name in TOKENIZER_FILES if name not in _SETTINGS_ONLY)})",
            _COPY,
        )
    if all(name.endswith(".model") for name in vocabularies) and not _installed("sentencepiece"):
        raise UnavailableError(
            f"model.name: the tokenizer in {folder} is {', '.join(sorted(vocabularies))}, which "
            "only the package sentencepiece reads, and that is not installed",
            "pip install sentencepiece protobuf; or save the tokenizer as tokenizer.json where "
            "both are installed",
        )
    with explained(f"the tokenizer in {folder}", local=True):
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    files = dict(getattr(tokenizer, "vocab_files_names", {}))
    whole = files.pop("tokenizer_file", None)
    if whole not in present and not set(files.values()) <= present:
        lacking = [*sorted(set(files.values()) - present), *([whole] if whole else [])]
        raise UnavailableError(
            f"model.name: {folder} lacks files of a {type(tokenizer).__name__}: "
            f"{' or '.join(lacking)}",
            f"{_COPY}, or name its class in tokenizer_config.json (tokenizer_class)",
        )
    words = len(tokenizer) - len(set(tokenizer.all_special_tokens))
    if words < 1:
        raise UnavailableError(
            f"model.name: the tokenizer in {folder} has no words beside its special tokens", _COPY
        )
    if tokenizer.pad_token_id is None and not may_lack_padding:
        raise ConfigError(f"model.name: the tokenizer in {folder} has no padding token")
    added = []
    if not present & {"tokenizer.json", "added_tokens.json"}:
        own = tokenizer.vocab_size
        special = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
        added = [token for token, number in special if number >= own]
    notes = _read_otherwise(folder, tokenizer) if whole in present else []
    if added:
        notes.append(
            f"the tokenizer's {', '.join(added)} are not in its vocabulary and were added behind "
            "it; check that tokenizer and model belong together"
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # a call of the tokenizer itself would change its state
        with explained(f"the tokenizer in {folder}", local=True):
            backend.encode("a", "b")
    return tokenizer, notes


def _read_otherwise(folder: Path, tokenizer: Any) -> list[str]:
    """A note where transformers' class makes other tokens of a text than the file itself.

    It builds some classes anew, with defaults of its own (such as lower case) where
    tokenizer_config.json does not say.

    Raises:
        ConfigError: even the kind of tokens is another, as where another class is named.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return []
    from tokenizers import Tokenizer

    name = type(tokenizer).__name__
    with explained(f"the tokenizer in {folder}", local=True):
        stored = Tokenizer.from_file(str(folder / "tokenizer.json"))
        loaded = Tokenizer.from_str(backend.to_str())
    kinds = [type(each.model).__name__ for each in (stored, loaded)]
    if kinds[0] != kinds[1]:
        raise ConfigError(
            f"model.name: tokenizer.json in {folder} is {kinds[0]}, which transformers reads as "
            f"the {kinds[1]} of a {name}",
            "name its own class in tokenizer_config.json (tokenizer_class); "
            "PreTrainedTokenizerFast takes the file as it is",
        )
    for each in (stored, loaded):
        each.no_padding()
        each.no_truncation()
    for text in _PROBES:
        ours, theirs = (each.encode(text, add_special_tokens=False) for each in (loaded, stored))
        if ours.ids != theirs.ids:
            return [
                f"transformers reads {text!r} as {' '.join(ours.tokens)}, tokenizer.json as "
                f"{' '.join(theirs.tokens)}: a {name} has rules of its own. Say in "
                "tokenizer_config.json what is right, such as do_lower_case, or name "
                "PreTrainedTokenizerFast as tokenizer_class"
            ]
    return []


def read_words(tokenizer: Any) -> None:
    """Have words that are given one by one read as they are in a text, with a blank before each.

    Byte-level tokenizers (RoBERTa's, ModernBERT's) take a blank for a part of the word behind it,
    and add none to words of their own accord. The export has the changed tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    outer = getattr(backend, "pre_tokenizer", None)
    if outer is None:
        return
    inner = list(outer) if type(outer).__name__ == "Sequence" else [outer]
    for part in inner:
        if type(part).__name__ == "ByteLevel" and not part.add_prefix_space:
            part.add_prefix_space = True
            tokenizer.init_kwargs["add_prefix_space"] = True
            tokenizer.add_prefix_space = True


def fit_tokenizer(tokenizer: Any, model: nn.Module) -> list[str]:
    """Make `tokenizer` give nothing that `model` has no row for; notes on what was done.

    Sets its longest input, and leaves out token types that the model does not tell apart.

    Raises:
        ConfigError: its ids go beyond the model's table of words.
    """
    notes = []
    config: Any = model.config
    rows = len(model.get_input_embeddings().weight)  # type: ignore[operator]
    largest = max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise ConfigError(
            f"model.name: the tokenizer has {len(tokenizer)} entries with ids up to {largest}, the "
            f"model's table of words only {rows} rows",
            "they do not belong together; use the model's own tokenizer",
        )
    if largest + 1 < rows / 2:
        notes.append(
            f"the tokenizer uses {largest + 1} of the {rows} rows of the model's table of words; "
            "check that they belong together"
        )
    padding = getattr(config, "pad_token_id", None)
    if padding is not None and padding != tokenizer.pad_token_id:
        notes.append(
            f"the tokenizer pads with id {tokenizer.pad_token_id}, the model's config.json says "
            f"{padding}; check that they belong together"
        )
    if not isinstance(tokenizer.model_max_length, int | float):
        raise ConfigError(
            "model.name: tokenizer_config.json says model_max_length = "
            f"{str(tokenizer.model_max_length)[:40]!r}, where a number is expected",
            "write a number, or remove it",
        )
    longest = position_limit(model)
    if longest is not None and longest < tokenizer.model_max_length:
        tokenizer.model_max_length = longest
    known = type_limit(model)
    if known is not None and max(_types(tokenizer), default=-1) >= known:
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = names
        tokenizer.init_kwargs["model_input_names"] = names  # kept by save_pretrained
        notes.append(
            "the tokenizer's token types are left out: the model does not tell two texts apart by "
            "them"
        )
    return notes


def position_limit(model: nn.Module) -> int | None:
    """Longest input in tokens that the table of positions allows; None where there is no table."""
    for name, module in model.named_modules():
        if name.endswith(".position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa and its kin count from the row after the one for padding.
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - before
    return None


def type_limit(model: nn.Module) -> int | None:
    """How many token types the model tells apart; None where it takes any."""
    if "token_type_ids" not in inspect.signature(model.forward).parameters:
        return 0
    return int(getattr(model.config, "type_vocab_size", 0)) or None


def _types(tokenizer: Any) -> list[int]:
    """Token types of a pair of texts, where the tokenizer gives any."""
    if "token_type_ids" not in tokenizer.model_input_names:
        return []
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # a call of the tokenizer itself would change its state
        return list(backend.encode("a", "b").type_ids)
    return list(tokenizer("a", "b").get("token_type_ids", ()))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
