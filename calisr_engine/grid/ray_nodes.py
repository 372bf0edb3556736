"""A grid's runs on the nodes of a Ray cluster.

Run directories must lie on storage that all nodes share, under the same path. A run whose node is
lost begins again elsewhere from its newest checkpoint. Its old worker may outlive the node for a
moment: it stops by itself since its parent has gone, and the new one waits for the run's lock.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from calisr_engine.errors import EXIT_STOPPED, UnavailableError
from calisr_engine.grid.executors import LOST
from calisr_engine.runs import control, store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.worker_process import start_worker

LOCK_SECONDS = 120.0
"""How long a node waits for the worker of a lost one to let go of the run."""

SEEN_SECONDS = 10.0
"""How long a file may take to show on other nodes (network file systems cache what is missing)."""

CLOSE_SECONDS = 60.0
KNOCK_SECONDS = 10.0
LOCKED = 4


class RayExecutor:
    """Runs as tasks of a Ray cluster.

    Args:
        address: of the cluster; "auto" for the one this machine belongs to, "local" starts one.
        folder: where the run directories are; every node must see it.
        gpus: share of a node's GPUs that one run takes; may be a fraction.
        threads: CPU threads of one run, and the cores that Ray sets aside for it.
        retries: how often a run of a lost node begins again elsewhere.

    Raises:
        UnavailableError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        gpus: float = 0.0,
        threads: int = 1,
        retries: int = 5,
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise UnavailableError(
                "--ray needs Ray", "install it with: pip install 'calisr[ray]'"
            ) from error
        self._ray: Any = ray
        self._began = not ray.is_initialized()
        if self._began:
            local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
            try:
                _knock(address)
                ray.init(address=address, log_to_driver=False, **local)
            except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
                raise UnavailableError(
                    f"--ray: there is no Ray cluster at {address!r}: {error}",
                    "start one with `ray start --head`, or use --ray local for this machine",
                ) from error
        self._need = {"CPU": float(threads), **({"GPU": gpus} if gpus else {})}
        self._threads = threads
        # Ray keeps this many cores for one run, so nodes are never overbooked.
        self._train = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=retries)(
            train_on_node
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._mark = folder.resolve() / f".shared-{uuid.uuid4().hex}"
        self._mark.touch()
        self._running: dict[Any, Path] = {}

    def free(self) -> int:
        """As many as the cluster has room for; those beyond wait in Ray for a node."""
        total = self._ray.cluster_resources()
        room = min(int(total.get(name, 0.0) / need) for name, need in self._need.items())
        return max(0, room - len(self._running))

    def submit(self, run_dir: Path) -> None:
        reference = self._train.remote(str(run_dir.resolve()), str(self._mark), self._threads)
        self._running[reference] = run_dir

    def finished(self) -> list[tuple[Path, int]]:
        """Runs that ended since the last call, with the worker's exit status.

        Raises:
            UnavailableError: a node does not see the run directories.
        """
        if not self._running:
            return []
        waiting = list(self._running)
        done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        ended = []
        for reference in done:
            run_dir = self._running.pop(reference)
            try:
                result = self._ray.get(reference)
            except Exception:  # whatever Ray raises, the run itself can go on elsewhere
                result = LOST
            if isinstance(result, str):
                raise UnavailableError(
                    f"the node {result} does not see {run_dir.parent.resolve()}",
                    "put the run directories on storage that all nodes share under one path "
                    "(--output-dir), or leave that node out of the cluster",
                )
            ended.append((run_dir, int(result)))
        return ended

    def stop(self) -> None:
        """Ask running runs to stop and save; take back those that wait for a node."""
        for reference, run_dir in self._running.items():
            if is_locked(RunPaths(run_dir)):
                control.request(run_dir, "stop_and_save")
            else:
                self._ray.cancel(reference)

    def close(self) -> None:
        """Wait for what still runs, up to a minute, and leave the cluster.

        What takes longer loses its task; its worker then saves and ends by itself.
        """
        waiting = list(self._running)
        if waiting:
            _, left = self._ray.wait(waiting, num_returns=len(waiting), timeout=CLOSE_SECONDS)
            for reference in left:
                with contextlib.suppress(Exception):  # the task may be gone by now
                    self._ray.cancel(reference, force=True)
        self._running.clear()
        self._mark.unlink(missing_ok=True)
        if self._began:
            self._ray.shutdown()


def train_on_node(run_dir: str, mark: str, threads: int) -> int | str:
    """Train one run in a process of its own, on whatever node this is called.

    Args:
        mark: a file beside the run directories, to see whether this node shares them.

    Returns:
        The worker's exit status, or this node's name if it does not see `mark`.
    """
    process = None
    try:
        if not _appears(Path(mark)):
            return platform.node() or "without a name"
        paths = RunPaths(Path(run_dir))
        deadline = time.monotonic() + LOCK_SECONDS
        while is_locked(paths):
            if time.monotonic() > deadline:
                return LOCKED
            time.sleep(0.2)
        if store.summarise(paths.root).state == "completed":
            return 0  # only the word of it was lost with its node
        environment = {"OMP_NUM_THREADS": str(threads)}
        process = start_worker(paths.root, environment, with_parent=True)
        status = process.wait()
    except KeyboardInterrupt:  # how Ray cancels a task
        if process is None:
            return EXIT_STOPPED
        process.terminate()
        status = process.wait()
    return status if status >= 0 else LOST


def _knock(address: str) -> None:
    """Raise OSError if nothing listens at a HOST:PORT address (Ray would try for minutes)."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def _appears(mark: Path) -> bool:
    deadline = time.monotonic() + SEEN_SECONDS
    while not mark.exists():
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(OSError):  # listing a folder makes NFS look again
            os.listdir(mark.parent)
        time.sleep(0.5)
    return True
