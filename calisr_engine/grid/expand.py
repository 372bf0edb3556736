"""From a grid file to its runs: each with settings, and an id that is a function of them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from calisr_engine.config.describe import by_key
from calisr_engine.config.load import Base, ResolvedConfig, load, read_base
from calisr_engine.config.own_data import OfGrid
from calisr_engine.config.toml_file import value_of
from calisr_engine.errors import ConfigError, NotFoundError, Place, Problem, UnavailableError
from calisr_engine.events.flat_settings import flatten
from calisr_engine.grid.check import check_grid, matches
from calisr_engine.grid.sources import is_control, matched_to_run, source_of
from calisr_engine.grid.spec import GridFile, GridHead, read_grid
from calisr_engine.plain_words import one_line

NOT_IDENTITY = ("output", "diagnostics", "notes")
"""Sections that do not change what a run computes."""


@dataclass(frozen=True)
class GridRun:
    """One run of a grid.

    Attributes:
        values: its value on each axis, by dotted key.
        run_id: name of its run directory.
        resolved: all its settings.
        source: id of the run of the grid whose switch steps it takes, so that must be complete
            before it begins; None for all but matched and shuffled controls.
    """

    values: dict[str, Any]
    run_id: str
    resolved: ResolvedConfig
    source: str | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings by dotted key, as JSON has them."""
        return flatten(self.resolved.config.model_dump(mode="json"))

    @property
    def seed(self) -> int:
        return self.resolved.config.training.seed


@dataclass(frozen=True)
class Grid:
    """A grid file and its runs in order.

    Attributes:
        path: the grid file; a folder where there is no file (`folders.grid_of_runs`).
        folder: where the run directories are.
        excluded: combinations left out by an `exclude` rule.
        sets, data_dir: what was given to `expand_grid`.
        unreadable: run id -> why a run of the folder is not among the runs.
        notes: what the user should know of the file.
        earlier: how many of the runs, the last ones, are of earlier trainings alone.
    """

    file: GridFile
    path: Path
    folder: Path
    runs: tuple[GridRun, ...]
    excluded: int = 0
    sets: tuple[str, ...] = ()
    data_dir: Path | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    earlier: int = 0

    @property
    def head(self) -> GridHead:
        """The [grid] section."""
        return self.file.grid

    def with_head(self, **changes: Any) -> Grid:
        """The same runs, with other values in the [grid] section (`policy`, `against`)."""
        head = self.head.model_copy(update=changes)
        return replace(self, file=self.file.model_copy(update={"grid": head}))


def expand_grid(
    name_or_file: str | Path,
    output_dir: Path = Path("runs"),
    data_dir: Path | None = None,
    sets: tuple[str, ...] = (),
) -> Grid:
    """All runs of a grid. `sets` are `key=value` settings for every run, above the file's own.

    A list for a key that is an axis gives the axis these values in place of the file's.

    Raises:
        NotFoundError: there is no such grid.
        ConfigError: the file, or the settings of a run, are wrong.
    """
    grid, path = read_grid(name_or_file)
    check_grid(grid, path)
    folder = output_dir / grid.grid.name
    axes, rest = _set_axes(grid, sets, path)
    given = {text.partition("=")[0].strip() for text in rest}
    planned: list[tuple[dict[str, Any], ResolvedConfig]] = []
    bases: dict[str | None, Base] = {}
    own_data = OfGrid(path)
    excluded = 0
    idle = set(range(len(grid.when)))
    for values in combinations(grid.model_copy(update={"axes": axes})):
        settings = {**grid.settings, **values}
        out, base = False, grid.grid.extends
        for position, rule in enumerate(grid.when):
            if matches(rule, settings):
                idle.discard(position)
                settings.update(rule.set)
                out |= rule.exclude
                base = rule.extends or base
        if out:
            excluded += 1
            continue
        if base is not None and (path.parent / base).is_file():
            base = str(path.parent / base)
        settings = _beside(path, settings)
        if data_dir is not None:
            settings["task.data_dir"] = data_dir
        settings["output.dir"] = folder
        settings = {key: value for key, value in settings.items() if key not in given}
        try:
            if base not in bases:
                bases[base] = read_base(base)
            guessed, rows = own_data.guess(bases[base], rest, settings)
            resolved = load(
                bases[base],
                rest,
                settings,
                given_by=str(path),
                guessed=guessed,
                examples=rows,
                of_grid=True,
            )
        except (ConfigError, NotFoundError) as error:
            message = f"{path}: the run {_words(values)}: {error.message}"
            problems = getattr(error, "problems", ())
            if isinstance(error, NotFoundError):  # of what it extends
                problems = (Problem(error.message, error.hint, ("extends",), Place(str(path))),)
            raise ConfigError(message, error.hint, problems) from error
        except UnavailableError as error:  # of own data
            raise type(error)(f"{path}: {error.message}", error.hint) from error
        planned.append((values, resolved))
    if not planned:
        raise ConfigError(
            f"{path}: the `when` rules exclude all {excluded} combinations, so there is no run",
            "mend the rules",
        )
    runs = _with_sources(planned, grid.grid, path)
    seen: dict[str, dict[str, Any]] = {}
    for run in runs:
        same = digest(run.resolved)
        if same in seen:
            raise ConfigError(
                f"{path}: the runs {_words(seen[same])} and {_words(run.values)} are the same run",
                "remove one of the values, or a `when` rule that makes them equal",
            )
        seen[same] = run.values
    notes = tuple(
        f"the rule [[when]] match = {_cut(str(grid.when[position].match))} is for none of the "
        "runs; it compares what [settings] and the axes say"
        for position in sorted(idle)
    )
    return Grid(grid, path, folder, tuple(runs), excluded, sets, data_dir, notes=notes)


