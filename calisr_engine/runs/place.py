"""Where a new run directory goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError, LockedError
from calisr_engine.plain_words import command, name_part
from calisr_engine.storage.whole import FULL, storage_error

_ELSEWHERE = "choose another folder with --output-dir"


def check_place(root: Path, config: RunConfig, name: str | None = None) -> None:
    """Refuse a place where `new_run_dir` could make no directory; makes none itself.

    Raises:
        ConfigError: the folder cannot be written.
        LockedError: a run of the name asked for exists.
    """
    name = name or config.output.name
    if name and (root / name).exists():
        raise _taken(root / name)
    there = next(each for each in (root, *root.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        raise _unwritable(root, f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(root, f"there is no right to write in {there}")


def _taken(folder: Path) -> LockedError:
    return LockedError(
        f"output.name: a run named {folder.name} is already in {folder.parent}",
        f"go on with it ({command('resume', folder)}), delete it, or choose another name",
    )


def _unwritable(root: Path, why: str) -> ConfigError:
    return ConfigError(f"output.dir: {root} cannot be written: {why}", _ELSEWHERE)


def new_run_dir(root: Path, config: RunConfig, name: str | None = None) -> Path:
    """Make the directory of a new run: the name asked for, or one made from the settings.

    Raises:
        ConfigError: the folder cannot be written.
        StorageError: the disk is full.
        LockedError: a run of the name asked for exists.
    """
    name = name or config.output.name
    stem = name or "-".join(
        name_part(part)
        for part in (
            config.task.name,
            Path(config.model.name).name,
            config.method.name,
            config.calibration.variant,
            *(() if config.calibration.control == "off" else (config.calibration.control,)),
            *(() if config.regularizer.chosen is None else (config.regularizer.name,)),
            f"s{config.training.seed}",
            time.strftime("%y%m%d-%H%M%S"),
        )
    )
    try:
        root.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = root / (stem if attempt == 0 else f"{stem}-{attempt + 1}")
            try:
                folder.mkdir()
            except FileExistsError:
                if name is None:
                    continue
                raise _taken(folder) from None
            return folder
    except OSError as error:
        if error.errno in FULL:
            raise storage_error(
                root / stem, "the run directory", error, f"or {_ELSEWHERE}"
            ) from error
        raise _unwritable(root, error.strerror or str(error)) from error
    raise ConfigError(f"output.dir: too many runs named {stem} in {root}", "clean up the folder")
