"""A run that trains in another machine's scratch folder, brought home while it trains.

Its log grows here every second, requests made here are passed on, and checkpoints, best weights
and other files come as they are written, each whole or not at all. So a lost node costs what was
trained since the newest checkpoint that came home. The other side is `scratch.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from calisr_engine.errors import CalisrError, LockedError
from calisr_engine.events.log import EventWriter, last_attempt
from calisr_engine.events.types import Failed
from calisr_engine.grid.executors import Ending, ending
from calisr_engine.grid.scratch import CHUNK, Files, is_brought
from calisr_engine.runs import control
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_engine.storage.whole import sweep, whole_file, whole_folder

ROUND_SECONDS = 1.0
MIRRORED = ("best", "checkpoints")
"""Folders of folders, in which what the node has pruned goes here, too."""

NOT_SENT = ("samples", "model", "predictions")
"""What a run does not need to go on."""


class LostNodeError(Exception):
    """The machine that trained cannot be reached any more."""


class _VanishedError(Exception):
    """A file was removed on the node while it was copied."""


class Link(Protocol):
    """A `ScratchRun` somewhere else."""

    def placed(self, seconds: float) -> str | None:
        """Name of its node; None if it has no place yet after so many seconds."""

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of it.

        Raises:
            LostNodeError: its node is lost.
            CalisrError: the method failed there.
        """

    def end(self) -> None:
        """Let go of it."""