def _set_axes(
    grid: GridFile, sets: tuple[str, ...], path: Path
) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """The axes with the values that `sets` give some of them, and the other sets.

    Raises:
        ConfigError: one value for an axis, or lists that are joined with others.
    """
    axes, rest = dict(grid.axes), []
    joined = {key for table in grid.zip for key in table}
    for text in sets:
        key, _, raw = text.partition("=")
        key = key.strip()
        if key not in axes and key not in joined:
            rest.append(text)
            continue
        values = None
        with contextlib.suppress(ValueError):
            values = value_of(raw.strip())
        if key in joined or not isinstance(values, list) or not values:
            mend = f"for other values give them all: --set '{key}=[...]'"
            if key in joined:
                mend = "change the values on this axis in a copy of the file"
            raise ConfigError(f"--set {key}: the runs of {path} differ in it", mend)
        axes[key] = values
    return axes, tuple(rest)


def _beside(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings whose relative paths of data are found beside the grid file, where they are."""
    found = dict(settings)
    for key, info in by_key("fft").items():
        value = settings.get(key) if info.kind == "path" and key.startswith("task.") else None
        if value and isinstance(value, str) and os.path.exists(path.parent / value):
            found[key] = path.parent / value
    return found


def _with_sources(
    planned: list[tuple[dict[str, Any], ResolvedConfig]], head: GridHead, path: Path
) -> list[GridRun]:
    """The runs; a control that is matched to another of them names that by its id."""
    found = [GridRun(values, identity(values, each), each) for values, each in planned]
    known = [(run.resolved.config, run.settings) for run in found]
    runs = []
    for index, run in enumerate(found):
        if is_control(run.resolved.config):
            try:
                at = source_of(index, known, head)
            except ConfigError as error:
                message = f"{path}: the run {_words(run.values)}: {error.message}"
                raise ConfigError(message, error.hint) from error
            if at is not None:
                source = found[at].run_id
                resolved = matched_to_run(run.resolved, source)
                run = GridRun(run.values, identity(run.values, resolved), resolved, source)
        runs.append(run)
    return runs


def combinations(grid: GridFile) -> Iterator[dict[str, Any]]:
    """Every combination of the axes, the last axis fastest; zipped lists count as one axis."""
    axes: list[list[dict[str, Any]]] = []
    for table in grid.zip:
        axes.append(
            [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        )
    for key, values in grid.axes.items():
        axes.append([{key: value} for value in values])
    for parts in itertools.product(*axes):
        merged: dict[str, Any] = {}
        for part in parts:
            merged.update(part)
        yield merged


def identity(values: dict[str, Any], resolved: ResolvedConfig) -> str:
    """The id of a run: its values on the axes, to be read, and the digest of its settings."""
    words = [re.sub(r"[^A-Za-z0-9.]+", "_", str(value)) for value in values.values()]
    return f"{'-'.join(words)[:80].lstrip('.') or '_'}-{digest(resolved)}"


def digest(resolved: ResolvedConfig) -> str:
    """A hash of everything that decides a run's result.

    Settings at their default are left out, so that a setting that a later version adds does not
    make other runs of the old ones. What a later version makes of a default is seen by comparing
    the settings that a run has recorded (`state.py`).
    """
    config = resolved.config
    content = {
        name: getattr(config, name).model_dump(mode="json", exclude_defaults=True)
        for name in type(config).model_fields
        if name not in NOT_IDENTITY
    }
    content["method"]["name"] = config.method.name
    content["calibration"].pop("variant", None)
    if config.calibration.variant != "S":  # once a default, and ids outlive that
        content["calibration"]["variant"] = config.calibration.variant
    if not is_control(config):  # a grid may set them for all its runs
        content["calibration"].pop("matched_to", None)
        content["calibration"].pop("switch_steps", None)
    if not content["regularizer"]:  # a section that came later than ids
        del content["regularizer"]
    content["task"].pop("data_dir", None)  # where the data lies does not change it
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _words(values: dict[str, Any]) -> str:
    """A run's values on the axes, short enough for a line."""
    return _cut(", ".join(f"{_cut(key)}={_cut(str(value))}" for key, value in values.items()), 300)


def _cut(text: str, most: int = 60) -> str:
    return one_line(text if len(text) <= most else text[: most - 3] + "...")
