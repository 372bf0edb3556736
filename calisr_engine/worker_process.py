"""Starting a worker as a process: the one place that knows its command line and its output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from calisr_engine.runs.layout import RunPaths


def start_worker(
    run_dir: Path, environment: Mapping[str, str] | None = None, detached: bool = False
) -> subprocess.Popen[bytes]:
    """Train `run_dir` in a process of its own; what it prints goes to the run's log file.

    Args:
        environment: variables beside those of this process.
        detached: whether it goes on when this process's terminal closes.

    Raises:
        OSError: the log file cannot be written or the process cannot start.
    """
    with RunPaths(run_dir).log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "calisr_engine.worker", str(run_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=detached,
            env={**os.environ, **(environment or {})},
        )
