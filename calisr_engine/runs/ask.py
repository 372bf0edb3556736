"""Asking a run for something and seeing what comes of it: its log and its lock are the answer."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calisr_engine.errors import DamagedError
from calisr_engine.events.fold import fold_blocks
from calisr_engine.events.log import EventReader
from calisr_engine.events.view import RunView
from calisr_engine.runs import damage_of
from calisr_engine.runs.control import request
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of, is_locked
from calisr_engine.runs.store import is_starting

ENDED = ("completed", "failed", "stopped")

Outcome = Literal["done", "already", "ended", "not training", "no answer", "asked"]


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        outcome: `done`: it did as asked. `already`: it was so before. `ended`: it ended first, or
            in another way (see `state`). `not training`: nobody trains it, so nothing was asked.
            `no answer`: it has not obeyed so far. `asked`: nobody waited.
        state: of the run now, as `RunView.state`, or `interrupted`.
        step, total_steps: where it is; 0 steps in all where it never began.
        message: why it failed ("" where it did not).
        holder: process and host of whoever trains it, or did when it was killed ("" if unknown).
    """

    run_id: str
    path: str
    request: str
    outcome: Outcome
    state: str
    step: int
    total_steps: int
    message: str = ""
    holder: str = ""


class Asking:
    """One request to one run; made at once, unless the run is as wished or nobody trains it.

    Args:
        kind: pause, resume, stop or stop_and_save, of `control.KINDS`.

    Attributes:
        made: whether a request was left for the run.
        elsewhere: whether the run is asked though no process of this machine is seen to train it,
            because its lock names another machine, whose lock may not be seen here.

    Raises:
        DamagedError: nobody trains the run and its log cannot be read.
        StorageError: the request cannot be written.
    """

    def __init__(self, run_dir: Path, kind: str) -> None:
        self.run_dir = run_dir
        self.kind = kind
        self.made = False
        self._paths = RunPaths(run_dir)
        self._reader = EventReader(self._paths.events)
        self._view = RunView()
        trained = is_locked(self._paths)
        self._read()
        holder = holder_of(self._paths) or {}
        self._holder = f"process {holder['pid']} on {holder['host']}" if holder else ""
        away = bool(holder) and holder["host"] != socket.gethostname()
        self.elsewhere = away and not trained and self._view.state not in ENDED
        self._first = self._at_once(trained)
        if self._first is None:
            request(run_dir, kind)
            self.made = True

    def look(self) -> Answer | None:
        """What came of it; None where nothing has yet."""
        if self._first is not None:
            return self._first
        trained = is_locked(self._paths)  # asked before the log, whose last line comes first
        self._read()
        state = self._view.state
        over = not (trained or self.elsewhere or is_starting(self.run_dir))
        over = over or (self.elsewhere and state in ENDED)
        if over:
            wished = self.kind in ("stop", "stop_and_save") and state == "stopped"
            return self._answer("done" if wished else "ended", over)
        if (self.kind, state) in (("pause", "paused"), ("resume", "running")):
            return self._answer("done")
        return None

    def give_up(self, outcome: Outcome = "no answer") -> Answer:
        """The answer where nobody waits any longer; the request stands."""
        return self.look() or self._answer(outcome)

    def _at_once(self, trained: bool) -> Answer | None:
        state = self._view.state
        if not (trained or self.elsewhere or is_starting(self.run_dir)):
            if damage := damage_of(self._view, self._reader):
                raise DamagedError(f"{self._paths.events} is damaged: {damage}")
            return self._answer("not training", over=True)
        if (self.kind == "pause" and state == "paused") or (
            self.kind == "resume" and state != "paused"
        ):
            return self._answer("already")
        return None

    def _read(self) -> None:
        for block in self._reader.blocks():
            if self._reader.replaced:
                self._view = RunView()
                self._reader.replaced = False
            fold_blocks(self._view, [block])

    def _answer(self, outcome: Outcome, over: bool = False) -> Answer:
        view = self._view
        cut_off = over and view.state in ("running", "paused")
        failure = view.failure.message if view.state == "failed" and view.failure else ""
        return Answer(
            run_id=self.run_dir.name,
            path=str(self.run_dir),
            request=self.kind,
            outcome=outcome,
            state="interrupted" if cut_off else view.state,
            step=view.step,
            total_steps=view.total_steps,
            message=failure,
            holder=self._holder,
        )
