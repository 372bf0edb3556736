"""Training a grid: what is complete is skipped, what was begun goes on, the rest begins."""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from pathlib import Path

from calisr_engine.errors import (
    EXIT_STOPPED,
    ConfigError,
    DamagedError,
    NotFoundError,
    Problem,
    StorageError,
)
from calisr_engine.grid import slurm
from calisr_engine.grid.executors import Ending, Executor
from calisr_engine.grid.expand import Grid, GridRun
from calisr_engine.grid.folders import write_record
from calisr_engine.grid.state import (
    DIFFERENT,
    UNREADABLE,
    WAITING,
    RunState,
    count_states,
    read_run,
    read_states,
)
from calisr_engine.runs import control, store
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock, is_locked
from calisr_engine.storage.whole import storage_error

CANCEL = "cancel"
POLL_SECONDS = 0.2
TRIES = 3
"""How often a run begins again in one call that was lost (not failed) before it got any further."""


def train_grid(
    grid: Grid,
    executor: Executor,
    retry_failed: bool = False,
    only: Collection[str] | None = None,
    on_change: Callable[[GridRun, str], None] = lambda run, what: None,
    on_poll: Callable[[], None] = lambda: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train every run that is not complete.

    Args:
        only: ids of the runs to train; None takes all of the grid.
        on_change: called with a run and what became of it.
        on_poll: called a few times a second.
        asked_to_stop: whether to have all runs stop and save, wait for them and end.

    Returns:
        0 all complete, 1 some failed, 75 some neither complete nor failed (cancelled, or lost too
        often); going on with the grid goes on with those.

    Raises:
        LockedError: another process works on this grid.
        StorageError: the grid's folder cannot be made.
        ConfigError: runs of its ids were made with other settings.
    """
    try:
        grid.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(grid.folder, "the grid's folder", error) from error
    with RunLock(RunPaths(grid.folder)):
        (grid.folder / CANCEL).unlink(missing_ok=True)
        states = read_states(grid)
        _refuse_others(grid, states)
        write_record(grid)
        skip = {"completed"} if retry_failed else {"completed", "failed"}
        ids = {run.run_id for run in grid.runs} if only is None else {*only}
        mine = [run for run in grid.runs if run.run_id in ids]
        waiting = deque(run for run in mine if states[run.run_id].state not in skip)
        known = {run_id for run_id, each in states.items() if each.state == "completed"}
        # What has begun has read its switch steps and needs its source no more.
        begun = {run_id for run_id, each in states.items() if each.state != WAITING}
        elsewhere: list[GridRun] = []
        training: dict[Path, GridRun] = {}
        patience = _Patience()
        cancelled = failed = False
        while waiting or elsewhere or training:
            if not cancelled and ((grid.folder / CANCEL).exists() or asked_to_stop()):
                cancelled = True
                waiting.clear()
                executor.stop()
                for run in elsewhere:
                    if _held(grid, run):
                        try:
                            control.request(grid.folder / run.run_id, "stop_and_save")
                        except StorageError as error:
                            on_change(run, f"goes on, for it could not be asked ({error.message})")
                elsewhere.clear()
            while waiting and executor.free():
                ready = _next(waiting, known, begun)
                if ready is None:
                    break
                run = ready
                if _held(grid, run):
                    elsewhere.append(run)
                    continue
                try:
                    run_dir = _ready(grid, run)
                    executor.submit(run_dir)
                except (DamagedError, StorageError) as error:  # the others may still train
                    failed = True
                    told = "is damaged" if isinstance(error, DamagedError) else "could not begin"
                    on_change(run, f"{told} ({error.message})")
                    continue
                training[run_dir] = run
                on_change(run, "began")
            for run_dir, ending in executor.finished():
                run = training.pop(run_dir)
                control.take_requests(run_dir)  # what came too late for it
                if ending is Ending.COMPLETED:
                    known.add(run.run_id)
                if ending in (Ending.COMPLETED, Ending.FAILED):
                    failed |= ending is Ending.FAILED
                    on_change(run, ending.value)
                elif cancelled:
                    on_change(run, "stopped")
                elif patience.is_left(run, store.summarise(run_dir).step):
                    waiting.append(run)
                    on_change(run, "begins again")
                else:
                    on_change(run, f"was lost {TRIES} times")
            for run in [run for run in elsewhere if not _held(grid, run)]:
                elsewhere.remove(run)
                if store.summarise(grid.folder / run.run_id).state == "completed":
                    known.add(run.run_id)
                    on_change(run, "completed")
                else:
                    waiting.append(run)
            if not (training or elsewhere) and _next(deque(waiting), known, begun) is None:
                for run in waiting:
                    on_change(run, f"cannot begin before {run.source}, which is not complete")
                waiting.clear()
            on_poll()
            time.sleep(POLL_SECONDS)
        (grid.folder / CANCEL).unlink(missing_ok=True)
        states = read_states(grid)
        counts = count_states({run.run_id: states[run.run_id] for run in mine})
        if counts["completed"] == len(mine):
            return 0
        return 1 if (failed or counts["failed"]) and not cancelled else EXIT_STOPPED


def cancel_grid(grid: Grid) -> int:
    """Ask the process that works on the grid to stop and save its runs; without one, the runs.

    Runs whose SLURM jobs wait are taken out of the queue.

    Returns:
        How many runs are asked.

    Raises:
        NotFoundError: nothing of this grid is in training.
    """
    dirs = [grid.folder / run.run_id for run in grid.runs]
    held = [run_dir for run_dir in dirs if is_locked(RunPaths(run_dir))]
    if is_locked(RunPaths(grid.folder)):
        try:
            (grid.folder / CANCEL).touch()
        except OSError as error:
            raise storage_error(grid.folder / CANCEL, "the request to stop", error) from error
        return len(held)
    for run_dir in held:
        control.request(run_dir, "stop_and_save")
    asked = len(held) + slurm.take_back(each.resolve() for each in dirs if each not in held)
    if not asked:
        raise NotFoundError(f"nothing of the grid {grid.head.name} is in training")
    return asked


def _next(waiting: deque[GridRun], known: set[str], begun: set[str]) -> GridRun | None:
    """Takes out the first run that can begin; None where all wait for runs that they follow.

    Args:
        known: ids of complete runs; begun: of runs that have a directory.
    """
    for run in waiting:
        if run.source is None or run.source in known or run.run_id in begun:
            waiting.remove(run)
            return run
    return None


class _Patience:
    """Which lost runs begin again: those that get further, and others a few times."""

    def __init__(self) -> None:
        self._tries: Counter[str] = Counter()
        self._reached: Counter[str] = Counter()

    def is_left(self, run: GridRun, step: int) -> bool:
        """Whether a run that was lost at `step` begins again."""
        name = run.run_id
        self._tries[name] = 1 + self._tries[name] * (step <= self._reached[name])
        self._reached[name] = max(step, self._reached[name])
        return self._tries[name] < TRIES


def _refuse_others(grid: Grid, states: dict[str, RunState]) -> None:
    others = [Problem(f"{name}: {s.message}") for name, s in states.items() if s.state == DIFFERENT]
    if others:
        raise ConfigError(
            f"{grid.folder} has runs of the same ids with other settings than {grid.path} plans",
            "they were made by a version with other defaults, or edited: choose another "
            "--output-dir, or move them away",
            others,
        )


def _held(grid: Grid, run: GridRun) -> bool:
    """Whether another process trains the run: a worker that outlived the one that began it."""
    return is_locked(RunPaths(grid.folder / run.run_id))


def _ready(grid: Grid, run: GridRun) -> Path:
    """The run directory, made unless it is there and whole.

    Raises:
        DamagedError: it has results or checkpoints, but its log or settings are lost.
    """
    paths = RunPaths(grid.folder / run.run_id)
    state = read_run(grid.folder, run)
    if state.state == UNREADABLE:
        results = (paths.checkpoints, paths.best, paths.model, paths.predictions)
        if any(each.is_dir() and any(each.iterdir()) for each in results):
            raise DamagedError(f"{state.message}; its weights are there, so it is left as it is")
        if not paths.root.is_dir() or paths.root.is_symlink():
            raise DamagedError(f"{state.message}; it is no folder of ours, so it is left as it is")
        shutil.rmtree(paths.root, ignore_errors=True)
    elif paths.events.is_file():
        control.take_requests(paths.root)  # made too late for the process that they were meant for
        return paths.root
    try:
        if paths.root.is_dir():
            paths.root.rmdir()
        return create_run(run.resolved, grid.folder, run.run_id, processes=None)
    except OSError as error:
        raise storage_error(paths.root, "the run directory", error) from error
