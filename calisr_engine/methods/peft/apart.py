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


def ask(what: str, tuner: str, options: Any, shapes: Any, layer_count: int = 0) -> Any:
    """The answer of `try_out` as a dict, or of `trained` as a number; None where there is none."""
    question = json.dumps([what, tuner, options, shapes, layer_count])
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=question,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _answer(question: str) -> Any:
    import torch

    from calisr_engine.methods.peft.counting import trained
    from calisr_engine.methods.peft.probe import try_out

    torch.set_num_threads(1)
    what, tuner, given, listed, layer_count = json.loads(question)
    options = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in given)
    shapes = tuple((name, (rows, columns)) for name, (rows, columns) in listed)
    if what == "try":
        return vars(try_out(tuner, options, shapes))
    try:
        return trained(tuner, options, shapes, layer_count)
    except ValueError:
        return None


if __name__ == "__main__":
    stdout, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    json.dump(_answer(sys.stdin.read()), stdout)
