"""The run that this app started: in a thread of its own, or in a process that outlives it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.worker_process import start_worker

if TYPE_CHECKING:
    from calisr_engine.engine_thread import EngineThread


class Training:
    """At most one run in this process, and whatever runs were started detached."""

    def __init__(self) -> None:
        self.engine: EngineThread | None = None
        self.detached: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, run_dir: Path) -> None:
        """Train in the background of this process; the engine holds the run's lock."""
        from calisr_engine.engine_thread import EngineThread

        self.engine = EngineThread(run_dir)
        self.engine.start()

    def start_detached(self, run_dir: Path) -> None:
        """Train in a process of its own, which goes on when this one ends."""
        self.detached[run_dir.resolve()] = start_worker(
            run_dir, {"PYTHONUNBUFFERED": "1"}, detached=True
        )

    @property
    def running(self) -> bool:
        """Whether a run trains in this process."""
        return self.engine is not None and self.engine.running

    def trains(self, run_dir: Path) -> bool:
        """Whether this very run trains in this process."""
        return self.running and self.engine is not None and self.engine.run_dir == run_dir

    def detached_running(self) -> list[Path]:
        """Detached runs of this app that go on."""
        return [path for path, process in self.detached.items() if process.poll() is None]
