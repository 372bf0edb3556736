"""Is this a known setting? If not: which is meant, or where does it belong?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from calisr_engine.config.describe import SECTION_NAMES, SECTIONS, FieldInfo, by_key, fields
from calisr_engine.errors import Problem
from calisr_engine.methods.catalog import METHODS

OTHER_NAMES: dict[str, str] = {
    "lr": "training.learning_rate",
    "max_lr": "training.learning_rate",
    "num_train_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "bs": "training.batch_size",
    "per_device_train_batch_size": "training.batch_size",
    "per_device_eval_batch_size": "training.eval_batch_size",
    "gradient_accumulation_steps": "training.accumulate",
    "lr_scheduler_type": "training.schedule",
    "warmup": "training.warmup_ratio",
    "warmup_steps": "training.warmup_ratio",
    "clip": "training.max_grad_norm",
    "patience": "training.early_stopping",
    "bf16": "training.precision",
    "fp16": "training.precision",
    "model_name_or_path": "model.name",
    "task_name": "task.name",
    "max_seq_length": "task.max_length",
    "train": "task.train_file",
    "validation": "task.validation_file",
    "text": "task.text_column",
    "label": "task.label_column",
    "output_dir": "output.dir",
    "r": "method.rank",
    "lora_rank": "method.rank",
    "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout",
    "target_modules": "method.components",
    "reserve_p": "method.p",
    "threshold": "calibration.delta",
    "n": "calibration.samples_per_epoch",
    "sr_mode": "calibration.variant",
}
"""Names that other tools use, and what they are called here."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most like `word`, whatever its case and dashes, or None."""
    plain = {_plain(each): each for each in known}
    found = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else None


def unknown_key(key: str, method: str | None) -> Problem | None:
    """What is wrong with the name of a setting, or None if it is one.

    Args:
        key: dotted ("training.epochs"), or a top-level name.
        method: name of the method in force; None where it is itself wrong, so that a setting of
            any method passes.
    """
    known = known_fields(method)
    if key in known:
        return None
    section, _, name = key.partition(".")
    if not name:
        return Problem(*_unknown_top(key, known), (key,))
    if section not in SECTION_NAMES:
        near = nearest(section, SECTION_NAMES)
        mend = f"did you mean {near}.{name}?" if near and f"{near}.{name}" in known else None
        mend = mend or _belongs(name, known) or _sections(section)
        return Problem(f"there is no section [{section}]", mend, (key,))
    if name in ("extends", "notes"):
        message = "belongs at the top of the file, before the first [section]"
        return Problem(f"{message}: {name} = ...", "", (key,))
    owners = [each for each, model in METHODS.items() if name in model.model_fields]
    if section == "method" and method is not None and owners:
        message = f"is a setting of {' and of '.join(owners)}, but method.name is {method}"
        return Problem(message, f'remove it, or set method.name = "{owners[0]}"', (key,))
    mend = _belongs(name, known)
    if mend is None:
        own = [each.partition(".")[2] for each in known if each.startswith(f"{section}.")]
        near = nearest(name, own)
        mend = f"did you mean {near}?" if near else _belongs_far(name, known)
        mend = mend or f"the keys of [{section}] are {', '.join(own)}"
    return Problem("unknown key", mend, (key,))


def known_fields(method: str | None = None) -> dict[str, FieldInfo]:
    """Every setting by its dotted key, of this method; None: of any."""
    if method is not None:
        return by_key(method)
    return {key: info for name in METHODS for key, info in by_key(name).items()}


def _unknown_top(key: str, known: dict[str, FieldInfo]) -> tuple[str, str]:
    if key in SECTION_NAMES:
        return "is a section", f"write --set {key}.KEY=VALUE, such as {_first_key(key)}"
    near = nearest(key, [*SECTION_NAMES, "extends", "notes"], 0.7)
    if near in SECTION_NAMES:
        return f"there is no section [{key}]", f"did you mean [{near}]?"
    if near:
        return "unknown key", f"did you mean {near}?"
    return "unknown key", _belongs(key, known) or _belongs_far(key, known) or _sections(key)


def _first_key(section: str) -> str:
    return "method.name" if section == "method" else fields(SECTIONS[section])[0].key


def _sections(section: str) -> str:
    near = nearest(section, SECTION_NAMES)
    if near:
        return f"did you mean [{near}]?"
    return f"the sections are {', '.join(SECTION_NAMES)}"


def _belongs(name: str, known: dict[str, FieldInfo]) -> str | None:
    homes = [each.rpartition(".")[0] for each in known if each.rpartition(".")[2] == name]
    if homes and all(homes):
        return f"{name} belongs in {' or '.join(f'[{home}]' for home in homes)}"
    owners = [each for each, model in METHODS.items() if name in model.model_fields]
    if owners and not homes:
        return f"{name} belongs in [method] of {' or '.join(owners)}"
    if _plain(name) in OTHER_NAMES:
        return f"did you mean {OTHER_NAMES[_plain(name)]}?"
    return None


def _belongs_far(name: str, known: dict[str, FieldInfo]) -> str | None:
    far = nearest(name, {each.rpartition(".")[2] for each in known}, 0.75)
    return _belongs(far, known) if far else None


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")
