"""Finding, listing, making and deleting run directories."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import shutil
import threading
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from calisr_engine.errors import CalisrError, LockedError, NotFoundError
from calisr_engine.runs.index import Index, Key
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.runs.summary import HEAD_BYTES, RunSummary, summarise
from calisr_engine.storage.plain import open_plain

__all__ = [
    "History",
    "RunSummary",
    "delete",
    "find",
    "is_run",
    "is_starting",
    "list_runs",
    "newest_in_training",
    "run_ids",
    "summarise",
]

STARTING_SECONDS = 30.0
COMPLETE_SECONDS = 60.0
"""Between two looks at runs that are complete: only a note, or more epochs, changes those."""


def find(name: str, root: Path) -> Path:
    """The run directory that `name` stands for: a path, an id, or the unique start of an id.

    Raises:
        NotFoundError: there is none, or more than one begins so.
    """
    direct = Path(name)
    if is_run(direct):
        return direct
    if is_run(root / name):
        return root / name
    ids = run_ids(root)
    starting = [each for each in ids if each.startswith(name)]
    if len(starting) == 1:
        return root / starting[0]
    if len(starting) > 1:
        shown = ", ".join(starting[:5])
        raise NotFoundError(f"{name!r} begins {len(starting)} runs: {shown}", "give more of the id")
    near = difflib.get_close_matches(name, ids, n=1, cutoff=0.4)
    hint = f"`calisr runs --output-dir {root}` lists the runs"
    hint = f"did you mean {near[0]}?" if near else hint
    below = [folder / name for folder in folders_of_runs(root) if is_run(folder / name)]
    if below:
        others = f" (and {len(below) - 1} more)" if len(below) > 1 else ""
        hint = f"did you mean {below[0]}{others}? That is a run of a grid or a search"
    raise NotFoundError(f"there is no run {name!r} in {root}", hint)


def folders_of_runs(root: Path) -> list[Path]:
    """Folders in `root` that hold runs: those of grids and of searches, by name."""
    found = []
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir() and not is_run(Path(entry.path)) and run_ids(Path(entry.path)):
                found.append(Path(entry.path))
    return sorted(found)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory: it has a log, whatever that is like."""
    try:
        return os.path.lexists(RunPaths(folder).events)
    except ValueError:  # a name that no file can have
        return False


def run_ids(root: Path) -> list[str]:
    """Names of all run directories in `root`, sorted."""
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if os.path.lexists(f"{e.path}/events.jsonl"))
    except OSError:
        return []


def newest_in_training(root: Path) -> Path | None:
    """The run in `root` that began last of those that some process trains now, or is about to."""
    begun: dict[Path, float] = {}
    for run_id in run_ids(root):
        paths = RunPaths(root / run_id)
        with contextlib.suppress(OSError):
            if is_locked(paths):
                begun[paths.root] = paths.lock.stat().st_mtime
            elif is_starting(paths.root):
                begun[paths.root] = paths.events.stat().st_mtime
    return max(begun, key=lambda run_dir: begun[run_dir], default=None)


def is_starting(run_dir: Path) -> bool:
    """Whether a log has one line and that is new: its process still loads libraries."""
    log = RunPaths(run_dir).events
    try:
        if not 0 <= time.time() - log.stat().st_mtime < STARTING_SECONDS:
            return False
        with open_plain(log) as file:
            return file.read(HEAD_BYTES).count(b"\n") == 1
    except OSError:
        return False


class History:
    """The runs of a folder, to be listed again and again: what has not changed is not read again.

    An index file beside them keeps that from one process to the next; it is rebuilt where it is
    missing, damaged or out of date. Several threads may read it, one after the other.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._turn = threading.RLock()
        self._listed: list[RunSummary] = []
        self._looked_at: tuple[float, int | None] = -math.inf, None

    def read(self) -> list[RunSummary]:
        """All runs, newest first; one whose log cannot be read is `unreadable`."""
        with self._turn:
            return self._read()

    def _read(self) -> list[RunSummary]:
        self._looked_at = time.monotonic(), _changed(self.root)
        found = {run_id: self._look(run_id) for run_id in run_ids(self.root)}
        self._index.keep(found.keys())
        self._index.write()
        self._listed = sorted(
            filter(None, found.values()),
            key=lambda s: (s.created or 0.0, s.run_id),
            reverse=True,
        )
        return self._listed

    def read_again(self) -> list[RunSummary]:
        """As `read`, but complete runs are looked at once a minute, unless some came or went."""
        with self._turn:
            at, changed = self._looked_at
            if time.monotonic() - at > COMPLETE_SECONDS or changed != _changed(self.root):
                return self._read()
            self._listed = [
                each if each.state == "completed" else self._look(each.run_id) or each
                for each in self._listed
            ]
            return self._listed

    def _look(self, run_id: str) -> RunSummary | None:
        """A run as it is now; None where it was removed just now."""
        path = f"{self._before}{run_id}"
        key = _key(path)
        summary = self._index.get(run_id, key)
        if summary is None or summary.state == "unreadable":  # it may have become readable
            try:
                summary = summarise(Path(path))
            except NotFoundError:
                return None
        if (summary.run_id, summary.path) != (run_id, path):
            summary = replace(summary, run_id=run_id, path=path)
        self._index.put(run_id, key, summary)
        return _as_it_is(summary)

    @cached_property
    def _index(self) -> Index[RunSummary]:
        """Read with the first look, not as the object is made: of thousands of runs it is long."""
        return Index(self.root, RunSummary)

    @cached_property
    def _before(self) -> str:
        """What stands before an id in a path: of thousands of paths, objects cost most."""
        return str(self.root / "x")[:-1]


def list_runs(root: Path) -> list[RunSummary]:
    """All runs in `root`, newest first, as `History` reads them."""
    return History(root).read()


def _changed(folder: Path) -> int | None:
    """When something was made, renamed or removed in a folder; None where there is none."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def _as_it_is(summary: RunSummary) -> RunSummary:
    """With the state that the log's lock tells."""
    state = summary.state
    if state in ("running", "paused", "interrupted"):
        if not is_locked(RunPaths(Path(summary.path))):
            state = "interrupted"
        elif state == "interrupted":
            state = "running"
    return summary if state == summary.state else replace(summary, state=state)


def _key(run_dir: str) -> Key:
    """What changes with a log, and with what is said of the run; 0 for what cannot be asked."""
    changed = size = said = 0
    with contextlib.suppress(OSError):
        status = os.stat(f"{run_dir}/events.jsonl")
        changed, size = status.st_mtime_ns, status.st_size
    with contextlib.suppress(OSError):
        said = os.stat(f"{run_dir}/about.json").st_mtime_ns
    return changed, size, said


def delete(run_dir: Path) -> None:
    """Delete a run directory.

    Raises:
        LockedError: a process trains in it.
        CalisrError: it cannot be removed.
    """
    if is_locked(RunPaths(run_dir)):
        raise LockedError(f"{run_dir.name} is being trained; stop it first")
    try:
        shutil.rmtree(run_dir)
    except OSError as error:
        raise CalisrError(f"{run_dir} could not be deleted: {error}") from error
