"""A grid's runs on the nodes of a Ray cluster.

Where all nodes see the run directories under the same path, the runs train in them. A run whose
node is lost begins again elsewhere from its newest checkpoint. Its old worker may outlive the node
for a moment: it stops by itself since its parent has gone, and the new one waits for the run's
lock. Once a node turns out not to see them, runs train in scratch folders of their nodes and are
brought home (`bring_home.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calisr_engine.errors import EXIT_STOPPED, CalisrError, UnavailableError
from calisr_engine.grid.bring_home import AwayRun, LostNodeError
from calisr_engine.grid.executors import Ending, ending
from calisr_engine.grid.on_node import begin_on_node, node_name
from calisr_engine.grid.scratch import ScratchRun
from calisr_engine.runs import control
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked

SEEN_SECONDS = 10.0
"""How long a file may take to show on other nodes (network file systems cache what is missing)."""

CLOSE_SECONDS = 60.0
KNOCK_SECONDS = 10.0
POLL_SECONDS = 0.5


class RayExecutor:
    """Runs as tasks of a Ray cluster.

    Args:
        address: of the cluster; "auto" for the one this machine belongs to, "local" starts one.
        folder: where the run directories are; every node must see it.
        gpus: share of a node's GPUs that one run takes; may be a fraction.
        threads: CPU threads of one run, and the cores that Ray sets aside for it.
        retries: how often a run of a lost node begins again elsewhere.
        on_note: told, once, that a node does not see the run directories.

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
        on_note: Callable[[str], None] = lambda note: None,
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
        self._scratch = ray.remote(num_cpus=threads, num_gpus=gpus, max_restarts=0)(ScratchRun)
        self._retries = retries
        self._on_note = on_note
        folder.mkdir(parents=True, exist_ok=True)
        self._mark = folder.resolve() / f".shared-{uuid.uuid4().hex}"
        self._mark.touch()
        self._running: dict[Any, Path] = {}
        self._away: dict[Path, AwayRun] = {}
        self._shared = True

    def free(self) -> int:
        """As many as the cluster has room for; those beyond wait in Ray for a node."""
        total = self._ray.cluster_resources()
        room = min(int(total.get(name, 0.0) / need) for name, need in self._need.items())
        return max(0, room - len(self._running) - len(self._away))

    def submit(self, run_dir: Path) -> None:
        if self._shared:
            mark = str(self._mark)
            reference = self._train.remote(str(run_dir.resolve()), mark, self._threads)
            self._running[reference] = run_dir
        else:
            self._away[run_dir] = AwayRun(run_dir, lambda: self._connect(run_dir), self._retries)
            self._away[run_dir].start()

    def finished(self) -> list[tuple[Path, Ending]]:
        """Runs that ended since the last call, and how."""
        ended = []
        waiting = list(self._running)
        done, _ = (
            self._ray.wait(waiting, num_returns=len(waiting), timeout=0) if waiting else ([], [])
        )
        for reference in done:
            run_dir = self._running.pop(reference)
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.TaskCancelledError:
                result = EXIT_STOPPED
            except Exception:  # whatever Ray raises, the run itself can go on elsewhere
                result = None
            if isinstance(result, str):
                self._bring_home(result)
                self.submit(run_dir)
            else:
                ended.append((run_dir, ending(result)))
        for run_dir, away in list(self._away.items()):
            if away.ending is not None:
                del self._away[run_dir]
                ended.append((run_dir, away.ending))
        return ended

    def stop(self) -> None:
        """Ask running runs to stop and save; take back those that wait for a node."""
        for reference, run_dir in self._running.items():
            if is_locked(RunPaths(run_dir)):
                control.request(run_dir, "stop_and_save")
            else:
                self._ray.cancel(reference)
        for away in self._away.values():
            away.stop_and_save()

    def _bring_home(self, node: str) -> None:
        if self._shared:
            self._on_note(
                f"the node {node} does not see {self._mark.parent}: runs train in scratch folders "
                "of their nodes and are brought home"
            )
        self._shared = False

    def _connect(self, run_dir: Path) -> RayLink:
        return RayLink(self._ray, self._scratch.remote(run_dir.name, self._threads))

    def close(self) -> None:
        """Wait for what still runs, up to a minute, and leave the cluster.

        What takes longer loses its task; its worker then saves and ends by itself. Files that are
        being brought home are waited for as long as they come.
        """
        began = time.monotonic()
        for away in self._away.values():
            while away.is_alive() and time.monotonic() - max(began, away.moved) < CLOSE_SECONDS:
                away.join(POLL_SECONDS)
        waiting = list(self._running)
        if waiting:
            _, left = self._ray.wait(waiting, num_returns=len(waiting), timeout=CLOSE_SECONDS)
            for reference in left:
                with contextlib.suppress(Exception):  # the task may be gone by now
                    self._ray.cancel(reference, force=True)
        self._running.clear()
        self._away.clear()
        self._mark.unlink(missing_ok=True)
        if self._began:
            self._ray.shutdown()


class RayLink:
    """A `ScratchRun` as a Ray actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self._actor = actor
        self._node = actor.node.remote()

    def placed(self, seconds: float) -> str | None:
        """Name of its node; None if it has no place yet after so many seconds."""
        ready, _ = self._ray.wait([self._node], timeout=seconds)
        return str(self._get(self._node)) if ready else None

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of it.

        Raises:
            LostNodeError: its node is lost.
            CalisrError: the method failed there.
        """
        return self._get(getattr(self._actor, method).remote(*args))

    def end(self) -> None:
        """Let go of it, and of what it still trains."""
        with contextlib.suppress(Exception):  # its node may be gone
            self._ray.kill(self._actor)

    def _get(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise CalisrError(str(error.cause or error)) from error
        except self._ray.exceptions.RayError as error:
            raise LostNodeError(str(error)) from error


def train_on_node(run_dir: str, mark: str, threads: int) -> int | str:
    """Train one run in a process of its own, on whatever node this is called.

    Args:
        mark: a file beside the run directories, to see whether this node shares them.

    Returns:
        The worker's exit status (below 0: the signal that killed it), or this node's name if it
        does not see `mark`.
    """
    process: subprocess.Popen[bytes] | int | None = None
    try:
        if not _appears(Path(mark)):
            return node_name()
        process = begin_on_node(RunPaths(Path(run_dir)), threads)
        if isinstance(process, int):
            return process
        status = process.wait()
    except KeyboardInterrupt:  # how Ray cancels a task
        if process is None or isinstance(process, int):
            return EXIT_STOPPED
        process.terminate()
        status = process.wait()
    return status


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
