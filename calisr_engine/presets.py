"""Presets as users see them: described in lists, and saved under a name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from calisr_engine.config.load import load
from calisr_engine.config.preset_files import can_be_saved, find, preset_dir, user_dir
from calisr_engine.config.toml_file import show
from calisr_engine.errors import CalisrError, ConfigError, Place
from calisr_engine.storage.whole import whole_file


@dataclass(frozen=True)
class PresetInfo:
    """What a list of presets shows.

    Attributes:
        name: what `calisr run NAME` takes.
        title: first comment line of the file; the name where there is none.
        description: the comment lines after it, as one paragraph.
        source: shipped with the package, or saved by the user.
        path: the file.
        summary: model, task, method, calibration and training settings in a few words each.
        problem: why the preset cannot be used ("" if it can).
    """

    name: str
    title: str
    description: str
    source: Literal["shipped", "user"]
    path: Path
    summary: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def describe(name: str) -> PresetInfo:
    """Title, description and summary of a preset. A broken preset has its `problem` instead.

    Raises:
        NotFoundError: there is no such preset.
    """
    path = find(name)
    try:
        title, description = _comments(path.read_text(encoding="utf-8-sig", errors="replace"))
    except OSError:
        title, description = "", ""
    summary: dict[str, str] = {}
    problem = ""
    try:
        config = load(name).config
    except CalisrError as error:
        lines = error.problems if isinstance(error, ConfigError) else ()
        problem = str(lines[0]) if lines else error.message
    else:
        training, variant = config.training, config.calibration.variant
        summary = {
            "model": config.model.name,
            "task": config.task.name,
            "method": config.method.name,
            "calibration": variant if variant == "off" else f"CaliSr-{variant}",
            "epochs": str(training.epochs),
            "batch": str(training.batch_size * training.accumulate),
            "learning rate": f"{training.learning_rate:g}",
        }
    shipped = path.is_relative_to(preset_dir())
    return PresetInfo(
        name=name,
        title=title or name,
        description=description,
        source="shipped" if shipped else "user",
        path=path,
        summary=summary,
        problem=problem,
    )


def save(name: str, toml: str, overwrite: bool = False) -> Path:
    """Keep settings under a name, whole or not at all.

    Args:
        name: letters, digits, dots, dashes and underscores; `/` makes folders.
        toml: the file's text; it must load.
        overwrite: replace a preset of that name.

    Returns:
        The file.

    Raises:
        ConfigError: a name that cannot be a file, is shipped or taken; settings that cannot be
            used.
        StorageError: the file cannot be written.
    """
    if not can_be_saved(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a preset",
            "use letters, digits, dots, dashes and underscores, such as my-preset; "
            "names that end in .toml or begin with base are not taken",
        )
    if (preset_dir() / f"{name}.toml").exists():
        raise ConfigError(f"preset {name} ships with calisr", "choose another name")
    target = user_dir() / f"{name}.toml"
    hint = "CALISR_PRESETS_DIR names another folder"
    try:
        with whole_file(target, f"preset {name}", hint, replace=overwrite) as part:
            part.write_text(toml, encoding="utf-8")
            _must_load(part, name)
    except FileExistsError:
        raise ConfigError(
            f"there is a preset {name} already", "choose another name, or replace it"
        ) from None
    return target


def _must_load(path: Path, name: str) -> None:
    try:
        load(path)
    except ConfigError as error:
        shown = show(path)
        told = [
            replace(each, place=Place(name, each.place.line))
            if each.place and each.place.source == shown
            else each
            for each in error.problems
        ]
        raise ConfigError(
            f"preset {name} was not saved: its settings cannot be used", error.hint, told
        ) from None


def _comments(text: str) -> tuple[str, str]:
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return (lines[0] if lines else ""), " ".join(" ".join(lines[1:]).split())