class AwayRun(threading.Thread):
    """Trains one run elsewhere and keeps its run directory here up to date.

    Args:
        connect: makes a `ScratchRun` on some node.
        retries: on how many other nodes it goes on when one is lost.

    Attributes:
        ending: how it ended; None while it runs.
        moved: time of the last chunk of a file, by the monotonic clock.
    """

    def __init__(self, run_dir: Path, connect: Callable[[], Link], retries: int) -> None:
        super().__init__(name=f"calisr-{run_dir.name}", daemon=True)
        self.ending: Ending | None = None
        self.moved = time.monotonic()
        self._paths = RunPaths(run_dir)
        self._connect = connect
        self._retries = retries
        self._stop_asked = threading.Event()
        self._stop_told = False
        self._have: dict[str, Files] = {}
        self._looked = 0.0

    def stop_and_save(self) -> None:
        """Ask the worker to stop and save, or take the run back if it has not begun."""
        self._stop_asked.set()

    def run(self) -> None:
        how = Ending.LOST
        try:
            for _ in range(1 + self._retries):
                with contextlib.suppress(LostNodeError):
                    how = self._on_one_node()
                    break
                if self._stop_asked.is_set():
                    break
        except LockedError:
            how = Ending.LOCKED
        except (CalisrError, OSError) as error:
            self._fail(error)
            how = Ending.FAILED
        finally:
            self.ending = how

    def _on_one_node(self) -> Ending:
        link = self._connect()
        try:
            node = None
            while node is None:
                if self._stop_asked.is_set():
                    return Ending.STOPPED
                node = link.placed(ROUND_SECONDS)
            with RunLock(self._paths, host=node):
                for folder in (self._paths.root, *map(self._paths.root.joinpath, MIRRORED)):
                    sweep(folder)
                self._send(link)
                if self._stop_asked.is_set():
                    return Ending.STOPPED
                link.call("begin")
                self._stop_told = False
                status = None
                while status is None:
                    status = self._round(link)
                    time.sleep(0 if status is not None else ROUND_SECONDS)
                link.call("clear")
            return ending(status)
        finally:
            link.end()

    def _send(self, link: Link) -> None:
        """Settings, log, newest checkpoint and best weights: what the run needs to go on."""
        _end_with_a_line(self._paths.events)
        for name in sendable(self._paths):
            with (self._paths.root / name).open("rb") as file:
                while data := file.read(CHUNK):
                    link.call("write", name, data)
        # What was sent need not come back.
        self._have = by_unit(link.call("files") or {})

    def _round(self, link: Link) -> int | None:
        """Bring home what is new; the exit status once the worker has ended and all is home."""
        files = link.call("files")
        status = self._talk(link)
        if status is None:
            if files is not None:
                self._bring(link, files)
            return None
        files = link.call("files")
        if files is None or not self._bring(link, files):
            raise CalisrError("a file changed while the ended run was brought home")
        self._talk(link, everything=True)
        return status

    def _talk(self, link: Link, everything: bool = False) -> int | None:
        """Pass requests on and add to the log."""
        if self._stop_asked.is_set() and not self._stop_told:
            link.call("request", "stop_and_save", {})
            self._stop_told = True
        for request in control.take_requests(self._paths.root)[0]:
            link.call("request", request.kind, request.args)
        with self._paths.events.open("ab") as log:
            while True:
                status, data = link.call("look", log.tell(), everything)
                log.write(data)
                if len(data) < CHUNK // 2:
                    break
            log.flush()
            os.fsync(log.fileno())
        self._looked = time.monotonic()
        return None if status is None else int(status)

    def _bring(self, link: Link, files: Files) -> bool:
        """Copy what is new, then remove what the node has pruned; False if something vanished."""
        units = by_unit(files)
        for unit in sorted(units, key=lambda each: (not each.startswith("best/"), each)):
            if self._have.get(unit) != units[unit]:
                if not self._fetch(link, unit, units[unit]):
                    return False
                self._have[unit] = units[unit]
        for folder in MIRRORED:
            there = {unit for unit in units if unit.startswith(f"{folder}/")}
            for path in (self._paths.root / folder).glob("*/") if there else ():
                if f"{folder}/{path.name}" not in there:
                    shutil.rmtree(path, ignore_errors=True)
        return True

    def _fetch(self, link: Link, unit: str, files: Files) -> bool:
        """Copy what is renamed as one, whole or not at all; False if something of it vanished."""
        final = self._paths.root / unit
        place = whole_file if unit in files else whole_folder
        with contextlib.suppress(_VanishedError):
            with place(final, f"{unit} of the run") as part:
                for name, (size, _) in files.items():
                    self._copy(link, name, part / Path(name).relative_to(unit), size)
            return True
        return False

    def _copy(self, link: Link, name: str, target: Path, size: int) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while (at := file.tell()) < size:
                data = link.call("read", name, at)
                if not data:
                    raise _VanishedError
                file.write(data[: size - at])
                self.moved = time.monotonic()
                if self.moved - self._looked > ROUND_SECONDS:
                    self._talk(link)

    def _fail(self, error: Exception) -> None:
        """Say in the log why the run could not be trained elsewhere."""
        events = self._paths.events
        with (
            contextlib.suppress(CalisrError, OSError),
            EventWriter(events, max(1, last_attempt(events))) as writer,
        ):
            writer.write(0, Failed(message=f"the run could not be brought home: {error}"))


def by_unit(files: Files) -> dict[str, Files]:
    """Files by what is renamed as one: a checkpoint, a best model, an exported model, or a file."""
    units: dict[str, Files] = {}
    for name, facts in files.items():
        parts = name.split("/")
        depth = 2 if parts[0] in MIRRORED else 1 if parts[0] == "model" else len(parts)
        units.setdefault("/".join(parts[:depth]), {})[name] = facts
    return units


def sendable(paths: RunPaths) -> Iterator[str]:
    """Files, by their path in the run directory, that another machine needs to go on."""
    steps = [path for path in paths.checkpoints.glob("step-*") if path.suffix == ""]
    newest = max(steps, key=lambda path: int(path.name.removeprefix("step-")), default=None)
    for path in sorted(paths.root.rglob("*")):
        name = str(path.relative_to(paths.root))
        first = name.split("/", 1)[0]
        wanted = is_brought(name) and first not in NOT_SENT
        if first == paths.checkpoints.name:
            wanted = wanted and newest is not None and newest in path.parents
        if path.is_file() and (wanted or path == paths.events):
            yield name


def _end_with_a_line(log: Path) -> None:
    """Cut off a line that was being added when the process that did so was killed."""
    data = log.read_bytes()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        os.truncate(log, end)
