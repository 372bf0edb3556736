"""What a grid's run needs on the machine that trains it: its data, and the run to itself."""

from __future__ import annotations

import platform
import subprocess
import time

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import EXIT_LOCKED, UnavailableError
from calisr_engine.events.log import EventWriter, last_attempt
from calisr_engine.events.types import Failed
from calisr_engine.process.spawn import start_worker
from calisr_engine.runs import store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked

LOCK_SECONDS = 120.0
"""How long a node waits for the worker of a lost one to let go of the run."""


def begin_on_node(paths: RunPaths, threads: int | None) -> subprocess.Popen[bytes] | int:
    """Begin to train a run that is on shared storage, or go on with it.

    Args:
        threads: CPU threads of the worker; None leaves them to it.

    Returns:
        The worker, or an exit status where none is needed or can begin.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while is_locked(paths):
        if time.monotonic() > deadline:
            return EXIT_LOCKED
        time.sleep(0.2)
    if store.summarise(paths.root).state == "completed":
        return 0  # only the word of it was lost with its node
    if not data_is_here(paths):
        return UnavailableError.exit_code
    return start_worker(paths.root, thread_variables(threads), with_parent=True)


def data_is_here(paths: RunPaths) -> bool:
    """Whether this machine has the data files that the run names; if not, its log says so."""
    task = from_resolved(paths.config).task
    places = {
        "task.data_dir": task.data_dir,
        "task.train_file": task.train_file,
        "task.validation_file": task.validation_file,
        "task.test_file": task.test_file,
    }
    missing = [f"{key} = {place}" for key, place in places.items() if place and not place.exists()]
    if missing:
        with EventWriter(paths.events, last_attempt(paths.events) + 1) as writer:
            writer.write(
                0,
                Failed(
                    message=f"the node {node_name()} does not have {', '.join(missing)}",
                    hint="only run directories are copied: put the data under this path on every "
                    "node, or leave this node out",
                ),
            )
    return not missing


def node_name() -> str:
    """This machine's name."""
    return platform.node() or "without a name"


def thread_variables(threads: int | None) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads)} if threads else {}
