"""The settings of a run between two attempts: what may change, by whom, and the record of it.

The log is the record: its first line holds the settings, and each change that was asked for is an
event. A config.toml that says something else was edited or cut, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calisr_engine.config.load import from_resolved, load
from calisr_engine.config.schema import RunConfig
from calisr_engine.config.toml_text import origins_of, resolved_toml
from calisr_engine.errors import ConfigError, LockedError, Problem
from calisr_engine.events.log import EventWriter, last_attempt
from calisr_engine.events.types import SettingsChanged
from calisr_engine.plain_words import command
from calisr_engine.runs import load_views, store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.storage.whole import write_text

MAY_CHANGE = (
    "model.name",
    "task.data_dir",
    "task.train_file",
    "task.validation_file",
    "task.test_file",
    "training.device",
    "training.threads",
    "training.activation_checkpointing",
    "training.epochs",
    "training.max_steps",
)
"""What `calisr resume --set` takes beside output, diagnostics and notes: where things lie, what
trains them, and how long. Data and weights themselves are held against their fingerprint."""

GROWING = ("training.epochs", "training.max_steps")

WITHOUT_EFFECT = ("output.", "diagnostics.", "notes")
"""Beginnings of keys that change nothing in what is trained."""

Change = tuple[Any, Any]
"""Value before and after, as JSON has them."""


def differences(recorded: Mapping[str, Any], config: RunConfig) -> dict[str, Change]:
    """Settings that are not as recorded, by dotted key; a record may lack newer settings."""
    found: dict[str, Change] = {}
    now = config.model_dump(mode="json")
    for section, values in now.items():
        before = recorded.get(section)
        if not isinstance(values, dict) or not isinstance(before, dict):
            continue
        for name, value in values.items():
            if name in before and before[name] != value:
                found[f"{section}.{name}"] = (before[name], value)
    return found


def check_as_recorded(paths: RunPaths, config: RunConfig) -> None:
    """Refuse a config.toml that is not what the run's log says.

    Raises:
        ConfigError: with each key that was changed, and how to change it rightly.
    """
    views, _ = load_views([paths.root])  # a log that is lost or damaged holds nobody up
    recorded = views[paths.root].config if views else {}
    problems = [
        Problem(
            f"{key} was {before!r} when the run began and is {after!r} now",
            command("resume", paths.root, "--set", f"{key}={after}")
            if key in MAY_CHANGE
            else "put it back; it cannot change in mid-run",
            (key,),
        )
        for key, (before, after) in differences(recorded, config).items()
        if not key.startswith(WITHOUT_EFFECT)
        and Path(str(after)).parent != paths.data.absolute()  # its own rows, moved along with it
    ]
    if problems:
        raise ConfigError(
            f"{paths.config} was edited or cut since the run began",
            "the run's settings stand in the first line of its events.jsonl",
            problems=problems,
        )


def go_on(
    run_dir: Path, sets: Sequence[str] = (), check: Callable[[RunConfig], object] | None = None
) -> dict[str, Change]:
    """Make a run that nobody trains now ready to be trained on; config.toml and the log say what
    changed.

    Args:
        sets: "section.key=value", as for `calisr run --set`.
        check: refuses settings with which training could not begin, before anything is written.

    Returns:
        The settings that changed.

    Raises:
        ConfigError: a setting that cannot change, a value that cannot be used, or the run is
            complete and is not to train longer.
        LockedError: a process trains in this directory.
        CalisrError: as `check`.
    """
    paths = RunPaths(run_dir)
    if sets and is_locked(paths):
        raise LockedError(
            f"{run_dir.name} is being trained; its settings cannot change now",
            f"stop it first, or follow it with: {command('watch', run_dir)}",
        )
    summary = store.summarise(run_dir)
    old = from_resolved(paths.config)
    new = load(paths.config, list(sets), recorded=True).config if sets else old
    changes = differences(old.model_dump(mode="json"), new)
    _refuse(changes, paths)
    if summary.state == "completed" and not set(GROWING) & set(changes):
        raise ConfigError(
            f"{run_dir.name} is complete; there is nothing to go on with",
            f"see it with: {command('show', run_dir)}; train on with --set training.epochs=N",
        )
    if check is not None and not is_locked(paths):
        check(new)
    if changes:
        origins = origins_of(paths.config.read_text(encoding="utf-8"))
        origins |= dict.fromkeys(changes, "resume --set")
        with EventWriter(paths.events, last_attempt(paths.events)) as writer:
            writer.write(
                summary.step,
                SettingsChanged(changes={k: {"from": a, "to": b} for k, (a, b) in changes.items()}),
            )
        write_text(paths.config, resolved_toml(new, origins), "the run's settings")
    return changes


def _refuse(changes: Mapping[str, Change], paths: RunPaths) -> None:
    problems = []
    for key, (before, after) in changes.items():
        if not key.startswith((*MAY_CHANGE, *WITHOUT_EFFECT)):
            mend = f"start a new run; these may change: {', '.join(MAY_CHANGE)}, output"
            problems.append(Problem(f"{key} cannot change in mid-run", mend, (key,)))
        elif key in GROWING and None not in (before, after) and after < before:
            problems.append(Problem(f"{key} can grow from {before}, not shrink", "", (key,)))
    if problems:
        raise ConfigError(f"{paths.root.name} cannot go on with these", problems=problems)
