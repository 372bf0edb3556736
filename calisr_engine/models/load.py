"""An encoder with a classification head, ready for training, and what was found out about it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models import catalog, fingerprints, head, weights
from calisr_engine.models.architectures import DECODERS
from calisr_engine.models.components import OWN_PLACES, check_head, take_apart
from calisr_engine.models.decoder import fit_padding
from calisr_engine.models.folder import explained, find_folder, quiet, read_config
from calisr_engine.models.memory import FLOAT_BYTES, check_fits, least_parameters
from calisr_engine.models.settings import ModelSettings
from calisr_engine.models.tokenizer import fit_tokenizer, load_tokenizer, read_words
from calisr_engine.randomness import aside
from calisr_engine.task_kinds import KINDS, TaskKind

WHOLE_TEXTS = KINDS["classification"]


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for training.

    Attributes:
        model: transformers' classifier of texts or words in fp32 on the CPU, with a linear layer
            for each component (`components.take_apart`).
        tokenizer: its tokenizer; gives nothing that the model has no row for.
        description: one line for people.
        fingerprint: of weights, config.json and tokenizer (`fingerprints.changed`).
        notes: what the user should know of what the checkpoint lacks, or holds in vain.
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
    headers_only: bool = False,
) -> LoadedModel:
    """Load an encoder with a head of `num_labels` outputs for a kind of task; of one output that
    scores each alternative, where there is a choice.

    The head is drawn from `seed` alone, whatever the global random state was and whatever head the
    checkpoint has, unless `settings.head` asks for that one.

    Args:
        headers_only: for checks before a run. Of the weights, names, shapes and types are read;
            the model is on the meta device and has no fingerprint.

    Raises:
        UnavailableError: the model is not here and cannot be had.
        ConfigError: it is here but cannot be used; the message says why.
    """
    meta, task = torch.device("meta"), KINDS[kind]
    if task.chooses:
        num_labels, label_names = 1, None
    with quiet():
        source = _source(settings)
        order = None
        if settings.head == "by_name":
            order = head.class_order(settings.name, source.content, label_names, task)
        config = source.config
        check_fits(
            FLOAT_BYTES * least_parameters(config),
            f"model.name: {settings.name}, of the sizes that its config.json says,",
            "use a smaller model, or mend config.json",
        )
        config.output_hidden_states = config.output_attentions = False
        config.chunk_size_feed_forward = 0  # saves memory, and takes no odd lengths
        config.num_labels = num_labels
        config.problem_type = task.problem_type
        if label_names:
            config.id2label = dict(enumerate(label_names))
            config.label2id = {name: index for index, name in enumerate(label_names)}
        if dropout is not None:
            _set_dropout(config, dropout)
        decodes = config.model_type in DECODERS
        tokenizer, said = load_tokenizer(source.tokenizer, may_lack_padding=decodes)
        if decodes:
            said += fit_padding(tokenizer, config)
        if task.per_word:
            read_words(tokenizer)
        found: dict[str, Tensor] = {}
        sparse = getattr(config, "attention_type", None) == "block_sparse"
        if sparse:
            config.attention_type = "original_full"
        notes: list[str] = []
        if source.weights is None:
            with explained(settings.name, local=True), meta if headers_only else nullcontext():
                stored = _drawn(config, seed, task)
        else:
            found = weights.read_weights(source.weights, headers_only)
            stored, notes = _filled(settings.name, config, found, seed, task)
        if sparse:
            notes.append(
                f"{settings.name} attends in full: its sparse attention draws blocks while it "
                "trains, so that no run could be taken up again to the bit"
            )
        said += fit_tokenizer(tokenizer, stored)
        if source.tokenizer == source.folder:  # else borrowed, for random weights
            notes += said
        fingerprint = ""
        if not headers_only:
            fingerprint = fingerprints.of_model(stored, config, tokenizer, source.folder)
        model = stored
        if order is not None:
            notes += head.keep_head(stored, found, order)
        elif head.has_head(found):
            notes += head.unused(settings.name, source.content)
            model, _ = _filled(settings.name, config, head.without_head(found), seed, task)
        check_head(model)
        take_apart(model)
    if not headers_only:
        weights.check_finite(model)
    model.requires_grad_(True)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        description=_description(settings, source, model),
        fingerprint=fingerprint,
        notes=tuple(notes),
    )


def empty_model(settings: ModelSettings) -> nn.Module:
    """The sequence classifier of these settings without weights: only config.json is read.

    On the meta device, as transformers builds it: no component is taken apart.

    Raises:
        UnavailableError, ConfigError: as `load_model`.
    """
    with quiet():
        config = _source(settings.model_copy(update={"random_weights": True})).config
        with explained(settings.name, local=True), torch.device("meta"):
            model = _drawn(config, seed=0)
        check_head(model)
    return model


@dataclass(frozen=True)
class _Source:
    """Where a model comes from.

    Attributes:
        folder: of the model; not there for a size of the catalogue with random weights.
        tokenizer: the folder with its tokenizer.
        weights: the folder with its weights; None for random ones.
        content: what config.json says; nothing for a size of the catalogue.
        config: transformers' form of it.
    """

    folder: Path
    tokenizer: Path
    weights: Path | None
    content: Mapping[str, Any]
    config: Any


def _source(settings: ModelSettings) -> _Source:
    from transformers import CONFIG_MAPPING, AutoConfig

    name, random = settings.name, settings.random_weights
    named = Path(catalog.resolve(name))
    folder = find_folder(settings)
    if folder is None:
        entry = catalog.find(name)
        assert entry is not None
        config_class: Any = CONFIG_MAPPING[entry.model_type]
        config = config_class(
            hidden_size=entry.hidden,
            num_hidden_layers=entry.layers,
            num_attention_heads=entry.heads,
            intermediate_size=entry.intermediate,
            vocab_size=entry.vocabulary,
            max_position_embeddings=entry.positions,
            type_vocab_size=entry.types,
        )
        return _Source(named, catalog.demo_folder(), None, {}, _with_places(config, settings))
    content = read_config(folder)
    with explained(name, local=True):
        config = AutoConfig.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(
            f"model.name: {name} is of architecture {config.model_type!r}, an encoder with a "
            "decoder behind it",
            "use an encoder",
        )
    borrowed = random and not os.path.isdir(named)
    return _Source(
        folder=folder,
        tokenizer=catalog.demo_folder() if borrowed else folder,
        weights=None if random else folder,
        content=content,
        config=_with_places(config, settings),
    )


def _with_places(config: Any, settings: ModelSettings) -> Any:
    if settings.components is not None:
        setattr(config, OWN_PLACES, settings.components)
    return config


def opener(task: TaskKind) -> Any:
    """transformers' class that opens models of a kind of task, such as
    AutoModelForSequenceClassification."""
    import transformers

    return getattr(transformers, task.auto_class)


def _drawn(config: Any, seed: int, task: TaskKind = WHOLE_TEXTS) -> nn.Module:
    _class_of(config, task)
    with aside(seed):
        model: nn.Module = opener(task).from_config(config)
    return model.float()


def _class_of(config: Any, task: TaskKind) -> Any:
    """The model class of an architecture for a kind of task.

    Raises:
        ConfigError: transformers has none that tags words, or none that chooses.
    """
    classes: Any = opener(task)._model_mapping
    if type(config) not in classes and (task.per_word or task.chooses):
        what = "tags words" if task.per_word else "chooses between alternatives"
        raise ConfigError(
            f"model.name: transformers has no model of the architecture {config.model_type!r} that "
            f"{what}",
            "use another encoder, such as BERT, RoBERTa, DeBERTa or ModernBERT",
        )
    return classes[type(config)]


def _filled(
    name: str, config: Any, found: Mapping[str, Tensor], seed: int, task: TaskKind
) -> tuple[nn.Module, list[str]]:
    """The model with these weights, the rest drawn from `seed`; and notes on the weights.

    A head of the file is taken where it has the right shape.
    """
    kind = _class_of(config, task)
    notes = weights.check_types(found)
    weights.check_names(found, str(kind.base_model_prefix), name)
    with explained(name, local=True), aside(seed):
        model, info = kind.from_pretrained(
            None,
            config=config,
            state_dict=dict(found),
            dtype=torch.float32,
            device_map="meta" if any(each.is_meta for each in found.values()) else None,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    return model.float(), notes + weights.check_fit(model, info, name)


def _description(settings: ModelSettings, source: _Source, model: nn.Module) -> str:
    total = sum(p.numel() for p in model.parameters())
    kind = "random weights" if settings.random_weights else "pretrained"
    other = source.tokenizer != source.folder
    note = ", tokenizer of demo-bert" if other else ""
    return f"{settings.name} ({source.config.model_type}, {total:,} parameters, {kind}{note})"


def _set_dropout(config: Any, value: float) -> None:
    for key in (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "dropout",
        "attention_dropout",
        "embedding_dropout",
        "mlp_dropout",
    ):
        if hasattr(config, key):
            setattr(config, key, value)
