"""What the directories of a grid's runs say, and whether they are this grid's runs at all."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli

from calisr_engine.config.deciding import decides
from calisr_engine.config.toml_file import MAX_BYTES
from calisr_engine.errors import DamagedError, NotFoundError
from calisr_engine.events.decode import decode_block
from calisr_engine.events.flat_settings import flatten
from calisr_engine.events.types import Failed, RunCreated
from calisr_engine.grid.expand import Grid, GridRun
from calisr_engine.grid.settings import Settings
from calisr_engine.runs import store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.runs.summary import RunSummary, planned
from calisr_engine.storage.plain import open_plain, read_plain

WAITING = "waiting"
"""State of a run that never began."""

UNREADABLE = "unreadable"
"""State of a run whose log or settings are lost or damaged."""

DIFFERENT = "different"
"""State of a run that has the id of a planned one, but was made with other settings: a version
whose defaults were others made it, or its config.toml was changed."""

HEAD_BYTES = 1 << 18
TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class RunState:
    """One run of a grid as it is now.

    Attributes:
        state: a state of the log, WAITING, UNREADABLE or DIFFERENT.
        summary: its history line; None where there is none to be trusted.
        message: why it failed, cannot be read, or is another run ("" otherwise).
    """

    state: str = WAITING
    summary: RunSummary | None = None
    message: str = ""


def read_states(grid: Grid) -> dict[str, RunState]:
    """Run id -> what its directory says, for every run of the grid, in order."""
    found = {summary.run_id: summary for summary in store.list_runs(grid.folder)}
    return {run.run_id: _read(grid.folder, run, found.get(run.run_id)) for run in grid.runs}


def read_run(folder: Path, run: GridRun) -> RunState:
    """What the directory of one run says."""
    try:
        summary = store.summarise(folder / run.run_id)
    except NotFoundError:
        summary = None
    return _read(folder, run, summary)


def chosen(
    grid: Grid, states: Mapping[str, RunState], wanted: Callable[[RunSummary], bool]
) -> frozenset[str]:
    """Ids of the runs that a filter takes, and of those whose switch steps they take."""
    ids: set[str] = set()
    for run in grid.runs:
        found = states[run.run_id]
        line = found.summary or planned(grid.folder / run.run_id, found.state, run.settings)
        if wanted(line):
            ids |= {run.run_id, run.source or run.run_id}
    return frozenset(ids)


def count_states(states: Mapping[str, RunState]) -> Counter[str]:
    """How many runs are in each state."""
    return Counter(each.state for each in states.values())


def why_failed(run_dir: Path) -> str:
    """Why a run failed, from the end of its log ("" if it does not say)."""
    with contextlib.suppress(OSError), open_plain(RunPaths(run_dir).events) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        for line in reversed(decode_block(file.read(TAIL_BYTES))[0]):
            if isinstance(said := line.event, Failed):
                return said.message + (f" ({said.hint})" if said.hint else "")
    return ""


def recorded_settings(paths: RunPaths) -> dict[str, Any]:
    """The settings that a run was made with, by dotted key.

    Those of config.toml, which training reads, above those of the log, which has the empty ones.

    Raises:
        DamagedError: one of the two is missing or damaged.
    """
    try:
        status = paths.config.stat()
        written = _read_toml(str(paths.config), status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{paths.config.name} cannot be read: {_line(error)}") from error
    with contextlib.suppress(OSError), open_plain(paths.events) as log:
        head = log.read(HEAD_BYTES)
        for line in decode_block(head[: head.rfind(b"\n") + 1])[0]:
            if isinstance(said := line.event, RunCreated) and said.config:
                return flatten(said.config) | written
    raise DamagedError(f"{paths.events.name} does not say its settings")


def differences(planned: Settings, recorded: Settings) -> list[str]:
    """ "training.epochs is 3, planned 2" for each setting that differs and changes results.

    Settings that only one of the two knows do not count: another version has added or dropped them.
    """
    return [
        f"{key} is {recorded[key]}, planned {value}"
        for key, value in planned.items()
        if decides(key) and key in recorded and recorded[key] != value
    ]


def _read(folder: Path, run: GridRun, summary: RunSummary | None) -> RunState:
    paths = RunPaths(folder / run.run_id)
    if summary is None:
        return _without_log(paths.root)
    try:
        found = differences(run.settings, recorded_settings(paths))
    except DamagedError as error:
        return RunState(UNREADABLE, None, error.message)
    if found:
        return RunState(DIFFERENT, None, "; ".join(found))
    state = summary.state
    if state == "created" and is_locked(paths):
        state = "running"  # it has written nothing yet
    return RunState(state, summary, why_failed(paths.root) if state == "failed" else "")


def _without_log(root: Path) -> RunState:
    try:
        return RunState(UNREADABLE, None, "it has no log") if os.listdir(root) else RunState()
    except FileNotFoundError:
        if not os.path.lexists(root):
            return RunState()
        return RunState(UNREADABLE, None, "it is a link that leads nowhere")
    except OSError as error:
        return RunState(UNREADABLE, None, f"its folder cannot be read: {error.strerror}")


@lru_cache(maxsize=4096)
def _read_toml(path: str, changed: int, size: int) -> dict[str, Any]:
    flat = flatten(tomli.loads(read_plain(Path(path), MAX_BYTES).decode()))
    return {key: None if value == "none" else value for key, value in flat.items()}


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
