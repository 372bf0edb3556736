"""Training the trials of a study: Optuna chooses, an executor trains, the logs are the answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.errors import EXIT_STOPPED, NotFoundError
from calisr_engine.grid.executors import Ending, Executor
from calisr_engine.grid.train import CANCEL
from calisr_engine.runs import control, store
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock, is_locked
from calisr_engine.storage.whole import storage_error, write_text
from calisr_engine.tune import by_optuna
from calisr_engine.tune.study import (
    BEST,
    Command,
    Study,
    Trial,
    best_of,
    best_toml,
    read_trials,
    seed_name,
    seed_runs,
)

if TYPE_CHECKING:
    import optuna

POLL_SECONDS = 0.2
TRIES = 3
"""How often a run begins again that was lost (not failed), before it is left as it is."""

OnChange = Callable[[Path, str], None]


def search(
    study: Study,
    executor: Executor,
    on_change: OnChange = lambda run_dir, what: None,
    on_poll: Callable[[], None] = lambda: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    command: Command | None = None,
) -> int:
    """Train trials until the plan's number has begun and ended, then the best settings' seeds.

    What is there is gone on with. The best settings so far are in `best.toml` after each trial.

    Args:
        command: what goes on with the study, for its record.

    Returns:
        0 done, 1 no trial has a metric, 75 stopped before the end.

    Raises:
        LockedError: another process works on this study.
        UnavailableError: Optuna is not installed.
        StorageError: the study's folder cannot be written.
    """
    by_optuna.check_installed()
    try:
        study.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(study.folder, "the study's folder", error) from error
    asked = study.folder / CANCEL
    with RunLock(RunPaths(study.folder)):
        asked.unlink(missing_ok=True)
        trials = _Trials(study)
        study.begin(command)
        loop = _Loop(executor, on_change, on_poll, lambda: asked.exists() or asked_to_stop())
        loop.train(trials.next, trials.look, trials.ended)
        if loop.stopped:
            return EXIT_STOPPED
        best = best_of(trials.all)
        if best is None:
            return 1
        waiting = deque(_seed_dirs(study, best))
        loop.train(lambda: waiting.popleft() if waiting else None, lambda run_dir: None, _nothing)
        return EXIT_STOPPED if loop.stopped else 0


def cancel_study(folder: Path) -> int:
    """Ask the process that works on a study to stop and save its trials; without one, the trials.

    Returns:
        How many runs are asked.

    Raises:
        NotFoundError: nothing of this study is in training.
        StorageError: the request cannot be written.
    """
    held = [run_dir for run_dir in _run_dirs(folder) if is_locked(RunPaths(run_dir))]
    if is_locked(RunPaths(folder)):
        try:
            (folder / CANCEL).touch()
        except OSError as error:
            raise storage_error(folder / CANCEL, "the request to stop", error) from error
        return len(held)
    if not held:
        raise NotFoundError(f"nothing of the study {folder.name} is in training")
    for run_dir in held:
        control.request(run_dir, "stop_and_save")
    return len(held)


def _run_dirs(folder: Path) -> list[Path]:
    return [folder / name for name in store.run_ids(folder)]


def _nothing(run_dir: Path, ending: Ending) -> None:
    pass


class _Loop:
    """Keeps an executor busy with run directories."""

    def __init__(
        self,
        executor: Executor,
        on_change: OnChange,
        on_poll: Callable[[], None],
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self._executor = executor
        self._on_change = on_change
        self._on_poll = on_poll
        self._asked_to_stop = asked_to_stop
        self.stopped = False

    def train(
        self,
        following: Callable[[], Path | None],
        look: Callable[[Path], None],
        ended: Callable[[Path, Ending], None],
    ) -> None:
        """Train what `following` gives until it gives nothing.

        Args:
            look: called a few times a second for each run in training.
            ended: called once a run has ended for good.
        """
        training: set[Path] = set()
        elsewhere: set[Path] = set()
        again: deque[Path] = deque()
        tries: dict[Path, int] = {}
        more = True
        while more or again or training or elsewhere:
            if self._asked_to_stop() and not self.stopped:
                self.stopped, more = True, False
                again.clear()
                elsewhere.clear()
                self._executor.stop()
            while (again or more) and self._executor.free():
                run_dir = again.popleft() if again else following()
                if run_dir is None:
                    more = False
                    break
                if is_locked(RunPaths(run_dir)):  # a worker that outlived its search
                    elsewhere.add(run_dir)
                    continue
                control.take_requests(run_dir)  # made for an earlier process
                self._executor.submit(run_dir)
                training.add(run_dir)
                self._on_change(run_dir, "begins again" if run_dir in tries else "began")
            for run_dir, how in self._executor.finished():
                training.discard(run_dir)
                look(run_dir)
                tries[run_dir] = tries.get(run_dir, 0) + 1
                if how in (Ending.LOST, Ending.LOCKED) and not self.stopped:
                    if tries[run_dir] < TRIES:
                        again.append(run_dir)
                        continue
                    self._on_change(run_dir, f"was lost {TRIES} times")
                ended(run_dir, how)
                if how not in (Ending.LOST, Ending.LOCKED):
                    self._on_change(run_dir, how.value)
            for run_dir in [each for each in elsewhere if not is_locked(RunPaths(each))]:
                elsewhere.discard(run_dir)
                again.append(run_dir)
            for run_dir in training | elsewhere:
                look(run_dir)
            self._on_poll()
            time.sleep(POLL_SECONDS)


class _Trials:
    """The trials of a study on their way between Optuna and the run directories."""

    def __init__(self, study: Study) -> None:
        self._study = study
        plan = study.plan
        self.all = read_trials(study.folder, plan.space)
        self._optuna = by_optuna.new_study(plan, len(self.all))
        self._asked: dict[Path, tuple[Trial, optuna.Trial]] = {}
        self._reported: dict[Path, int] = {}
        self._asked_early: set[Path] = set()
        self._begun = deque(each for each in self.all if not each.ended)
        for trial in self.all:
            if trial.ended:
                self._optuna.add_trial(by_optuna.ended_trial(trial, plan.space))

    def next(self) -> Path | None:
        """The run directory of a trial to go on with, else of a new one; None at the end."""
        if self._begun:
            trial = self._begun.popleft()
            self._optuna.enqueue_trial(trial.values)
            self._asked[trial.run_dir] = trial, self._ask()[0]
            return trial.run_dir
        if len(self.all) >= self._study.plan.trials:
            return None
        asked, values = self._ask()
        number = 1 + max((each.number for each in self.all), default=0)
        resolved = self._study.settings(values)
        name = self._study.trial_dir(number).name
        trial = Trial(
            number, create_run(resolved, self._study.folder, name, processes=None), values
        )
        self.all.append(trial)
        self._asked[trial.run_dir] = trial, asked
        return trial.run_dir

    def look(self, run_dir: Path) -> None:
        """Tell Optuna what is new of a trial, and end it early where its pruner says so."""
        trial, asked = self._asked[run_dir]
        trial.update()
        points = trial.points()
        for step, value in points[self._reported.get(run_dir, 0) :]:
            asked.report(value, step)
        new = len(points) > self._reported.get(run_dir, 0)
        self._reported[run_dir] = len(points)
        left = trial.view.state == "running" and trial.view.step < trial.view.total_steps
        if new and left and run_dir not in self._asked_early and asked.should_prune():
            self._asked_early.add(run_dir)
            control.request(run_dir, "end_early")

    def ended(self, run_dir: Path, how: Ending) -> None:
        """Tell Optuna how a trial ended, and write the best settings so far."""
        from optuna.trial import TrialState

        trial, asked = self._asked.pop(run_dir)
        if trial.view.state == "completed" and trial.score is not None:
            self._optuna.tell(asked, trial.score)
        elif trial.ended_early:
            self._optuna.tell(asked, state=TrialState.PRUNED)
        else:
            self._optuna.tell(asked, state=TrialState.FAIL)
        best = best_of(self.all)
        if best is not None:
            text = best_toml(self._study.settings(best.values), best, len(self.all))
            write_text(self._study.folder / BEST, text, "the best settings")

    def _ask(self) -> tuple[optuna.Trial, dict[str, float | str]]:
        trial = self._optuna.ask({e.key: by_optuna.distribution(e) for e in self._study.plan.space})
        return trial, trial.params


def _seed_dirs(study: Study, best: Trial) -> list[Path]:
    """Run directories of the best settings with the seeds that follow the trials' own.

    Those of an earlier best are in the way of nobody: they bear its number.
    """
    resolved = study.settings(best.values)
    first = resolved.config.training.seed
    there = {view.run_id for view in seed_runs(study.folder, best) if view.state == "completed"}
    found = []
    for seed in range(first + 1, first + 1 + study.plan.seeds):
        name = seed_name(seed, best.run_dir.name)
        if name in there:
            continue
        run_dir = study.folder / name
        if not RunPaths(run_dir).events.is_file():
            run_dir = create_run(
                study.with_seed(best.values, seed), study.folder, name, processes=None
            )
        found.append(run_dir)
    return found
