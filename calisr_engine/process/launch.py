"""Several processes of this machine that train one run together, started and watched.

They find each other as under torchrun. A stop goes to rank 0, which tells the others, so all stop
at the same step; when one dies, the others are ended rather than left waiting for it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from calisr_engine.errors import EXIT_STOPPED

POLL_SECONDS = 0.1
GRACE_SECONDS = 15.0
"""How long the others may take to say why they fail once one process has ended."""


def launch(run_dir: Path, count: int, stop: threading.Event) -> int:
    """Train `run_dir` in `count` processes until all have ended.

    Args:
        stop: set it to stop and save at the next step.

    Returns:
        Rank 0's exit status; 75 if it was killed, and 1 if only another rank failed.
    """
    port = _free_port()
    processes = [_start(run_dir, rank, count, port) for rank in range(count)]
    told = False
    over_since: float | None = None
    try:
        while any(process.poll() is None for process in processes):
            if stop.is_set() and not told:
                told = True
                processes[0].terminate()
            ended = [process for process in processes if process.poll() is not None]
            if processes[0] in ended or any(process.returncode for process in ended):
                over_since = over_since or time.monotonic()
                if time.monotonic() - over_since > GRACE_SECONDS:
                    for process in processes:
                        process.kill()
            time.sleep(POLL_SECONDS)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    for rank, process in enumerate(processes):
        if process.returncode < 0:
            text = f"process {rank} of {count} was ended by signal {-process.returncode}"
            print(text, file=sys.stderr)
    first = processes[0].returncode
    if first < 0:
        return EXIT_STOPPED
    return first or int(any(process.returncode for process in processes))


def _start(run_dir: Path, rank: int, count: int, port: int) -> subprocess.Popen[bytes]:
    threads = os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // count)
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "calisr_engine.process.worker",
            "--with-parent",
            str(os.getpid()),
            str(run_dir),
        ],
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": str(threads),
        },
        # Ctrl-C of a terminal reaches the launcher alone, which passes it on once.
        start_new_session=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
