"""Where a grid's runs are trained: processes of this machine, or a Ray cluster.

The worker is the same everywhere: `python -m calisr_engine.worker RUN_DIR`. So a run that a lost
node began goes on elsewhere from its newest checkpoint, where the run directory can be reached.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Protocol

from calisr_engine.errors import UnavailableError
from calisr_engine.runs import control
from calisr_engine.worker_process import start_worker

LOST = 75
"""What a run that ended without its own status counts as: stopped, can be resumed."""


class Executor(Protocol):
    """Trains run directories, some at a time."""

    def free(self) -> int:
        """How many more runs can begin now."""

    def submit(self, run_dir: Path) -> None:
        """Begin to train a run, or go on with it."""

    def finished(self) -> list[tuple[Path, int]]:
        """Runs that ended since the last call, with the worker's exit status."""

    def stop(self) -> None:
        """Ask all running runs to stop and save."""

    def close(self) -> None:
        """Let go of what the executor holds."""


class LocalExecutor:
    """Up to `jobs` processes on this machine; with `devices`, one CUDA device number for each."""

    def __init__(
        self, jobs: int, devices: tuple[str, ...] = (), threads: int | None = None
    ) -> None:
        self._slots: list[str | None] = [*devices] * max(1, jobs // max(1, len(devices)))
        if not devices:
            self._slots = [None] * jobs
        self._threads = threads or max(1, (os.cpu_count() or 1) // len(self._slots))
        self._running: dict[Path, tuple[subprocess.Popen[bytes], str | None]] = {}

    def free(self) -> int:
        return len(self._slots)

    def submit(self, run_dir: Path) -> None:
        slot = self._slots.pop(0)
        environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(self._threads))}
        if slot is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot
        self._running[run_dir] = (start_worker(run_dir, environment), slot)

    def finished(self) -> list[tuple[Path, int]]:
        ended = []
        for run_dir, (process, slot) in list(self._running.items()):
            status = process.poll()
            if status is not None:
                del self._running[run_dir]
                self._slots.append(slot)
                ended.append((run_dir, status if status >= 0 else LOST))
        return ended

    def stop(self) -> None:
        for run_dir in self._running:
            control.request(run_dir, "stop_and_save")

    def close(self) -> None:
        for process, _ in self._running.values():
            process.wait()


class RayExecutor:
    """Runs as tasks of a Ray cluster; run directories must lie on storage that all nodes share.

    Args:
        address: of the cluster; "auto" for the one this machine belongs to, "local" starts one.
        gpus, cpus: share of a node's devices that one run takes; both may be fractions.
        retries: how often a run of a lost node begins again elsewhere.
    """

    def __init__(
        self, address: str, gpus: float = 0.0, cpus: float = 1.0, retries: int = 5
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise UnavailableError(
                "--ray needs Ray", "install it with: pip install 'calisr[ray]'"
            ) from error
        self._ray: Any = ray
        if not ray.is_initialized():
            ray.init(
                address=None if address == "local" else address,
                log_to_driver=False,
                include_dashboard=False,
            )
        self._need = {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
        self._train = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=retries)(train_in_place)
        self._running: dict[Any, Path] = {}

    def free(self) -> int:
        """As many as the cluster has room for; queued ones wait in Ray and follow a lost node."""
        total = self._ray.cluster_resources()
        room = min(int(total.get(name, 0.0) / need) for name, need in self._need.items())
        return max(0, room - len(self._running))

    def submit(self, run_dir: Path) -> None:
        self._running[self._train.remote(str(run_dir.resolve()))] = run_dir

    def finished(self) -> list[tuple[Path, int]]:
        if not self._running:
            return []
        waiting = list(self._running)
        done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        ended = []
        for reference in done:
            run_dir = self._running.pop(reference)
            try:
                status = int(self._ray.get(reference))
            except Exception:  # whatever Ray raises, the run itself can go on elsewhere
                status = LOST
            ended.append((run_dir, status))
        return ended

    def stop(self) -> None:
        for run_dir in self._running.values():
            control.request(run_dir, "stop_and_save")

    def close(self) -> None:
        for reference in list(self._running):
            self._ray.wait([reference])
        self._ray.shutdown()


def train_in_place(run_dir: str) -> int:
    """One run in a process of its own, on whatever node this is called."""
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    status = start_worker(Path(run_dir), threads).wait()
    return status if status >= 0 else LOST
