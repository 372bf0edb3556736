"""The setup form: its steps, which settings stand in which, how they are called and grouped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from calisr_engine.config.describe import FieldInfo, all_fields, by_key, table_of
from calisr_engine.config.options import OPTIONS, OWN_DATA
from calisr_engine.errors import Problem
from calisr_engine.methods.catalog import METHODS
from calisr_engine.regularizers.catalog import RegularizerSettings, owner

STEPS = ("model", "task", "method", "calibration", "training")
PAGES = ("model", "task", "data", "method", "calibration", "training")
"""What is seen one after the other: the steps, and the user's own data as a part of the task."""

CHOICE_KEYS = {
    "model": "model.name",
    "task": "task.name",
    "method": "method.name",
    "calibration": "calibration.variant",
}
"""The setting that the list of a page chooses."""

OWN_KEYS = frozenset(
    {*OWN_DATA, "task.header", "task.split_seed", "task.threshold"} - {"task.name", "task.metric"}
)
"""Settings that only the user's own data have."""

SPLITS = ("task.train_split", "task.validation_split", "task.test_split")
"""Settings that name a split of a data set of the hub."""

NOT_BESIDE = {
    "task.train_file": ("task.dataset", *SPLITS),
    "task.dataset": ("task.train_file", "task.validation_file", "task.test_file"),
}
"""What names the user's data, and what cannot stand beside it."""

EMPTIED = {
    *(key for beside in NOT_BESIDE.values() for key in beside),
    *("task.text_column", "task.text_pair_column", "task.label_column", "task.label_columns"),
    *("task.label_separator", "task.choice_columns", "task.kind", "task.encoding"),
}
"""Settings of own data that are empty where other data trains."""

OF_THESE_DATA = (
    *("task.text_column", "task.text_pair_column", "task.label_column", "task.label_columns"),
    *("task.label_separator", "task.choice_columns", "task.kind", "task.metric"),
)
"""Settings that go with the data: other data has other columns."""

_SECTIONS = {
    "model": ("model",),
    "method": ("method",),
    "calibration": ("calibration",),
    "training": ("training", "schedule", "regularizer", "diagnostics", "output"),
}
_DATA = (
    *("task.train_file", "task.text_column", "task.text_pair_column", "task.label_column"),
    *("task.kind", "task.metric", "task.validation_file", "task.validation_share"),
    *("task.max_length", "task.dataset", "task.train_split", "task.validation_split"),
    *("task.label_columns", "task.label_separator", "task.threshold", "task.choice_columns"),
    *("task.test_split", "task.split_seed", "task.encoding", "task.header", "task.test_file"),
    *("task.name", "task.max_train_examples", "task.max_validation_examples"),
)
_FIRST = (
    *("training.epochs", "training.batch_size", "training.learning_rate"),
    *("training.lft_learning_rate", "training.seed", "training.device"),
)
"""Settings that come first on their page."""

