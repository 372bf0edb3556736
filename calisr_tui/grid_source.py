"""What the grid screen reads: a grid, the states of its runs, who works on it. No widget."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from calisr_engine.config.preset_files import preset_dir
from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.forecast.grid_time import remaining_seconds
from calisr_engine.grid import Grid, expand_grid, read_grid
from calisr_engine.grid.folders import grid_folders, grid_of_folder
from calisr_engine.grid.spec import grid_names
from calisr_engine.grid.state import WAITING
from calisr_engine.grid.table import Table, grid_table
from calisr_engine.runs import store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of, is_locked
from calisr_engine.tune.study import is_study
from calisr_tui.choice import Choice

MOST_SAID = 3
"""How many runs that do not count are named; the report names all."""

FILE = "?file"
"""Stands for "another file" among `grid_choices`; it cannot be a file's name."""


@dataclass(frozen=True)
class GridReading:
    """A grid as it was when its run directories were read.

    Attributes:
        worker: process and host that work on the grid ("" for nobody).
        problem: what is wrong with the grid's file or folder ("" if nothing is).
        eta_seconds: until the last run ends; None where nothing trains or nothing is known.
    """

    grid: Grid
    table: Table
    worker: str = ""
    problem: str = ""
    eta_seconds: float | None = None


@dataclass
class GridSource:
    """One grid, read again and again from any thread, one at a time.

    Args:
        what: a grid's name or file, or a folder of its runs.
    """

    what: str
    output_dir: Path
    data_dir: Path | None = None
    _grid: Grid | None = field(default=None, init=False)
    _key: tuple[object, ...] = field(default=(), init=False)
    _had_runs: bool = field(default=False, init=False)

    def read(self) -> GridReading:
        """Read what is there now.

        Raises:
            CalisrError: the grid cannot be read, and never could.
        """
        problem = ""
        try:
            grid = self._grid_now()
        except CalisrError as error:
            if self._grid is None:
                raise
            grid, problem = self._grid, _whole(error)
        table = grid_table(grid)
        if self._had_runs and not grid.folder.is_dir():
            problem = problem or f"the folder of the runs is gone: {grid.folder}"
        said = [*table.remarks, *(f"{name}: {why}" for name, why in table.left_out.items())]
        more = [f"and {len(said) - MOST_SAID} more"] if len(said) > MOST_SAID else []
        problem = problem or " · ".join([*said[:MOST_SAID], *more])
        self._had_runs |= table.counts[WAITING] < len(table.runs)
        left = remaining_seconds(table.runs)
        return GridReading(grid, table, _worker(grid.folder), problem, left)

    def _grid_now(self) -> Grid:
        """The grid; made again only when its file has changed, or its folder's runs have."""
        if self._grid is not None and self._key == self._key_of(self._grid):
            return self._grid
        folder = Path(self.what)
        if folder.is_dir():
            self._grid = grid_of_folder(folder)
        else:
            self._grid = expand_grid(self.what, self.output_dir, self.data_dir)
        self._key = self._key_of(self._grid)
        return self._grid

    def _key_of(self, grid: Grid) -> tuple[object, ...]:
        if grid.path == grid.folder:
            return tuple(store.run_ids(grid.folder))
        try:
            status = grid.path.stat()
        except OSError:
            return (0,)
        return (status.st_mtime_ns, status.st_size)


def newest_grid(output_dir: Path) -> Path | None:
    """The folder of a grid that was touched last; those of studies are none."""
    return next((each for each in grid_folders(output_dir) if not is_study(each)), None)


def grid_choices(output_dir: Path) -> list[Choice]:
    """What can be opened: folders of runs, newest first; a file; the grids that ship."""
    found = [
        Choice(str(each), each.name, f"{'a search' if is_study(each) else 'runs'} in {each}")
        for each in grid_folders(output_dir)
    ]
    found.append(Choice(FILE, "another file or folder …", "type its path"))
    for name in grid_names():
        try:
            title = read_grid(name)[0].grid.title
        except CalisrError as error:
            title = error.message
        found.append(Choice(name, name, title))
    return found


def grid_argument(grid: Grid) -> str:
    """How a command names the grid: a shipped one by name, others by file or folder."""
    shipped, here = preset_dir(), Path.cwd()
    if grid.path.is_relative_to(shipped):
        return grid.path.relative_to(shipped).with_suffix("").as_posix()
    return str(grid.path.relative_to(here) if grid.path.is_relative_to(here) else grid.path)


def run_words(
    grid: Grid,
    jobs: int,
    data_dir: str = "",
    devices: str = "",
    retry_failed: bool = False,
) -> list[str]:
    """What follows `calisr` in the command that trains the grid.

    Raises:
        ConfigError: the grid has no file to be trained by.
    """
    if grid.path == grid.folder:
        raise ConfigError(
            f"the grid file of {grid.folder} is not known, so its runs can only be looked at",
            "open the grid file itself to train what is left",
        )
    words = ["grid", "run", grid_argument(grid), "--output-dir", str(grid.folder.parent)]
    words += ["--jobs", str(jobs)]
    words += ["--data-dir", data_dir] if data_dir else []
    words += ["--devices", devices] if devices else []
    for each in grid.sets:
        words += ["--set", each]
    return words + (["--retry-failed"] if retry_failed else [])


def process_words(words: list[str]) -> list[str]:
    """The command as a process of this Python."""
    return [sys.executable, "-m", "calisr_tui", *words]


def figure_words(grid: Grid, name: str) -> list[str]:
    """What follows `calisr` in the command that draws one of the paper's figures from the grid."""
    words = ["figure", name, grid_argument(grid), "--output-dir", str(grid.folder.parent)]
    for each in grid.sets if grid.path != grid.folder else ():
        words += ["--set", each]
    return words


def _worker(folder: Path) -> str:
    paths = RunPaths(folder)
    if not is_locked(paths):
        return ""
    holder = holder_of(paths)
    return f"process {holder['pid']} on {holder['host']}" if holder else "another process"


def _whole(error: CalisrError) -> str:
    return " · ".join([error.message, *map(str, getattr(error, "problems", ()))])
