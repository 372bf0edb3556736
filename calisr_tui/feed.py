"""Where a screen gets its run from: the log of a run as it grows, or a recorded log replayed."""

from __future__ import annotations

import bisect
import copy
import itertools
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from calisr_engine.events.decode import envelopes
from calisr_engine.events.fold import fold_blocks
from calisr_engine.events.log import EventReader
from calisr_engine.events.view import RunView
from calisr_engine.plain_words import counted
from calisr_engine.runs import damage_of
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked

EXAMPLE = Path(__file__).parent / "example"
"""The recorded run that ships with the package."""

SPEEDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0)
LONGEST_GAP = 2.0
"""Seconds of a recorded silence that a replay keeps; a night between two attempts is cut."""

SNAPSHOTS = 24


HALTED = ("created", "stopped", "interrupted", "failed")
"""States of a run that may be begun or gone on with."""


class Feed(Protocol):
    """What the live screen reads.

    Attributes:
        view: the run as folded so far.
        version: grows when the view was replaced by an older one, so that drawings begin anew.
        trained: whether some process trained the run at the last look.
        loading: whether that process has not said yet that it trains.
    """

    run_dir: Path
    view: RunView
    version: int
    trained: bool

    @property
    def loading(self) -> bool: ...

    def poll(self) -> bool:
        """Take in what is new; says whether anything changed."""
        ...

    def is_trained_now(self) -> bool:
        """`trained`, looked at anew."""
        ...

    @property
    def problem(self) -> str:
        """What is wrong with the source of this feed ("" if nothing is)."""
        ...


class RunFeed:
    """The log of a run of any process, read as it grows.

    Args:
        own: says whether this app trains the run, here or in a process that it started; the lock
            is then not asked, and a process that still loads counts.
    """

    def __init__(self, run_dir: Path, own: Callable[[], bool] = lambda: False) -> None:
        self.run_dir = run_dir
        self.view = RunView()
        self.version = 0
        self.trained = False
        self._paths = RunPaths(run_dir)
        self._reader = EventReader(self._paths.events)
        self._own = own
        self._halted_in: int | None = None
        """The attempt that had ended, or was to come, when the feed was opened."""
        self._polls = 0
        self._problem = ""

    def poll(self) -> bool:
        blocks = self._reader.blocks()
        first = list(itertools.islice(blocks, 1))
        if self._reader.replaced:
            self.view = RunView()
            self.version += 1
        fold_blocks(self.view, itertools.chain(first, blocks))
        changed = bool(first) or self._reader.replaced or self._problem != self.problem
        self._problem = self.problem
        if self._polls == 0 and self.view.state in HALTED:
            self._halted_in = self.view.attempt
        if self._polls % 8 == 0 or first:
            changed |= self._look_for_process()
        self._polls += 1
        return changed

    def is_trained_now(self) -> bool:
        self._look_for_process()
        return self.trained

    @property
    def loading(self) -> bool:
        return self.trained and self._halted_in == self.view.attempt

    def _look_for_process(self) -> bool:
        before = (self.trained, self.view.state)
        own = self._own()
        asked = own or self.view.state in ("running", "paused", "interrupted")
        self.trained = own or (asked and is_locked(self._paths))
        if self.view.state in ("running", "paused") and not self.trained:
            self.view.state = "interrupted"
        elif self.view.state == "interrupted" and self.trained:
            self.view.state = "running"
        return before != (self.trained, self.view.state)

    @property
    def problem(self) -> str:
        if damage := damage_of(self.view, self._reader):
            return f"{self._paths.events}: {damage}"
        return _left_out(self._reader.garbage + self.view.garbage)


def _left_out(garbage: int) -> str:
    was = "was" if garbage == 1 else "were"
    lines = f"{counted(garbage, 'line')} of the log"
    return f"{lines} could not be read and {was} left out" if garbage else ""


