"""A run on a machine that does not see its run directory: trained in a local scratch folder.

The other side is `bring_home.py`. Nothing here knows how the two talk; over Ray an object of
`ScratchRun` is an actor.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from calisr_engine.errors import CalisrError, UnavailableError
from calisr_engine.events.decode import parse
from calisr_engine.grid.on_node import data_is_here, node_name, thread_variables
from calisr_engine.process.spawn import start_worker
from calisr_engine.runs import control
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked

CHUNK = 16 << 20
"""Bytes that are moved at once, and so what a large file takes in memory."""

FORGOTTEN_SECONDS = 24 * 3600.0
"""Age at which another run's scratch folder goes, if nothing trains in it."""

LAST = frozenset({"completed", "stopped", "failed"})
"""Events that end an attempt; told only when all files have been brought home."""

Files = dict[str, tuple[int, int]]
"""Files of a run by their path in it: (bytes, time of change in ns)."""


class ScratchRun:
    """One run in a folder of its own in this machine's folder for temporary files.

    Args:
        run_id: name of the run directory.
        threads: CPU threads of the worker; None leaves them to it.
    """

    def __init__(self, run_id: str, threads: int | None = None) -> None:
        shelf = own_shelf()
        _sweep(shelf)
        self.paths = RunPaths(shelf / uuid.uuid4().hex / run_id)
        self.paths.root.mkdir(parents=True)
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._status: int | None = None

    def node(self) -> str:
        """This machine's name."""
        return node_name()

    def write(self, name: str, data: bytes) -> None:
        """Append to a file of the run."""
        path = self.paths.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)

    def begin(self) -> None:
        """Train what has been written here, or go on with it."""
        if not data_is_here(self.paths):
            self._status = UnavailableError.exit_code
            return
        variables = thread_variables(self._threads)
        self._process = start_worker(self.paths.root, variables, with_parent=True)

    def request(self, kind: str, args: dict[str, object]) -> None:
        """Pass a request on to the worker."""
        control.request(self.paths.root, kind, **args)

    def look(self, offset: int, everything: bool) -> tuple[int | None, bytes]:
        """The worker's exit status (None while it trains, below 0 for a signal that killed it), and
        whole lines of its log.

        Args:
            offset: bytes of the log that are known.
            everything: whether an event that ends the attempt is told, too. Such a one is held
                back until the files are home, so that a node lost before then loses no result.
        """
        status = self._ended()
        try:
            with self.paths.events.open("rb") as file:
                file.seek(offset)
                data = file.read(CHUNK)
        except OSError:
            data = b""
        data = data[: data.rfind(b"\n") + 1]
        if not everything and data:
            before = data.rfind(b"\n", 0, -1) + 1
            record = parse(data[before:])
            if record is not None and record["type"] in LAST:
                data = data[:before]
        return status, data

    def files(self) -> Files | None:
        """What there is to bring home, but the log; None if that changes just now.

        The best weights are listed before and after the checkpoints that need them.
        """
        best = self._list("best")
        rest = self._list("")
        if best != {name: facts for name, facts in rest.items() if name.startswith("best/")}:
            return None
        return rest if self._list("best") == best else None

    def read(self, name: str, offset: int) -> bytes | None:
        """Up to `CHUNK` bytes of a file; None if it is gone."""
        try:
            with (self.paths.root / name).open("rb") as file:
                file.seek(offset)
                return file.read(CHUNK)
        except OSError:
            return None

    def clear(self) -> None:
        """Remove the folder; all of it is home."""
        shutil.rmtree(self.paths.root.parent, ignore_errors=True)

    def _ended(self) -> int | None:
        if self._process is not None and self._status is None:
            self._status = self._process.poll()
        return self._status

    def _list(self, below: str) -> Files:
        found: Files = {}
        for path in sorted((self.paths.root / below).rglob("*")):
            name = str(path.relative_to(self.paths.root))
            if is_brought(name):
                with contextlib.suppress(OSError):
                    if path.is_file():
                        status = path.stat()
                        found[name] = (status.st_size, status.st_mtime_ns)
        return found


def own_shelf() -> Path:
    """This user's folder for scratch runs, which nobody else can enter; made if it is not there.

    Raises:
        CalisrError: something else stands there, such as a folder or link of another user.
    """
    shelf = Path(tempfile.gettempdir()) / f"calisr-scratch-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        shelf.mkdir(mode=0o700)
    status = shelf.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise CalisrError(
            f"{shelf} is not a folder that only this user can enter",
            "remove it, or set TMPDIR to a folder of your own",
        )
    return shelf


def is_brought(name: str) -> bool:
    """Whether a file of a run directory is copied: not the log, the lock, requests, parts, and
    what is said about the run at home."""
    first = name.split("/", 1)[0]
    left = ("events.jsonl", "lock", "control", "about.json")
    return not (first in left or first.startswith(".") or ".tmp" in name)


def _sweep(shelf: Path) -> None:
    """Remove what runs left here whose grid was killed."""
    for run in shelf.glob("*/*/"):
        with contextlib.suppress(OSError):
            old = time.time() - run.stat().st_mtime > FORGOTTEN_SECONDS
            if old and not is_locked(RunPaths(run)):
                shutil.rmtree(run.parent, ignore_errors=True)
