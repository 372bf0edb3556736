"""Folders of grids: which grid a folder's runs belong to, from a record beside them or the runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from calisr_engine.config.load import load
from calisr_engine.config.toml_file import MAX_BYTES
from calisr_engine.errors import CalisrError, NotFoundError, UnavailableError
from calisr_engine.grid.expand import Grid, GridRun, expand_grid
from calisr_engine.grid.spec import GridFile, GridHead, grid_names, read_grid
from calisr_engine.grid.state import read_run
from calisr_engine.runs import store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import write_text

RECORD = "grid.json"
"""Names the grid file, the `--set` values and the data folder of a grid's last training, and the
`--set` values of those before it that differ from it on the grid's axes alone."""


@dataclass(frozen=True)
class _Record:
    file: Path
    sets: tuple[str, ...]
    data_dir: Path | None
    before: tuple[tuple[str, ...], ...] = ()


def write_record(grid: Grid) -> None:
    """Note beside the runs which grid they are of; a folder that cannot be written goes without."""
    now = _Record(
        grid.path.absolute(), grid.sets, grid.data_dir.absolute() if grid.data_dir else None
    )
    old = _read_record(grid.folder)
    if old is not None and (old.file, old.data_dir) == (now.file, now.data_dir):
        before = dict.fromkeys((*old.before, old.sets))
        besides = [each for each in before if each != now.sets and _beside(grid, each)]
        now = replace(now, before=tuple(besides))
    content = {
        "file": str(now.file),
        "sets": list(now.sets),
        "data_dir": str(now.data_dir) if now.data_dir else None,
        "before": [list(each) for each in now.before],
    }
    with contextlib.suppress(CalisrError):
        write_text(grid.folder / RECORD, json.dumps(content) + "\n", "the grid's record")


def grid_folders(output_dir: Path) -> list[Path]:
    """Folders in `output_dir` that hold a record or runs of their own, newest first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(output_dir) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if not entry.is_dir() or store.is_run(Path(entry.path)):
                    continue
                if (Path(entry.path) / RECORD).is_file() or store.run_ids(Path(entry.path)):
                    found.append((entry.stat().st_mtime, entry.name))
    return [output_dir / name for _, name in sorted(found, reverse=True)]


def grid_of_folder(folder: Path) -> Grid:
    """The grid whose runs lie in `folder`.

    By its record; without one (or if its file has gone) a shipped grid of that name; else the runs
    themselves make the grid.

    Raises:
        NotFoundError: there are no runs.
        ConfigError: the recorded grid file is wrong.
    """
    record = _read_record(folder)
    if record is not None and record.file.is_file():
        grid = _recorded(record, folder)
        if grid.folder.name == folder.name:
            return grid
    elif record is None:
        for name in grid_names():
            if read_grid(name)[0].grid.name == folder.name:
                grid = expand_grid(name, folder.parent)
                if {run.run_id for run in grid.runs} & set(store.run_ids(folder)):
                    return grid
    return grid_of_runs(folder)


def grid_as_trained(name_or_folder: str, output_dir: Path) -> Grid:
    """A grid with the `--set` values of its last training: those belong to its runs' ids.

    Complete runs of earlier trainings that had other values on its axes (more seeds, another task)
    are among its runs, where all else was the same.

    Args:
        name_or_folder: a grid's name or file, or a folder of runs.

    Raises:
        NotFoundError, ConfigError: as `expand_grid` and `grid_of_folder`.
    """
    if os.path.isdir(name_or_folder):
        return grid_of_folder(Path(name_or_folder))
    grid, file = read_grid(name_or_folder)
    folder = output_dir / grid.grid.name
    record = _read_record(folder)
    if record is None or record.file != file.absolute():
        return expand_grid(file, output_dir)
    return _recorded(record, folder)


def _recorded(record: _Record, folder: Path) -> Grid:
    """The grid of the last training, and what is complete of those before it.

    Its runs alone where own data, of which the file leaves something open, is no longer here.
    """
    try:
        grid = expand_grid(record.file, folder.parent, record.data_dir, record.sets)
    except UnavailableError:
        return grid_of_runs(folder)
    runs = {run.run_id: run for run in grid.runs}
    for sets in record.before:
        with contextlib.suppress(CalisrError):  # the file has changed since
            for run in expand_grid(record.file, folder.parent, record.data_dir, sets).runs:
                if run.run_id in runs or read_run(grid.folder, run).state != "completed":
                    continue
                runs[run.run_id] = run
    return replace(grid, runs=tuple(runs.values()), earlier=len(runs) - len(grid.runs))


def _beside(grid: Grid, sets: tuple[str, ...]) -> bool:
    """Whether these `--set` values differ from the grid's on its axes alone."""
    axes = grid.file.axes
    mine, theirs = (
        sorted(text for text in each if text.partition("=")[0].strip() not in axes)
        for each in (grid.sets, sets)
    )
    return mine == theirs


def grid_of_runs(folder: Path) -> Grid:
    """A grid made of the runs of a folder: methods by tasks; the table adds what else differs.

    Its `path` is the folder, since there is no grid file to train it by.

    Raises:
        NotFoundError: there are no runs whose settings can be read.
    """
    runs: list[GridRun] = []
    unreadable: dict[str, str] = {}
    for run_id in store.run_ids(folder):
        try:
            resolved = load(RunPaths(folder / run_id).config, recorded=True)
        except CalisrError as error:
            problems = getattr(error, "problems", ())
            unreadable[run_id] = f"config.toml: {problems[0] if problems else error.message}"
        else:
            runs.append(GridRun({}, run_id, resolved))
    if not runs:
        raise NotFoundError(f"{folder} has no runs", "choose a grid, or another folder")
    head = GridHead(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).lstrip("._-")[:80] or "runs",
        title=folder.name,
    )
    file = GridFile(grid=head, axes={"training.seed": sorted({run.seed for run in runs})})
    return Grid(file, folder, folder, tuple(runs), unreadable=unreadable)


def _read_record(folder: Path) -> _Record | None:
    """None where there is no record or it is damaged."""
    try:
        content = read_json(folder / RECORD, MAX_BYTES)
        data_dir = content.get("data_dir")
        return _Record(
            Path(content["file"]),
            tuple(str(each) for each in content.get("sets", ())),
            Path(data_dir) if data_dir else None,
            tuple(tuple(str(each) for each in sets) for sets in content.get("before", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