FOLDED: dict[str, dict[str, tuple[str, ...]]] = {
    "model": {
        "more of the model": (
            *("model.revision", "model.head", "model.random_weights", "model.components"),
        )
    },
    "task": {
        "files and fewer examples": (
            *("task.data_dir", "task.metric", "task.max_train_examples"),
            *("task.max_validation_examples", "task.train_language", "task.eval_languages"),
        )
    },
    "data": {
        "a data set of the Hugging Face hub": (
            *("task.dataset", "task.train_split", "task.validation_split", "task.test_split"),
        ),
        "several labels a text": (
            *("task.label_columns", "task.label_separator", "task.threshold"),
        ),
        "a choice between alternatives": ("task.choice_columns",),
        "how files are read, and more": (
            *("task.split_seed", "task.encoding", "task.header", "task.test_file", "task.name"),
            *("task.max_train_examples", "task.max_validation_examples"),
        ),
    },
    "method": {
        "what it covers, and what stays in training": (
            *("method.components", "method.elsewhere", "method.embeddings", "method.reference"),
        )
    },
    "calibration": {
        "groups of your own": ("calibration.groups",),
        "when to sample and decide": (
            *("calibration.every_steps", "calibration.decide_every_steps"),
            *("calibration.score", "calibration.cumulative"),
        ),
        "what a sample reads and keeps": (
            *("calibration.reading", "calibration.log_parts", "calibration.keep_samples"),
            "calibration.prepare_first_sample",
        ),
        "controls, to compare with": (
            *("calibration.control", "calibration.matched_to", "calibration.switch_steps"),
            *("calibration.control_seed", "calibration.measure"),
        ),
    },
    "training": {
        "steps and evaluation": (
            *("training.max_steps", "training.accumulate", "training.eval_every_steps"),
            *("training.early_stopping", "training.eval_batch_size"),
        ),
        "optimizer": (
            *("training.schedule", "training.warmup_ratio", "training.weight_decay"),
            *("training.optimizer", "training.adam_beta1", "training.adam_beta2"),
            *("training.adam_epsilon", "training.max_grad_norm", "training.dropout"),
            "training.regression_start",
        ),
        "machine": (
            *("training.precision", "training.threads", "training.activation_checkpointing"),
            *("training.frozen_weights", "training.last_layer", "training.packing"),
            *("training.compile", "training.overlap_gradients"),
        ),
        "a switch at a fixed moment": ("schedule.switch_at",),
        "a regularizer": tuple(f"regularizer.{key}" for key in RegularizerSettings.model_fields),
        "diagnostics": ("diagnostics.generalisation", "diagnostics.train_examples"),
        "what the run leaves": (
            *("output.name", "output.dir", "output.export", "output.predictions"),
            *("output.checkpoint_every_steps", "output.keep_checkpoints"),
            *("output.progress_every_seconds", "output.trackers", "output.tracker_project"),
        ),
    },
}
"""Page -> title of a group that is folded at first -> its settings; all others stand above."""

_LABELS = {
    "task.train_file": "file or folder",
    "task.text_column": "text",
    "task.text_pair_column": "second text",
    "task.label_column": "label",
    "task.label_columns": "label columns",
    "task.label_separator": "label separator",
    "task.choice_columns": "alternatives",
    "task.dataset": "data set",
    "task.data_dir": "GLUE folder",
    "training.lft_learning_rate": "light learning rate",
    "calibration.reading": "sample reading",
    "training.schedule": "rate schedule",
    "regularizer.name": "regularizer",
    "output.dir": "folder of runs",
    "output.name": "name of the run",
    "model.name": "model",
    "method.name": "method",
    "calibration.variant": "calibration",
}


_EMPTY = {
    "task.train_file": "CSV, TSV, JSONL, Parquet, CoNLL, or a folder of them",
    "task.label_columns": "none: all labels stand in one column",
    "task.label_separator": "none: the cells are lists",
    "task.choice_columns": "none: nothing is chosen from",
    "task.validation_file": "none: a share of the rows is set aside",
    "task.dataset": "NAME or NAME:CONFIG, read with Enter",
    "task.encoding": "default: UTF-8",
    "calibration.samples_per_epoch": "default: 5",
    "calibration.decide_every_steps": "default: one epoch",
    "training.max_steps": "default: as the epochs say",
    "training.lft_learning_rate": "default: the method's own",
}
"""What stands in a field that may be empty, where the help of the setting does not say it."""


@dataclass(frozen=True)
class Shown:
    """What a field shows of its setting.

    Attributes:
        text: the value as one types it; "" where nobody gave one.
        default: what stands in an empty field.
        why: why the value is the one that it is; "" where nothing is known of it.
    """

    text: str
    default: str
    why: str = ""


@dataclass(frozen=True)
class Group:
    """Settings that stand together; `title` is "" for those that are always open."""

    title: str
    infos: tuple[FieldInfo, ...]


def groups(page: str, method: str, entries: Sequence[FieldInfo] = ()) -> list[Group]:
    """The settings of a page, without the one that its list chooses (but for a model's name, which
    may be none of the list).

    Args:
        entries: what a setting that stands for several values may hold: fields in its place.
    """
    infos = {info.key: info for info in all_fields(method) if page_of(info.key, page) == page}
    infos.pop("" if page in ("model", "data") else CHOICE_KEYS.get(page, ""), None)
    folded = FOLDED.get(page, {})
    hidden = {key for keys in folded.values() for key in keys}
    first = [key for key in (*_DATA, *_FIRST) if key in infos]
    ordered = [*first, *(key for key in infos if key not in first)]
    tables = {each.key.rpartition(".")[0] for each in entries if each.key.startswith(f"{page}.")}
    hidden |= tables
    found = [Group("", tuple(infos[key] for key in ordered if key not in hidden))]
    for table in sorted(tables):
        held = tuple(each for each in entries if each.key.rpartition(".")[0] == table)
        found.append(Group(label(table), held))
    for title, keys in folded.items():
        there = tuple(infos[key] for key in keys if key in infos)
        found += [Group(title, there)] if there else []
    return found


