"""Keep the screen ours: what libraries print goes to a file, only the app writes to it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SERVER = "CALISR_SERVER"
"""Variable with the process id of the `calisr serve` that shows this app in a browser."""

QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def over_ssh() -> bool:
    """Whether this terminal may go away with a connection."""
    return bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))


@contextlib.contextmanager
def own_terminal() -> Iterator[Path]:
    """Point file descriptors 1 and 2 at a file; yields it.

    The app's driver writes to `sys.__stderr__` and the size is asked of `sys.__stdout__`; both
    become copies of the old descriptors, so that only the app reaches the terminal. Everything is
    as before when the block ends. A file that holds nothing is removed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    descriptor, name = tempfile.mkstemp(prefix="calisr-app-", suffix=".log")
    path = Path(name)
    saved = (os.dup(1), os.dup(2))
    originals = (sys.__stdout__, sys.__stderr__)
    sys.stdout.flush()
    sys.stderr.flush()
    streams = [os.fdopen(os.dup(each), "w", encoding="utf-8") for each in saved]
    sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    try:
        yield path
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        for stream in streams:
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        sys.__stdout__, sys.__stderr__ = originals  # type: ignore[misc]
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for each in saved:
            os.close(each)
        with contextlib.suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()
