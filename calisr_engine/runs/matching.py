"""The switch steps that a matched or shuffled control takes from a calibrated run.

They are read once, when the control's own directory is made, and stand in its config.toml and log
from then on: the run they came from may be moved or deleted.
"""

from __future__ import annotations

import filecmp
from dataclasses import replace
from pathlib import Path
from typing import Any

from calisr_engine.calibration.controls import Steps, steps_text
from calisr_engine.config.load import ResolvedConfig
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, Problem
from calisr_engine.events.view import RunView
from calisr_engine.runs import load_view, store

SAME = (
    "calibration.variant",
    "calibration.groups",
    "method.name",
    "method.components",
    "task.name",
    "task.train_file",
    "task.dataset",
    "task.max_train_examples",
    "training.epochs",
    "training.max_steps",
    "training.batch_size",
    "training.accumulate",
)
"""Settings that say which groups there are and which step is where in the training."""


def with_switch_steps(resolved: ResolvedConfig, root: Path) -> ResolvedConfig:
    """The settings with the steps of the run `matched_to`; as they are where none are needed.

    Args:
        root: folder in which an id is looked for.

    Raises:
        ConfigError: there is no such run, it is not complete, or it is not of the same groups,
            method and steps; nothing has been made.
    """
    config = with_steps(resolved.config, root)
    if config is resolved.config:
        return resolved
    origin = f"the run {config.calibration.matched_to}"
    origins = {**resolved.origins, "calibration.switch_steps": origin}
    return replace(resolved, config=config, origins=origins)


def with_steps(config: RunConfig, root: Path) -> RunConfig:
    """As `with_switch_steps`, of the settings alone; the same object where none are needed."""
    calibration = config.calibration
    wanted = calibration.variant != "off" and calibration.follows_steps
    if not wanted or calibration.switch_steps is not None:
        return config
    text = steps_text(switch_steps(config, str(calibration.matched_to), root))
    changed = calibration.model_copy(update={"switch_steps": text})
    return config.model_copy(update={"calibration": changed})


def switch_steps(config: RunConfig, name: str, root: Path) -> Steps:
    """Step of each group's switch in the run that `name` stands for, for a run with `config`.

    Raises:
        ConfigError: as `with_switch_steps`.
    """
    try:
        found = store.find(name, root)
        view = load_view(found)
    except CalisrError as error:
        raise ConfigError(f"calibration.matched_to: {error.message}", error.hint) from error
    problems = list(_unfit(view, config))
    if problems:
        raise ConfigError(
            f"calibration.matched_to: the switch steps of {found} do not fit this run",
            "name a complete calibrated run of the same method, groups, task and steps",
            problems=problems,
        )
    switched = view.switched or {}
    return {group: switched.get(group) for group in view.groups}


def _unfit(view: RunView, config: RunConfig) -> list[Problem]:
    """Why the run of `view` gives no steps for one with `config`."""
    if view.variant == "off":
        return [Problem("it was not calibrated, so no score switched it")]
    if view.control != "off":
        return [Problem(f"it is itself a control ({view.control})")]
    if view.state != "completed":
        return [Problem(f"it is {view.state}, so its later switches are not known")]
    own = config.model_dump(mode="json")
    problems = []
    for key in SAME:
        if key == "calibration.groups" and config.calibration.variant != "own":
            continue
        section, _, name = key.partition(".")
        theirs, ours = view.setting(section, name, _ABSENT), own[section].get(name, _ABSENT)
        if (
            theirs == ours
            or _ABSENT in (theirs, ours)
            or (key == "task.train_file" and same_content(theirs, ours))
        ):
            continue
        if key == "task.train_file":
            problems.append(
                Problem(f"{key} is {theirs!r} there and {ours!r} here, with other rows")
            )
        else:
            problems.append(Problem(f"{key} is {theirs!r} there and {ours!r} here"))
    return problems


def same_content(one: str | None, other: str | None) -> bool:
    """Whether two files hold the same: a copy, or the same rows of a Python program, which each run
    keeps in a Parquet file of its own (a DataFrame's has other bytes than a list's)."""
    if one is None or other is None:
        return False
    try:
        if filecmp.cmp(one, other, shallow=False):
            return True
        return one.endswith(".parquet") and other.endswith(".parquet") and _same_rows(one, other)
    except OSError:
        return False


def _same_rows(one: str, other: str) -> bool:
    from pyarrow import ArrowException, parquet

    try:
        first, second = (parquet.ParquetFile(each) for each in (one, other))
        names = first.schema_arrow.names
        if names != second.schema_arrow.names or first.metadata.num_rows != (
            second.metadata.num_rows
        ):
            return False
        return all(
            repr(first.read([name]).column(0).to_pylist())
            == repr(second.read([name]).column(0).to_pylist())
            for name in names
        )
    except ArrowException:
        return False


_ABSENT: Any = object()
