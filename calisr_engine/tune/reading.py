"""A study as its run directories tell it now: what `calisr tune --show` and the app show."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of, is_locked
from calisr_engine.tune.study import (
    Command,
    Plan,
    Trial,
    read_command,
    read_record,
    read_trial,
    seed_name,
    seed_of,
)

ENOUGH = 0.1
"""Share of its steps after which a run tells how long runs take."""

ENDED = ("completed", "ended early", "failed")
"""States of a trial with which nothing is gone on."""


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        seed: of a further run of the best settings; None for a trial.
        state: as the log and the lock say: `ended early`, `interrupted` and the states of a run.
        values: of the searched settings, by dotted key, as `--set` takes them.
        score: best value of the metric so far; best: the same of this trial and those before it.
        seconds: from its beginning to its last event.
        message: why it failed.
    """

    run_dir: Path
    number: int
    seed: int | None
    state: str
    values: Mapping[str, float | str]
    score: float | None
    best: float | None
    step: int
    total_steps: int
    seconds: float
    metric: str = ""
    message: str = ""

    @property
    def name(self) -> str:
        return self.run_dir.name

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def fraction(self) -> float:
        """Share of its steps that are done."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0


@dataclass(frozen=True)
class StudyReading:
    """A study at one moment.

    Attributes:
        trials: in the order of their beginning.
        seeds: further runs of the best trial's settings, by seed.
        worker: process and host that work on it ("" for nobody).
        command: what began it; None where that is not recorded.
    """

    folder: Path
    plan: Plan
    trials: tuple[StudyRun, ...]
    seeds: tuple[StudyRun, ...]
    worker: str
    command: Command | None

    @cached_property
    def best(self) -> StudyRun | None:
        """The trial with the best metric; the earlier one of equals. One ended early may be it."""
        return best_run(self.trials)

    @property
    def metric(self) -> str:
        return next((run.metric for run in self.trials if run.metric), "")

    @property
    def counts(self) -> Counter[str]:
        """Trials by state."""
        return Counter(run.state for run in self.trials)

    @property
    def fresh(self) -> dict[int, float]:
        """Score of each further run that is complete, by seed."""
        return {
            run.seed: run.score
            for run in self.seeds
            if run.state == "completed" and run.seed is not None and run.score is not None
        }

    @property
    def spread(self) -> tuple[float, float | None] | None:
        """Mean and standard deviation of those; the latter takes two."""
        values = list(self.fresh.values())
        if not values:
            return None
        return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None

    @property
    def complete(self) -> bool:
        """Whether the command that began it would train nothing more."""
        done = sum(run.ended for run in self.trials) >= self.plan.trials
        if not done or not all(run.ended for run in self.trials):
            return False
        ended = sum(run.state in ("completed", "failed") for run in self.seeds)
        return self.best is None or ended >= self.plan.seeds

    @property
    def fraction(self) -> float:
        """Share of all runs that have ended, those in training by their steps."""
        total = self.plan.trials + self.plan.seeds
        done = sum(1.0 if run.ended else run.fraction for run in (*self.trials, *self.seeds))
        return min(1.0, done / total)

    @property
    def eta_seconds(self) -> float | None:
        """Estimate of the time until all has ended, if as many train as do now.

        A trial takes what the ended ones took in the mean, early ends included; a further run what
        complete trials took. None where nothing trains or nothing has come far enough to say.
        """
        runs = (*self.trials, *self.seeds)
        training = [run for run in runs if run.state == "running"]
        trial = _mean([run.seconds for run in self.trials if run.ended and run.seconds])
        whole = _mean([run.seconds for run in runs if run.state == "completed" and run.seconds])
        begun = _mean([run.seconds / run.fraction for run in training if run.fraction > ENOUGH])
        trial, whole = trial or whole or begun, whole or trial or begun
        if not training or trial is None or whole is None:
            return None
        left = trial * (self.plan.trials - len(self.trials))
        left += whole * max(0, self.plan.seeds - len(self.seeds))
        for run in runs:
            if not run.ended:
                left += (trial if run.seed is None else whole) * (1.0 - run.fraction)
        return left / len(training)


class StudyReader:
    """One study, read again and again; of logs that have grown only what is new is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs: dict[Path, Trial] = {}

    def read(self) -> StudyReading:
        """The study as it is now.

        Raises:
            NotFoundError: there is no study.
            DamagedError: its record cannot be read.
        """
        plan, _ = read_record(self.folder)
        trials = sorted(self._trials(plan), key=lambda each: each.number)
        found, so_far = [], None
        for each in trials:
            run = _told(each, None)
            if run.score is not None:
                so_far = run.score if so_far is None else max(so_far, run.score)
            found.append(replace(run, best=so_far))
        best = best_run(found)
        seeds = () if best is None else self._seeds(best)
        paths = RunPaths(self.folder)
        worker = ""
        if is_locked(paths):
            holder = holder_of(paths)
            worker = f"process {holder['pid']} on {holder['host']}" if holder else "a process"
        return StudyReading(
            self.folder, plan, tuple(found), tuple(seeds), worker, read_command(self.folder)
        )

    def _trials(self, plan: Plan) -> list[Trial]:
        found = []
        for run_dir in self.folder.glob("trial-*"):
            if run_dir in self._runs:
                self._runs[run_dir].update()
            else:
                trial = read_trial(run_dir, plan.space)
                if trial is None:
                    continue
                self._runs[run_dir] = trial
            found.append(self._runs[run_dir])
        return found

    def _seeds(self, best: StudyRun) -> list[StudyRun]:
        found = []
        for run_dir in self.folder.glob(seed_name("*", best.name)):
            if not RunPaths(run_dir).events.is_file():
                continue
            trial = self._runs.setdefault(run_dir, Trial(best.number, run_dir, dict(best.values)))
            trial.update()
            found.append(_told(trial, seed_of(run_dir)))
        return sorted(found, key=lambda run: run.seed or 0)


def best_run(runs: Sequence[StudyRun]) -> StudyRun | None:
    """The run with the best metric, the earlier one of equals; None where none has one."""
    scored = [run for run in runs if run.score is not None]
    return max(scored, key=lambda run: (run.score or 0.0, -run.number)) if scored else None


def _told(trial: Trial, seed: int | None) -> StudyRun:
    view = trial.view
    return StudyRun(
        trial.run_dir,
        trial.number,
        seed,
        trial.state,
        dict(trial.values),
        trial.score,
        None,
        view.step,
        view.total_steps,
        max(0.0, (view.updated or 0.0) - (view.created or 0.0)),
        view.metric,
        view.failure.message if view.failure is not None else "",
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.mean(values) if values else None
