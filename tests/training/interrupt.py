"""Stopping, killing and failing runs at a step, by what they write to their log."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from calisr_engine.events.log import EventWriter
from calisr_engine.process.execute import execute


class Kill(BaseException):
    """Stands for SIGKILL: no handler of the engine sees it."""


@contextlib.contextmanager
def after_event(act: Callable[[int, Any], None]) -> Iterator[None]:
    """Calls `act(step, event)` after each event that a run of this process writes."""
    write = EventWriter.write

    def hooked(self: EventWriter, step: int, event: Any) -> None:
        write(self, step, event)
        act(step, event)

    EventWriter.write = hooked  # type: ignore[method-assign]
    try:
        yield
    finally:
        EventWriter.write = write  # type: ignore[method-assign]


def kill_at(run: Path, step: int, event: str = "progress") -> None:
    """Train `run` until the event of that type and step is written; then all is lost but files.

    Raises:
        AssertionError: the run ended before.
    """

    def act(at: int, happened: Any) -> None:
        if happened.type == event and at == step:
            raise Kill

    with after_event(act):
        try:
            execute(run, raise_errors=True)
        except Kill:
            return
    raise AssertionError(f"{run.name} ended before the {event} of step {step}")


def stop_at(run: Path, step: int) -> int:
    """Train `run`, ask it to stop and save at the progress of `step`; returns its status."""
    stop = threading.Event()

    def act(at: int, happened: Any) -> None:
        if happened.type == "progress" and at == step:
            stop.set()

    with after_event(act):
        return execute(run, stop, raise_errors=True)
