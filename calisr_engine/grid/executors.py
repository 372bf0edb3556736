"""Where a grid's runs are trained: processes of this machine, or others.

The others are `ray_nodes.py` and `slurm.py`. The worker is the same everywhere:
`python -m calisr_engine.process.worker RUN_DIR`. So a run that a lost node began goes on elsewhere
from its newest checkpoint, where the run directory can be reached.
"""

from __future__ import annotations

import os
import subprocess
from enum import Enum
from pathlib import Path
from typing import Protocol

from calisr_engine.errors import EXIT_LOCKED, EXIT_STOPPED
from calisr_engine.grid.room import MeasuredRoom
from calisr_engine.process.spawn import start_worker


class Ending(Enum):
    """How a run's training ended. All but the first two may go on."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    """Asked to; it has saved."""

    LOCKED = "locked"
    """Another process trains it."""

    LOST = "lost"
    """Its worker ended without a word: killed, or its machine is gone."""


def ending(status: int | None) -> Ending:
    """What a worker's exit status says; None where it has told none."""
    if status is None or status < 0:
        return Ending.LOST
    known = {0: Ending.COMPLETED, EXIT_STOPPED: Ending.STOPPED, EXIT_LOCKED: Ending.LOCKED}
    return known.get(status, Ending.FAILED)


class Executor(Protocol):
    """Trains run directories, some at a time."""

    def free(self) -> int:
        """How many more runs can begin now."""

    def submit(self, run_dir: Path) -> None:
        """Begin to train a run, or go on with it.

        Raises:
            StorageError: its output cannot be written; nothing has begun.
        """

    def finished(self) -> list[tuple[Path, Ending]]:
        """Runs that ended since the last call, and how."""

    def stop(self) -> None:
        """Ask all running runs to stop and save."""

    def close(self) -> None:
        """Let go of what the executor holds."""


class LocalExecutor:
    """Processes of this machine.

    Args:
        jobs: how many at a time; None for one on each device, or without devices as many as cores
            and measured memory allow.
        devices: CUDA device numbers that the runs share out.
        threads: CPU threads of each; None shares the cores.
    """

    def __init__(
        self, jobs: int | None, devices: tuple[str, ...] = (), threads: int | None = None
    ) -> None:
        cores = os.cpu_count() or 1
        self._room = None
        if jobs is None:
            jobs = len(devices) or max(1, cores // (threads or 1))
            self._room = None if devices else MeasuredRoom()
        self._slots: list[str | None] = [*devices] * max(1, jobs // max(1, len(devices)))
        if not devices:
            self._slots = [None] * jobs
        self._threads = threads or max(1, cores // len(self._slots))
        self._running: dict[Path, tuple[subprocess.Popen[bytes], str | None]] = {}

    def free(self) -> int:
        if self._room is None or not self._slots:
            return len(self._slots)
        return min(len(self._slots), self._room.more(list(self._running)))

    def submit(self, run_dir: Path) -> None:
        slot = self._slots[0]
        environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(self._threads))}
        if slot is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot
        self._running[run_dir] = (start_worker(run_dir, environment), slot)
        self._slots.pop(0)

    def finished(self) -> list[tuple[Path, Ending]]:
        ended = []
        for run_dir, (process, slot) in list(self._running.items()):
            status = process.poll()
            if status is not None:
                del self._running[run_dir]
                self._slots.append(slot)
                ended.append((run_dir, ending(status)))
        return ended

    def stop(self) -> None:
        for process, _ in self._running.values():
            process.terminate()  # the worker then saves; a request could outlive it

    def close(self) -> None:
        for process, _ in self._running.values():
            process.wait()


def overbooked(jobs: int, devices: tuple[str, ...], threads: int | None) -> str:
    """A sentence where so many runs at a time ask for more cores than there are; "" if not."""
    cores = os.cpu_count() or 1
    if jobs * (threads or 1) <= cores or devices:
        return ""
    each = f" of {threads} threads" if threads else ""
    return (
        f"--jobs {jobs}: {jobs} runs{each} share {cores} cores, so each is slower; "
        "--jobs auto begins as many as cores and memory allow"
    )
