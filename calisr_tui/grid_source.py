"""What the grid screen reads: a grid's plan, the states of its runs, who works on it. No widget."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from calisr_engine.config.preset_files import preset_dir
from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.events.log import parse
from calisr_engine.grid.folders import grid_folders, plan_folder
from calisr_engine.grid.plan import GridPlan, plan_grid
from calisr_engine.grid.schedule import GridState, read_state
from calisr_engine.grid.spec import grid_names, read_grid
from calisr_engine.runs import store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of, is_locked
from calisr_tui.grid_table import GridTable, make_table
from calisr_tui.screens.dialogs import Choice

TAIL_BYTES = 1 << 16


FILE = "?file"
"""Stands for "another file" among `grid_choices`; it cannot be a file's name."""


@dataclass(frozen=True)
class GridReading:
    """A grid as it was when its run directories were read.

    Attributes:
        worker: process and host that work on the grid ("" for nobody).
        problem: what is wrong with the grid's file or folder ("" if nothing is).
    """

    plan: GridPlan
    table: GridTable
    worker: str = ""
    problem: str = ""


@dataclass
class GridSource:
    """One grid, read again and again from any thread, one at a time.

    Args:
        what: a grid's name or file, or a folder of its runs.
    """

    what: str
    output_dir: Path
    data_dir: Path | None = None
    _plan: GridPlan | None = field(default=None, init=False)
    _key: tuple[object, ...] = field(default=(), init=False)
    _failures: dict[str, tuple[float | None, str]] = field(default_factory=dict, init=False)
    _had_runs: bool = field(default=False, init=False)

    def read(self) -> GridReading:
        """Read what is there now.

        Raises:
            CalisrError: the grid cannot be read, and never could.
        """
        problem = ""
        try:
            plan = self._plan_now()
        except CalisrError as error:
            if self._plan is None:
                raise
            plan, problem = self._plan, _whole(error)
        state = _with_starting(read_state(plan))
        if self._had_runs and not plan.folder.is_dir():
            problem = problem or f"the folder of the runs is gone: {plan.folder}"
        self._had_runs |= bool(state.runs)
        table = make_table(plan, state, self._failures_of(state))
        return GridReading(plan, table, _worker(plan.folder), problem)

    def _plan_now(self) -> GridPlan:
        """The plan; made again only when its file has changed, or its folder's runs have."""
        if self._plan is not None and self._key == self._key_of(self._plan):
            return self._plan
        folder = Path(self.what)
        if folder.is_dir():
            self._plan = plan_folder(folder)
        else:
            self._plan = plan_grid(self.what, self.output_dir, self.data_dir)
        self._key = self._key_of(self._plan)
        return self._plan

    def _key_of(self, plan: GridPlan) -> tuple[object, ...]:
        if plan.file == plan.folder:
            return tuple(store.run_ids(plan.folder))
        try:
            status = plan.file.stat()
        except OSError:
            return (0,)
        return (status.st_mtime_ns, status.st_size)

    def _failures_of(self, state: GridState) -> dict[str, str]:
        for run_id, summary in state.runs.items():
            if summary.state != "failed":
                self._failures.pop(run_id, None)
            elif self._failures.get(run_id, (None, ""))[0] != summary.updated:
                self._failures[run_id] = (summary.updated, failure_message(Path(summary.path)))
        return {run_id: message for run_id, (_, message) in self._failures.items()}


def grid_choices(output_dir: Path) -> list[Choice]:
    """What can be opened: folders of runs, newest first; a file; the grids that ship."""
    found = [Choice(str(each), each.name, f"runs in {each}") for each in grid_folders(output_dir)]
    found.append(Choice(FILE, "another file or folder …", "type its path"))
    for name in grid_names():
        try:
            title = read_grid(name)[0].grid.title
        except CalisrError as error:
            title = error.message
        found.append(Choice(name, name, title))
    return found


def failure_message(run_dir: Path) -> str:
    """Why a run failed, from the end of its log ("" if it does not say)."""
    with contextlib.suppress(OSError), RunPaths(run_dir).events.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        for line in reversed(file.read().splitlines()):
            record = parse(line) if b'"failed"' in line else None
            if record is not None and record["type"] == "failed":
                hint = str(record.get("hint") or "")
                return str(record.get("message", "")) + (f" ({hint})" if hint else "")
    return ""


def grid_argument(plan: GridPlan) -> str:
    """How a command names the grid: a shipped one by name, others by file or folder."""
    shipped, here = preset_dir(), Path.cwd()
    if plan.file.is_relative_to(shipped):
        return plan.file.relative_to(shipped).with_suffix("").as_posix()
    return str(plan.file.relative_to(here) if plan.file.is_relative_to(here) else plan.file)


def run_words(
    plan: GridPlan,
    jobs: int,
    data_dir: str = "",
    devices: str = "",
    retry_failed: bool = False,
) -> list[str]:
    """What follows `calisr` in the command that trains the grid.

    Raises:
        ConfigError: the grid has no file to be trained by.
    """
    if plan.file == plan.folder:
        raise ConfigError(
            f"the grid file of {plan.folder} is not known, so its runs can only be looked at",
            "open the grid file itself to train what is left",
        )
    words = ["grid", "run", grid_argument(plan), "--output-dir", str(plan.folder.parent)]
    words += ["--jobs", str(jobs)]
    words += ["--data-dir", data_dir] if data_dir else []
    words += ["--devices", devices] if devices else []
    for each in plan.sets:
        words += ["--set", each]
    return words + (["--retry-failed"] if retry_failed else [])


def shown(words: list[str]) -> str:
    """The command as one types it."""
    return shlex.join(["calisr", *words])


def process_words(words: list[str]) -> list[str]:
    """The command as a process of this Python."""
    return [sys.executable, "-m", "calisr_tui", *words]


def figure_words(plan: GridPlan, name: str) -> list[str]:
    """What follows `calisr` in the command that draws one of the paper's figures from the grid."""
    words = ["figure", name, grid_argument(plan), "--output-dir", str(plan.folder.parent)]
    for each in plan.sets if plan.file != plan.folder else ():
        words += ["--set", each]
    return words


def _with_starting(state: GridState) -> GridState:
    """A run that has written nothing yet is running where a process holds its lock."""
    return GridState(
        {
            run_id: replace(summary, state="running")
            if summary.state == "created" and is_locked(RunPaths(Path(summary.path)))
            else summary
            for run_id, summary in state.runs.items()
        }
    )


def _worker(folder: Path) -> str:
    paths = RunPaths(folder)
    if not is_locked(paths):
        return ""
    holder = holder_of(paths)
    return f"process {holder['pid']} on {holder['host']}" if holder else "another process"


def _whole(error: CalisrError) -> str:
    return " · ".join([error.message, *getattr(error, "problems", ())])