def is_idle(key: str, regularizer: str) -> bool:
    """Whether a setting belongs to another regulariser than the one that is chosen."""
    section, _, name = key.partition(".")
    return section == "regularizer" and owner(name) not in ("", regularizer)


def page_of(key: str, page: str = "") -> str:
    """The page where a setting stands; `page` where it stands on that one too."""
    section = key.partition(".")[0]
    if section == "task":
        if page == "data" and key in _DATA:
            return "data"
        return "data" if key in OWN_KEYS else "task"
    return next((name for name, own in _SECTIONS.items() if section in own), "")


def label(key: str, whole: bool = False) -> str:
    """What the form calls a setting; as a `whole`, apart from its page."""
    if whole and key == "task.name":
        return "task"
    return _LABELS.get(key) or key.rpartition(".")[2].replace("_", " ")


def default_words(info: FieldInfo, value: object, written: str) -> str:
    """What an empty field stands for: "default: 2e-5".

    Args:
        value: what the run has; written: the same as one types it.
    """
    if value is not None:
        return f"default: {written}"
    if info.key in _EMPTY:
        return _EMPTY[info.key]
    # The help of a setting that may be empty says what it is then: "none takes its main branch."
    said = re.search(
        r"\bnone:? (?:takes |keeps |is )?((?:[^.;,()]|\.(?=\w))+)", info.help, re.IGNORECASE
    )
    return f"default: {' '.join(said[1].split())}" if said else "default: none"


def written_as(value: Any) -> str:
    """A setting's value as one types it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:g}"
        short = short if float(short) == value else repr(value)
        return re.sub(r"e([+-])0", r"e\1", short).replace("e+", "e")
    if isinstance(value, list | tuple):
        return ",".join(str(each) for each in value)
    return str(value)


@cache
def _names() -> dict[str, str]:
    """How messages name a setting -> what the form calls it."""
    keys = {info.key for method in METHODS for info in by_key(method).values() if "." in info.key}
    found = {option: f'"{label(key)}"' for key, option in OPTIONS.items()}
    found["--header"] = found["--no-header"] = '"header"'
    for key in sorted(keys):
        name = key.rpartition(".")[2]
        if "_" in name:
            found[name] = f'"{label(key)}"'
    return found | {key: f'"{label(key)}"' for key in keys}


@cache
def _pattern() -> re.Pattern[str]:
    names = sorted(_names(), key=len, reverse=True)
    return re.compile(rf"(?<![\w.\-/'])({'|'.join(map(re.escape, names))})(?![\w/'\-]|\.\w)")


def in_form(text: str) -> str:
    """A message with the form's names for settings in the place of keys and options."""
    text = re.sub(r"--set (?=\w+\.\w+)", "", text)
    text = re.sub(r"; (?:`calisr [^`]*`|calisr [a-z]+) [^;]*$", "", text)
    text = re.sub(r"\badd it to \[\w+\]", "fill it in", text)
    return _pattern().sub(lambda match: _names()[match[1]], text)


def sentence(problem: Problem) -> str:
    """A mistake and its mend as the form says them."""
    parts = [in_form(each) for each in (problem.message, problem.mend) if each]
    return "; ".join(parts)


def first_page(problem: Problem) -> tuple[str, str]:
    """Page and key of the field where a mistake is to be mended; ("", "") where no field is it."""
    for key in problem.keys:
        if page_of(key):
            return page_of(key), key
    return "", ""


def marks(problems: Sequence[Problem], method: str) -> dict[str, str]:
    """Key -> what stands at its field: the sentence at the first to mend, a hint at the others."""
    found: dict[str, list[str]] = {}
    known = by_key(method)
    for problem in problems:
        keys = [key for key in problem.keys if key in known or table_of(key, method)]
        for key in keys:
            said = sentence(problem) if key == keys[0] else f'see "{label(keys[0])}"'
            found.setdefault(key, []).append(said)
    return {key: " ".join(said) for key, said in found.items()}
