"""Trying and counting tuners in a process of their own, while a run may train in this one.

peft draws from the process's random states, and some tuners seed them. In the app a check of the
setup must not touch those of a run in another thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 300
"""Longest wait for an answer."""

ANSWERING = "calisr_engine.methods.peft.answering"
"""The module that the process runs. It is named and not imported: it asks what asks here."""

ANSWER, REFUSED = "answer", "refused"
"""Keys of what it prints: the answer, or the reason why there is none."""


def ask(what: str, tuner: str, options: Any, shapes: Any, layer_count: int = 0) -> Any:
    """The answer of `try_out` as a dict, or of `trained` as a number.

    Raises:
        ValueError: there is none; the message says why.
    """
    question = json.dumps([what, tuner, options, shapes, layer_count])
    try:
        done = subprocess.run(
            [sys.executable, "-m", ANSWERING],
            input=question,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"a process of its own for peft fails: {error}") from error
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise ValueError(f"a process of its own for peft fails: {last[:200]}") from error
    if REFUSED in said:
        raise ValueError(said[REFUSED])
    return said[ANSWER]
