"""The same run as a process of its own: `python -m calisr_engine.worker RUN_DIR`.

SIGTERM, SIGINT and SIGHUP stop it with a checkpoint; it then ends with status 75.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from calisr_engine.errors import CalisrError


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print("usage: python -m calisr_engine.worker RUN_DIR", file=sys.stderr)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    run_dir = Path(arguments[0])
    if not (run_dir / "config.toml").is_file():
        print(f"{run_dir} is not a run directory: it has no config.toml", file=sys.stderr)
        return 4
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    from calisr_engine.training.run import execute

    try:
        return execute(run_dir, stop)
    except CalisrError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
