"""Making a run directory from resolved settings."""

from __future__ import annotations

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
from calisr_engine.runs.store import new_run_dir
from calisr_engine.runs.threads import with_threads
from calisr_engine.storage.whole import remove, write_text


def create_run(
    resolved: ResolvedConfig,
    output_dir: Path | None = None,
    name: str | None = None,
    processes: int | None = 1,
) -> Path:
    """Make the directory of a new run, with its settings and the first line of its log.

    Args:
        resolved: the settings.
        output_dir, name: stand above what the settings say.
        processes: of this machine that will train it, and share its free cores where the settings
            name no threads; None leaves them to whoever starts the run (a grid).

    Raises:
        ConfigError: the output folder cannot be written.
        ConfigError: a matched or shuffled control has no run to take its switch steps from.
        UnavailableError: a tracker in the settings is not installed.
        LockedError: a run of that name exists.
        StorageError: the disk is full; nothing of the run is left.
    """
    resolved = with_switch_steps(resolved, output_dir or resolved.config.output.dir)
    if processes is not None:
        resolved = with_threads(resolved, processes)
    config = resolved.config
    _check_writable(config)
    check_installed(config.output.trackers)
    root = output_dir or config.output.dir
    run_dir = new_run_dir(root, config, name)
    paths = RunPaths(run_dir)
    try:
        write_text(paths.config, resolved.to_toml(), "the run's settings")
        with EventWriter(paths.events, attempt=0) as writer:
            writer.write(0, run_created(run_dir.name, config))
    except BaseException:
        remove(run_dir)
        raise
    return run_dir


def run_created(run_id: str, config: RunConfig) -> RunCreated:
    """The first line of a run's log."""
    return RunCreated(
        run_id=run_id,
        config=config.model_dump(mode="json"),
        synthetic_data=config.task.name == "demo" and not config.task.is_own,
    )


def _check_writable(config: RunConfig) -> None:
    """Refuse names that are not UTF-8 before anything is made: config.toml cannot hold them."""
    for key, value in flat(config).items():
        if any("\ud800" <= c <= "\udfff" for c in str(value)):
            raise ConfigError(
                f"{key}: {one_line(str(value))} is a name that is not UTF-8, which the run's "
                "config.toml cannot hold",
                "rename it, or make a link with a plain name",
            )
