"""Presets: settings by name, shipped with the package or saved by the user."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from calisr_engine.errors import CalisrError, ConfigError, NotFoundError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,79}){0,5}")


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


def preset_dir() -> Path:
    """The shipped presets: `presets/` of a checkout, `_presets` beside this file in a wheel."""
    package = Path(__file__).resolve().parent
    installed = package / "_presets"
    return installed if installed.is_dir() else package.parent / "presets"


def user_dir() -> Path:
    """Where `save` puts presets: CALISR_PRESETS_DIR, else a folder of the user's settings."""
    given = os.environ.get("CALISR_PRESETS_DIR")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_config_dir

    return Path(user_config_dir("calisr")) / "presets"


def names() -> list[str]:
    """All presets that can be run, the shipped ones first.

    Files called `base.toml` or `base-....toml` hold what others extend; they are not listed.
    """
    shipped = _names_in(preset_dir())
    return shipped + [name for name in _names_in(user_dir()) if name not in shipped]


def find(name: str) -> Path:
    """The file of a preset ("demo", "paper/table2/lora-calisr-s-mrpc").

    Raises:
        NotFoundError: there is none; the hint names the nearest.
    """
    plain = name.removesuffix(".toml")
    if _NAME.fullmatch(plain):
        for folder in (preset_dir(), user_dir()):
            path = folder / f"{plain}.toml"
            if path.is_file():
                return path
    from calisr_engine.config.names import nearest

    known = names()
    last = {each.rpartition("/")[2]: each for each in known}
    near = nearest(plain, known) or last.get(nearest(plain, last) or "")
    raise NotFoundError(
        f"there is no preset {name!r}",
        f"did you mean {near}?" if near else "`calisr presets` lists the presets",
    )


def describe(name: str) -> PresetInfo:
    """Title, description and summary of a preset. A broken preset has its `problem` instead.

    Raises:
        NotFoundError: there is no such preset.
    """
    from calisr_engine.config.load import load

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
        problem = lines[0] if lines else error.message
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
            used; a folder that cannot be written.
    """
    if not _NAME.fullmatch(name) or name.endswith(".toml") or _is_base(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a preset",
            "use letters, digits, dots, dashes and underscores, such as my-preset; "
            "names that end in .toml or begin with base are not taken",
        )
    if (preset_dir() / f"{name}.toml").exists():
        raise ConfigError(f"preset {name} ships with calisr", "choose another name")
    target = user_dir() / f"{name}.toml"
    if target.exists() and not overwrite:
        raise _taken(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, text = tempfile.mkstemp(dir=target.parent, prefix=".new-", suffix=".toml")
    except OSError as error:
        raise _unwritable(target.parent, error) from None
    new = Path(text)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(toml)
            file.flush()
            os.fsync(file.fileno())
        _must_load(new, name)
        _put_in_place(new, target, overwrite)
    except FileExistsError:
        raise _taken(name) from None
    except OSError as error:
        raise _unwritable(target.parent, error) from None
    finally:
        new.unlink(missing_ok=True)
    return target


def _put_in_place(new: Path, target: Path, overwrite: bool) -> None:
    if not overwrite:
        try:
            os.link(new, target)  # unlike a rename, never replaces what came in the meantime
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if target.exists():
                raise FileExistsError(target) from None
        else:
            return
    os.replace(new, target)


def _must_load(path: Path, name: str) -> None:
    from calisr_engine.config.load import load
    from calisr_engine.config.toml_file import show

    try:
        load(path)
    except ConfigError as error:
        shown = show(path)
        raise ConfigError(
            f"preset {name} was not saved: its settings cannot be used",
            error.hint,
            problems=[each.replace(shown, name) for each in error.problems],
        ) from None


def _taken(name: str) -> ConfigError:
    return ConfigError(f"there is a preset {name} already", "choose another name, or replace it")


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the preset cannot be saved in {folder}: {error.strerror or error}",
        "make the folder writable, or set CALISR_PRESETS_DIR to another",
    )


def _names_in(folder: Path) -> list[str]:
    try:
        files = sorted(folder.rglob("*.toml"))
    except OSError:
        return []
    found = [
        file.relative_to(folder).with_suffix("").as_posix() for file in files if not is_grid(file)
    ]
    return [name for name in found if _NAME.fullmatch(name) and not _is_base(name)]


def _is_base(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last == "base" or last.startswith("base-")


def is_grid(file: Path) -> bool:
    """Whether a file describes many runs; `calisr grid` takes those."""
    if not file.is_file():  # a pipe would wait for a writer
        return False
    try:
        return "\n[grid]" in f"\n{file.read_text(encoding='utf-8-sig')}"
    except (OSError, UnicodeDecodeError):
        return False


def _comments(text: str) -> tuple[str, str]:
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return (lines[0] if lines else ""), " ".join(" ".join(lines[1:]).split())
