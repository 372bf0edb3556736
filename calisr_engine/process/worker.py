"""The same run as a process of its own: `python -m calisr_engine.process.worker RUN_DIR`.

SIGTERM, SIGINT, SIGHUP and SIGUSR2 (the warning that a SLURM job's time is over) stop it with a
checkpoint; it then ends with status 75.

Several processes train one run together with `--processes N` on this machine, or anywhere by
torchrun or (on GPUs) `accelerate launch --multi_gpu`, with
`-m calisr_engine.process.worker RUN_DIR`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from calisr_engine.errors import EXIT_LOCKED, EXIT_STOPPED, CalisrError, LockedError

PARENT_POLL_SECONDS = 0.5
ORPHAN_SECONDS = 30.0
"""How long a worker without its parent may take to save; then it ends as if killed."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m calisr_engine.process.worker",
        description="Train the run in RUN_DIR to its end.",
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="processes that train it together"
    )
    parser.add_argument(
        "--with-parent",
        type=int,
        metavar="PID",
        help="stop and save when the process that started this one, PID, has ended",
    )
    options = parser.parse_args(arguments)
    run_dir: Path = options.run_dir
    if not (run_dir / "config.toml").is_file():
        print(f"{run_dir} is not a run directory: it has no config.toml", file=sys.stderr)
        return 4
    if options.processes < 1:
        parser.error("--processes must be at least 1")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, lambda *_: stop.set())
    if options.with_parent is not None:
        end_with_parent(options.with_parent, stop)
    try:
        if options.processes > 1:
            from calisr_engine.process.launch import launch

            return launch(run_dir, options.processes, stop)
        import psutil

        from calisr_engine.process.execute import execute
        from calisr_engine.training.ranks import Place

        place = Place.from_environment()
        since = psutil.Process().create_time()
        return execute(run_dir, stop, place=place, since=since)
    except CalisrError as error:
        with contextlib.suppress(OSError):  # stderr may be a file on the same full disk
            print(error, file=sys.stderr, flush=True)
        return EXIT_LOCKED if isinstance(error, LockedError) else error.exit_code


def end_with_parent(parent: int, stop: threading.Event) -> None:
    """Set `stop` once this process's parent is no longer `parent`; end hard if that takes long.

    So a run whose node was lost does not go on there while another node waits for it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        stop.set()
        time.sleep(ORPHAN_SECONDS)
        os._exit(EXIT_STOPPED)

    threading.Thread(target=watch, name="calisr-parent", daemon=True).start()


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # All is written. The interpreter's teardown would wait for a tracker that hangs, and torch's
    # communication threads can abort it.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
