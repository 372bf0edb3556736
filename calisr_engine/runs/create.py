"""Making a run directory from resolved settings."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from calisr_engine.config.load import ResolvedConfig
from calisr_engine.config.schema import RunConfig
from calisr_engine.config.toml_text import flat
from calisr_engine.errors import ConfigError
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import RunCreated
from calisr_engine.plain_words import one_line
from calisr_engine.runs.installed import check_installed
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.matching import with_switch_steps
from calisr_engine.runs.place import new_run_dir
from calisr_engine.runs.threads import with_threads
from calisr_engine.storage.whole import remove, whole_folder, write_text


def create_run(
    resolved: ResolvedConfig,
    output_dir: Path | None = None,
    name: str | None = None,
    own_files: Mapping[str, Path] | None = None,
    processes: int | None = 1,
) -> Path:
    """Make the directory of a new run, with its settings and the first line of its log.

    Args:
        resolved: the settings.
        output_dir, name: stand above what the settings say.
        own_files: data files by the setting that names them; the run keeps copies in its data/.
        processes: of this machine that will train it, and share its free cores where the settings
            name no threads; None leaves them to whoever starts the run (a grid).

    Raises:
        ConfigError: the output folder cannot be written.
        ConfigError: a matched or shuffled control has no run to take its switch steps from.
        UnavailableError: a tracker in the settings is not installed.
        LockedError: a run of that name exists.
        StorageError: the disk is full; nothing of the run is left.
    """
    root = output_dir or resolved.config.output.dir
    resolved = with_switch_steps(resolved, root)
    if processes is not None:
        resolved = with_threads(resolved, processes)
    config = resolved.config
    check_names(config)
    check_installed(config.output.trackers)
    run_dir = new_run_dir(root, config, name)
    paths = RunPaths(run_dir)
    try:
        if own_files:
            resolved = _keeping(resolved, own_files, paths.data)
            config = resolved.config
        write_text(paths.config, resolved.to_toml(), "the run's settings")
        with EventWriter(paths.events, attempt=0) as writer:
            writer.write(0, run_created(run_dir.name, config))
    except BaseException:
        remove(run_dir)
        raise
    return run_dir


def _keeping(resolved: ResolvedConfig, files: Mapping[str, Path], folder: Path) -> ResolvedConfig:
    """The settings with copies of the files in `folder`."""
    task = resolved.config.task
    named = {key.removeprefix("task."): file for key, file in files.items()}
    with whole_folder(folder, "the run's data") as part:
        for name, file in named.items():
            shutil.copyfile(file, part / f"{name}{file.suffix}")
    own = {name: (folder / f"{name}{file.suffix}").absolute() for name, file in named.items()}
    config = resolved.config.model_copy(update={"task": task.model_copy(update=own)})
    return replace(resolved, config=config)


def run_created(run_id: str, config: RunConfig) -> RunCreated:
    """The first line of a run's log."""
    return RunCreated(
        run_id=run_id,
        config=config.model_dump(mode="json"),
        synthetic_data=config.task.name == "demo" and not config.task.is_own,
    )


def check_names(config: RunConfig) -> None:
    """Refuse names that are not UTF-8 before anything is made: config.toml cannot hold them."""
    for key, value in flat(config).items():
        if any("\ud800" <= c <= "\udfff" for c in str(value)):
            raise ConfigError(
                f"{key}: {one_line(str(value))} is a name that is not UTF-8, which the run's "
                "config.toml cannot hold",
                "rename it, or make a link with a plain name",
            )
