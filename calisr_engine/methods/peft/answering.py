"""What the process does that `apart.ask` starts: one question on stdin, one answer on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from calisr_engine.methods.peft.apart import ANSWER, REFUSED
from calisr_engine.methods.peft.counting import trained
from calisr_engine.methods.peft.probe import try_out


def answer(question: str) -> Any:
    """The answer to this question, or the reason why there is none, as `apart.ask` reads it."""
    what, tuner, given, listed, layer_count = json.loads(question)
    options = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in given)
    shapes = tuple((name, (rows, columns)) for name, (rows, columns) in listed)
    if what == "try":
        return {ANSWER: vars(try_out(tuner, options, shapes))}
    try:
        return {ANSWER: trained(tuner, options, shapes, layer_count)}
    except ValueError as error:
        return {REFUSED: str(error)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    stdout, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    json.dump(answer(sys.stdin.read()), stdout)
