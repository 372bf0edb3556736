"""One of several processes that train run directories together, with mishaps on demand.

    python -m tests.training.rank_process '[{"run_dir": ..., "stop_at": 5, "on": 1}, ...]'

Each job is trained by all ranks in turn. `stop_at`: rank `on` gets a stop as by SIGTERM at that
step. `die_at`: rank `on` dies there. Prints each exit status.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


def start(jobs: list[dict[str, Any]], size: int = 2) -> list[subprocess.Popen[str]]:
    # A port for each job: a rank that is ahead must not meet the others at the last one's.
    jobs = [{**job, "port": free_port()} for job in jobs]
    common = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.rank_process", json.dumps(jobs, default=str)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def statuses(jobs: list[dict[str, Any]]) -> list[list[int]]:
    """Exit statuses of every job, for each rank."""
    found = []
    for process in start(jobs):
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-3000:]
        found.append([int(line) for line in out.split()])
    return found


def main() -> None:
    from calisr_engine.process.execute import execute
    from calisr_engine.training.ranks import Place
    from calisr_engine.training.step import OptimizerStep

    place = Place.from_environment()
    gradients = OptimizerStep.gradients
    for job in json.loads(sys.argv[1]):
        os.environ["MASTER_PORT"] = str(job["port"])
        stop = threading.Event()
        mine = job.get("on") == place.rank

        def step(
            self: OptimizerStep,
            number: int,
            stop: threading.Event = stop,
            mine: bool = mine,
            job: dict[str, Any] = job,
        ) -> None:
            if mine and number == job.get("stop_at"):
                stop.set()
            if mine and number == job.get("die_at"):
                os._exit(9)
            gradients(self, number)

        OptimizerStep.gradients = step  # type: ignore[method-assign]
        print(execute(Path(job["run_dir"]), stop, place=place, since=0.0), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
