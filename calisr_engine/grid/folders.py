"""Folders of grids: which grid a folder's runs belong to, from a record beside them or the runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from calisr_engine.config.load import ResolvedConfig, load
from calisr_engine.errors import CalisrError, NotFoundError
from calisr_engine.grid.plan import Cell, GridPlan, plan_grid
from calisr_engine.grid.spec import GridFile, GridHead, grid_names, read_grid
from calisr_engine.runs import store
from calisr_engine.runs.layout import RunPaths

RECORD = "grid.json"
"""Names the grid file, the `--set` values and the data folder of a grid's last training."""


def write_record(plan: GridPlan) -> None:
    """Note beside the runs which grid they are of; a folder that cannot be written goes without."""
    content = {
        "file": str(plan.file.absolute()),
        "sets": list(plan.sets),
        "data_dir": str(plan.data_dir.absolute()) if plan.data_dir else None,
    }
    with contextlib.suppress(OSError):
        (plan.folder / RECORD).write_text(json.dumps(content) + "\n", encoding="utf-8")


def grid_folders(output_dir: Path) -> list[Path]:
    """Folders in `output_dir` that hold a record or runs of their own, newest first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(output_dir) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if not entry.is_dir() or RunPaths(Path(entry.path)).events.exists():
                    continue
                if (Path(entry.path) / RECORD).is_file() or store.run_ids(Path(entry.path)):
                    found.append((entry.stat().st_mtime, entry.name))
    return [output_dir / name for _, name in sorted(found, reverse=True)]


def plan_folder(folder: Path) -> GridPlan:
    """The grid whose runs lie in `folder`.

    By its record; without one (or if its file has gone) a shipped grid of that name; else the runs
    themselves make the grid.

    Raises:
        NotFoundError: there are no runs.
        ConfigError: the recorded grid file is wrong.
    """
    file, sets, data_dir = _read_record(folder)
    if file is not None and file.is_file():
        plan = plan_grid(file, folder.parent, data_dir, sets)
        if plan.folder.name == folder.name:
            return plan
    elif file is None:
        for name in grid_names():
            if read_grid(name)[0].grid.name == folder.name:
                plan = plan_grid(name, folder.parent)
                if {cell.run_id for cell in plan.cells} & set(store.run_ids(folder)):
                    return plan
    return plan_from_runs(folder)


def plan_as_trained(name_or_folder: str, output_dir: Path) -> GridPlan:
    """A grid with the `--set` values of its last training: those belong to its runs' ids.

    Args:
        name_or_folder: a grid's name or file, or a folder of runs.

    Raises:
        NotFoundError, ConfigError: as `plan_grid` and `plan_folder`.
    """
    if Path(name_or_folder).is_dir():
        return plan_folder(Path(name_or_folder))
    grid, file = read_grid(name_or_folder)
    recorded, sets, data_dir = _read_record(output_dir / grid.grid.name)
    if recorded is None or recorded != file.absolute():
        sets, data_dir = (), None
    return plan_grid(file, output_dir, data_dir, sets)


def plan_from_runs(folder: Path) -> GridPlan:
    """A grid made of the runs of a folder: methods by tasks, and whatever else tells runs apart.

    Its `file` is the folder, since there is no grid file to train it by.

    Raises:
        NotFoundError: there are no runs whose settings can be read.
    """
    found: list[tuple[str, ResolvedConfig]] = []
    for run_id in store.run_ids(folder):
        with contextlib.suppress(CalisrError):
            found.append((run_id, load(RunPaths(folder / run_id).config)))
    if not found:
        raise NotFoundError(f"{folder} has no runs", "choose a grid, or another folder")
    rows: tuple[str, ...] = ("method.name", "calibration.variant")
    columns = ("task.name",)
    rows += _further_rows([_flat(resolved) for _, resolved in found], (*rows, *columns))
    cells = []
    for run_id, resolved in found:
        flat = _flat(resolved)
        keys = (*rows, *columns, "training.seed")
        cells.append(Cell({key: flat.get(key) for key in keys}, run_id, resolved))
    seeds = sorted({resolved.config.training.seed for _, resolved in found})
    head = GridHead(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).lstrip("._-")[:80] or "runs",
        title=folder.name,
        rows=rows,
        columns=columns,
    )
    grid = GridFile(grid=head, axes={"training.seed": list(seeds)})
    return GridPlan(grid, folder, folder, tuple(cells))


def _further_rows(runs: list[dict[str, Any]], known: tuple[str, ...]) -> tuple[str, ...]:
    """Settings that differ between runs of equal `known` settings and seed."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for flat in runs:
        key = repr([flat.get(each) for each in (*known, "training.seed")])
        alike.setdefault(key, []).append(flat)
    differing: dict[str, None] = {}
    for group in alike.values():
        for key in group[0]:
            if key.startswith(("output.", "notes.")) or key == "task.data_dir":
                continue
            if any(flat.get(key) != group[0][key] for flat in group[1:]):
                differing[key] = None
    return tuple(differing)


def _flat(resolved: ResolvedConfig) -> dict[str, Any]:
    sections = resolved.config.model_dump(mode="json")
    return {
        f"{section}.{key}": value
        for section, table in sections.items()
        if isinstance(table, dict)
        for key, value in table.items()
    }


def _read_record(folder: Path) -> tuple[Path | None, tuple[str, ...], Path | None]:
    """(grid file, sets, data folder); nothing where there is no record or it is damaged."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        data_dir = content.get("data_dir")
        return (
            Path(content["file"]),
            tuple(str(each) for each in content.get("sets", ())),
            Path(data_dir) if data_dir else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, (), None
