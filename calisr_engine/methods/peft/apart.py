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


def ask(what: str, tuner: str, options: Any, shapes: Any, layer_count: int = 0) -> Any:
    """The answer of `try_out` as a dict, or of `trained` as a number; None where there is none."""
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
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
