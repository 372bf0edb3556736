"""Workers as processes: the one place that knows their command line and their output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from calisr_engine.errors import EXIT_LOCKED, EXIT_STOPPED, CalisrError, LockedError
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.whole import storage_error


def start_worker(
    run_dir: Path,
    environment: Mapping[str, str] | None = None,
    detached: bool = False,
    processes: int = 1,
    with_parent: bool = False,
) -> subprocess.Popen[bytes]:
    """Train `run_dir` in a process of its own; what it prints goes to the run's log file.

    Args:
        environment: variables beside those of this process.
        detached: whether it goes on when this process's terminal closes.
        processes: how many processes train the run together.
        with_parent: whether it stops and saves when this process ends.

    Raises:
        StorageError: the log file cannot be written.
        OSError: the process cannot start.
    """
    options = ["--processes", str(processes)] if processes > 1 else []
    if with_parent:
        options += ["--with-parent", str(os.getpid())]
    path = RunPaths(run_dir).log
    try:
        log = path.open("ab")
    except OSError as error:
        raise storage_error(path, "the worker's output", error) from error
    with log:
        return subprocess.Popen(
            [sys.executable, "-m", "calisr_engine.process.worker", *options, str(run_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=detached,
            env={**os.environ, **(environment or {})},
        )


class WorkerProcess:
    """One run in processes of its own, followed as an `EngineThread` is.

    They stop and save when this process ends, however it ends.

    Attributes:
        run_dir: the run directory.
        error: what kept the run from its log, if anything.
    """

    def __init__(self, run_dir: Path, processes: int) -> None:
        self.run_dir = run_dir
        self.error: CalisrError | None = None
        self._count = processes
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to train; returns at once. Call it once."""
        # A session of its own: Ctrl-C of the terminal reaches this process alone.
        self._process = start_worker(
            self.run_dir, detached=True, processes=self._count, with_parent=True
        )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status once ended (75 if killed from outside), None before."""
        status = None if self._process is None else self._process.poll()
        if status is not None and status < 0:
            return EXIT_STOPPED
        return LockedError.exit_code if status == EXIT_LOCKED else status

    def stop_and_save(self) -> None:
        """Stop at the next step after writing a checkpoint."""
        if self._process is not None:
            self._process.terminate()

    def abandon(self) -> None:
        """End at once, without saving."""
        if self._process is not None:
            self._process.kill()
