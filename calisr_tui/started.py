"""The runs that this app started: in a thread of its own, or in processes that outlive it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.process.spawn import start_worker
from calisr_engine.runs.layout import RunPaths

if TYPE_CHECKING:
    from calisr_engine.forecast.before_start import Checked
    from calisr_engine.process.thread import EngineThread


SAVE_SECONDS = 300.0


@dataclass
class GridProcess:
    """A process that trains a grid or a study; it goes on when this one ends.

    Attributes:
        kind: grid or study.
        log: where its output goes; begin: size of that file when the process began.
    """

    name: str
    log: Path
    begin: int
    process: subprocess.Popen[bytes]
    kind: str = "grid"

    def output(self) -> str:
        """What the process has said."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.begin)
                return file.read(1 << 16).decode(errors="replace").strip()
        except OSError:
            return ""


class ExportProcess:
    """A process that exports a run's model; it goes on when this one ends.

    Args:
        command: all its words.
        folder: what it writes.

    Raises:
        OSError: it cannot start.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.folder = folder
        self._began, self._took = time.monotonic(), 0.0
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        if self._took:
            return False
        if self._process.poll() is None:
            return True
        self._took = time.monotonic() - self._began
        return False

    @property
    def failed(self) -> bool:
        return not self.running and self._process.returncode != 0

    @property
    def said(self) -> str:
        """What it told of itself."""
        self._said.seek(0)
        return self._said.read(1 << 16).decode(errors="replace").strip()

    @property
    def state(self) -> str:
        """How far it is, in words."""
        if self.running:
            return f"exporting … {time.monotonic() - self._began:.0f} s"
        if self.failed:
            return "the export failed"
        return "\n".join(filter(None, (f"written in {self._took:.0f} s: {self.folder}", self.said)))


class StartedRuns:
    """At most one run in this process, and whatever runs and grids were started detached."""

    def __init__(self) -> None:
        self.engine: EngineThread | None = None
        self.detached: dict[Path, subprocess.Popen[bytes]] = {}
        self.grids: dict[Path, GridProcess] = {}
        self._untold: set[Path] = set()
        self.exports: list[ExportProcess] = []

    def start(self, run_dir: Path, checked: Checked | None = None) -> None:
        """Train in the background of this process; the engine holds the run's lock.

        Args:
            checked: what was found just before, whose data need not be read again.
        """
        from calisr_engine.process.thread import EngineThread

        self.engine = EngineThread(run_dir, None if checked is None else checked.data)
        self.engine.start()
        self._untold.add(run_dir)

    def start_detached(self, run_dir: Path) -> None:
        """Train in a process of its own, which goes on when this one ends."""
        self.detached[run_dir.resolve()] = start_worker(
            run_dir, {"PYTHONUNBUFFERED": "1"}, detached=True
        )
        self._untold.add(run_dir)

    @property
    def running(self) -> bool:
        """Whether a run trains in this process."""
        return self.engine is not None and self.engine.running

    def save_and_wait(self, seconds: float = SAVE_SECONDS) -> None:
        """Stop the run of this process, with a checkpoint: what trains here ends with it."""
        if self.engine is not None and self.engine.running:
            self.engine.stop_and_save()
            self.engine.join(seconds)

    def trains(self, run_dir: Path) -> bool:
        """Whether this very run trains in this process."""
        return self.running and self.engine is not None and self.engine.run_dir == run_dir

    def has(self, run_dir: Path) -> bool:
        """Whether the run trains here, or in a process that this app started."""
        process = self.detached.get(run_dir.resolve())
        return self.trains(run_dir) or (process is not None and process.poll() is None)

    def detached_running(self) -> list[Path]:
        """Detached runs of this app that go on."""
        return [path for path, process in self.detached.items() if process.poll() is None]

    def ended(self) -> set[Path]:
        """Runs of this app that no longer train, each told once."""
        if not self._untold:
            return set()
        detached = self.detached_running()
        found = {
            each
            for each in self._untold
            if not self.trains(each) and each.resolve() not in detached
        }
        self._untold -= found
        return found

    def start_grid(
        self,
        name: str,
        folder: Path,
        command: list[str],
        kind: str = "grid",
        begin_in: Path | None = None,
    ) -> None:
        """Train a grid or a study in a process of its own, which goes on when this one ends.

        Args:
            folder: of the runs; what the process prints goes to a file there.
            kind: grid or study.
            begin_in: the current directory of the process; None keeps this one's.

        Raises:
            OSError: the folder cannot be written, or the process cannot start.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = RunPaths(folder).log
        with path.open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                cwd=begin_in,
            )
            self.grids[folder.resolve()] = GridProcess(name, path, begin, process, kind)

    def trains_in(self, folder: Path) -> bool:
        """Whether a process that this app started works on a grid or study."""
        found = self.grids.get(folder.resolve())
        return found is not None and found.process.poll() is None

    def ended_grids(self) -> list[GridProcess]:
        """Processes of grids that have ended, each told once."""
        ended = [each for each in self.grids.values() if each.process.poll() is not None]
        self.grids = {path: each for path, each in self.grids.items() if each not in ended}
        return ended

    def start_export(self, command: list[str], folder: Path) -> ExportProcess:
        """Export a run's model to a folder, in a process of its own.

        Raises:
            OSError: the process cannot start.
        """
        self.exports.append(ExportProcess(command, folder))
        return self.exports[-1]

    def ended_exports(self) -> list[ExportProcess]:
        """Exports that have ended, each told once."""
        ended = [each for each in self.exports if not each.running]
        self.exports = [each for each in self.exports if each not in ended]
        return ended

    def export_messages(self) -> list[str]:
        """What to say of the exports that outlive this app."""
        return [f"the export goes on: {each.folder}" for each in self.exports if each.running]

    def grid_messages(self) -> list[str]:
        """What to say of the grids and studies that outlive this app."""
        how = {"grid": "grid status", "study": "tune --show --name"}
        return [
            f"the {each.kind} goes on: calisr {how[each.kind]} {shlex.quote(each.name)} "
            f"--output-dir {shlex.quote(str(folder.parent))}"
            for folder, each in self.grids.items()
            if each.process.poll() is None
        ]
