"""Where the files of presets are, and which there are."""

from __future__ import annotations

import os
import re
from pathlib import Path

from platformdirs import user_config_dir

from calisr_engine.config.names import nearest
from calisr_engine.errors import NotFoundError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,79}){0,5}")


def preset_dir() -> Path:
    """The shipped presets: `presets/` of a checkout, `_presets` in the package of a wheel."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_presets"
    return installed if installed.is_dir() else package.parent / "presets"


def user_dir() -> Path:
    """The user's presets: CALISR_PRESETS_DIR, else a folder of the user's settings."""
    given = os.environ.get("CALISR_PRESETS_DIR")
    return Path(given).expanduser() if given else Path(user_config_dir("calisr")) / "presets"


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
    known = names()
    last = {each.rpartition("/")[2]: each for each in known}
    near = nearest(plain, known) or last.get(nearest(plain, last) or "")
    raise NotFoundError(
        f"there is no preset {name!r}",
        f"did you mean {near}?" if near else "`calisr presets` lists the presets",
    )


def can_be_saved(name: str) -> bool:
    """Whether a preset of this name would be found and listed."""
    return bool(_NAME.fullmatch(name)) and not name.endswith(".toml") and not _is_base(name)


def is_grid(file: Path) -> bool:
    """Whether a file describes many runs; `calisr grid` takes those."""
    if not file.is_file():  # a pipe would wait for a writer
        return False
    try:
        return "\n[grid]" in f"\n{file.read_text(encoding='utf-8-sig')}"
    except (OSError, UnicodeDecodeError):
        return False


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