class ReplayFeed:
    """A recorded log, played at any speed and moved to any moment.

    Of the lines only place, time and step are kept; they are read again as they are reached. Going
    back starts from one of a few copies of the view made on the way.

    Attributes:
        position: seconds played, silences cut to LONGEST_GAP.
        duration: seconds of the whole recording.
        done: lines folded so far.
        garbage: lines that cannot be played.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.view = RunView()
        self.version = 0
        self.trained = False
        self.position = 0.0
        self.done = 0
        self._log = RunPaths(run_dir).events
        self._ends = array("q")  # in bytes, of each line that can be played
        self._at = array("d")
        self._steps = array("q")
        self.garbage = 0
        self.problem = self._load()
        self.duration = self._at[-1] if self._at else 0.0
        self._every = max(200, len(self._at) // SNAPSHOTS)
        self._snapshots: dict[int, RunView] = {0: RunView()}

    def is_trained_now(self) -> bool:
        return False

    def _load(self) -> str:
        """Take in where the lines are; what is wrong with the log ("" if nothing is)."""
        clock, before = 0.0, None
        end = 0
        reader = EventReader(self._log)
        for block in reader.blocks():
            end = reader.offset - len(block)
            for line, length in zip(envelopes(block), _lengths(block), strict=True):
                end += length
                if line is None or line.time is None:
                    self.garbage += 1
                    continue
                if before is not None:
                    clock += min(LONGEST_GAP, max(0.0, line.time - before))
                before = line.time
                self._ends.append(end)
                self._at.append(clock)
                self._steps.append(line.step)
        self.garbage += reader.garbage
        if reader.vanished:
            return f"there is no log to replay: {self._log}"
        return f"{self._log}: {reader.problem}" if reader.problem else _left_out(self.garbage)

    @property
    def ended(self) -> bool:
        return self.done >= len(self._at)

    @property
    def usual_speed(self) -> float:
        """The speed at which the whole recording takes about 40 seconds."""
        wanted = self.duration / 40
        return next((s for s in SPEEDS if s >= wanted), SPEEDS[-1])

    loading = False

    def poll(self) -> bool:
        return False

    def advance(self, elapsed: float) -> bool:
        """Play `elapsed` seconds of the recording; says whether the view changed."""
        self.position = min(self.duration, self.position + elapsed)
        return self._fold_to(bisect.bisect_right(self._at, self.position))

    def seek(self, position: float) -> bool:
        """Go to a moment of the recording, forward or back."""
        self.position = max(0.0, min(self.duration, position))
        target = bisect.bisect_right(self._at, self.position)
        if target < self.done:
            start = max(index for index in self._snapshots if index <= target)
            self.view = copy.deepcopy(self._snapshots[start])
            self.done = start
            self.version += 1
            self._fold_to(target)
            return True
        return self._fold_to(target)

    def moment_of_step(self, step: int) -> float:
        """When a step was reached first."""
        found = (at for at, reached in zip(self._at, self._steps, strict=True) if reached >= step)
        return next(found, self.duration)

    def _fold_to(self, target: int) -> bool:
        if target <= self.done:
            return False
        while self.done < target:
            goal = min(target, (self.done // self._every + 1) * self._every)
            begin = self._ends[self.done - 1] if self.done else 0
            fold_blocks(self.view, self._blocks(begin, self._ends[goal - 1]))
            self.done = goal
            if goal % self._every == 0 and goal not in self._snapshots:
                self._snapshots[goal] = copy.deepcopy(self.view)
        return True

    def _blocks(self, begin: int, end: int) -> Iterator[bytes]:
        """Whole lines from byte to byte; what was changed or removed meanwhile is passed over."""
        reader = EventReader(self._log)
        reader.offset = begin
        for block in reader.blocks():
            yield block[: max(0, end - reader.offset + len(block))]
            if reader.offset >= end:
                return


def _lengths(block: bytes) -> list[int]:
    return [len(line) + 1 for line in block.split(b"\n")[:-1]]
