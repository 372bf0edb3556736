"""Training a grid: what is complete is skipped, what was begun goes on, the rest begins."""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from calisr_engine.errors import EXIT_STOPPED, CalisrError, NotFoundError
from calisr_engine.grid import slurm
from calisr_engine.grid.executors import LOCKED, Executor
from calisr_engine.grid.folders import write_record
from calisr_engine.grid.plan import Cell, GridPlan
from calisr_engine.runs import control, store
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock, is_locked
from calisr_engine.runs.store import RunSummary

CANCEL = "cancel"
POLL_SECONDS = 0.2
TRIES = 3
"""How often a run begins again in one call that was lost (not failed) before it got any further."""


@dataclass
class GridState:
    """States of a grid's runs.

    Attributes:
        runs: run id -> its history line; runs that never began are missing.
    """

    runs: dict[str, RunSummary] = field(default_factory=dict)

    def counts(self, plan: GridPlan) -> Counter[str]:
        """How many runs are in each state; "waiting" for those that never began."""
        return Counter(
            self.runs[cell.run_id].state if cell.run_id in self.runs else "waiting"
            for cell in plan.cells
        )


def read_state(plan: GridPlan) -> GridState:
    """What the run directories say."""
    wanted = {cell.run_id for cell in plan.cells}
    return GridState({s.run_id: s for s in store.list_runs(plan.folder) if s.run_id in wanted})


def run_grid(
    plan: GridPlan,
    executor: Executor,
    retry_failed: bool = False,
    on_change: Callable[[Cell, str], None] = lambda cell, what: None,
    on_poll: Callable[[], None] = lambda: None,
) -> int:
    """Train every run that is not complete.

    Args:
        on_change: called with a run and what became of it.
        on_poll: called a few times a second.

    Returns:
        0 all complete, 1 some failed, 75 some neither complete nor failed (cancelled, or lost too
        often); going on with the grid goes on with those.

    Raises:
        LockedError: another process works on this grid.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    with RunLock(RunPaths(plan.folder)):
        (plan.folder / CANCEL).unlink(missing_ok=True)
        write_record(plan)
        state = read_state(plan)
        skip = {"completed"} if retry_failed else {"completed", "failed"}
        waiting: deque[Cell] = deque(
            cell
            for cell in plan.cells
            if cell.run_id not in state.runs or state.runs[cell.run_id].state not in skip
        )
        elsewhere: list[Cell] = []
        by_dir: dict[Path, Cell] = {}
        tries: Counter[str] = Counter()
        reached: Counter[str] = Counter()
        cancelled = False
        while waiting or elsewhere or by_dir:
            if not cancelled and (plan.folder / CANCEL).exists():
                cancelled = True
                waiting.clear()
                elsewhere.clear()
                executor.stop()
            while waiting and executor.free():
                cell = waiting.popleft()
                if _held(plan, cell):
                    elsewhere.append(cell)
                    continue
                run_dir = _ready(plan, cell)
                by_dir[run_dir] = cell
                executor.submit(run_dir)
                on_change(cell, "began")
            for run_dir, status in executor.finished():
                cell = by_dir.pop(run_dir)
                if status in (EXIT_STOPPED, LOCKED):
                    step = store.summarise(run_dir).step
                    tries[cell.run_id] *= step <= reached[cell.run_id]
                    tries[cell.run_id] += 1
                    reached[cell.run_id] = max(step, reached[cell.run_id])
                if status == 0:
                    on_change(cell, "completed")
                elif status in (EXIT_STOPPED, LOCKED) and not cancelled:
                    again = tries[cell.run_id] < TRIES
                    if again:
                        waiting.append(cell)
                    on_change(cell, "begins again" if again else f"was lost {TRIES} times")
                else:
                    on_change(cell, "stopped" if status == EXIT_STOPPED else "failed")
            for cell in [cell for cell in elsewhere if not _held(plan, cell)]:
                elsewhere.remove(cell)
                if store.summarise(plan.folder / cell.run_id).state == "completed":
                    on_change(cell, "completed")
                else:
                    waiting.append(cell)
            on_poll()
            time.sleep(POLL_SECONDS)
        (plan.folder / CANCEL).unlink(missing_ok=True)
        counts = read_state(plan).counts(plan)
        if counts["completed"] == len(plan.cells):
            return 0
        return 1 if counts["failed"] and not cancelled else EXIT_STOPPED


def cancel(plan: GridPlan) -> int:
    """Ask the process that works on the grid, and every run in training, to stop and save.

    Runs whose SLURM jobs wait are taken out of the queue.

    Returns:
        How many runs were asked.

    Raises:
        NotFoundError: nothing of this grid is in training.
    """
    asked = 0
    if plan.folder.is_dir():
        (plan.folder / CANCEL).touch()
        idle = []
        for summary in read_state(plan).runs.values():
            run_dir = Path(summary.path)
            if is_locked(RunPaths(run_dir)):
                control.request(run_dir, "stop_and_save")
                asked += 1
            elif summary.state != "completed":
                idle.append(run_dir)
        asked += slurm.take_back(run_dir.resolve() for run_dir in idle)
    working = is_locked(RunPaths(plan.folder))
    if not working:
        (plan.folder / CANCEL).unlink(missing_ok=True)
    if not asked and not working:
        raise NotFoundError(f"nothing of the grid {plan.grid.grid.name} is in training")
    return asked


def _held(plan: GridPlan, cell: Cell) -> bool:
    """Whether another process trains the run: a worker that outlived the one that began it."""
    return is_locked(RunPaths(plan.folder / cell.run_id))


def _ready(plan: GridPlan, cell: Cell) -> Path:
    """The run directory, made unless it is there and whole."""
    run_dir = plan.folder / cell.run_id
    whole = (run_dir / "config.toml").is_file() and (run_dir / "events.jsonl").is_file()
    if whole and (run_dir / "config.toml").stat().st_size:
        control.take_requests(run_dir)  # made too late for the process that they were meant for
        return run_dir
    shutil.rmtree(run_dir, ignore_errors=True)
    try:
        return create_run(cell.resolved, plan.folder, name=cell.run_id)
    except OSError as error:
        raise CalisrError(f"{run_dir} cannot be made: {error}") from error
