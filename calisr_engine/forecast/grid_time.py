"""How long a grid takes: from measured steps of each kind, or from what it took so far."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calisr_engine.grid.cells import TableRun
from calisr_engine.grid.expand import GridRun
from calisr_engine.grid.state import DIFFERENT, UNREADABLE
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run

STEPS = 6
ENDED = ("completed", "failed", UNREADABLE, DIFFERENT)


def estimate_seconds(waiting: list[GridRun]) -> float:
    """Seconds of training that `waiting` runs need, one after the other.

    One run of each (model, task, method) takes a few steps in full; all runs of the kind are taken
    to need as long a step. Evaluation and start-up are in it as far as the probe shows them.
    """
    from calisr_engine.process.execute import execute

    kinds: dict[tuple[str, str, str], list[GridRun]] = {}
    for run in waiting:
        config = run.resolved.config
        kinds.setdefault((config.model.name, config.task.name, config.method.name), []).append(run)
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, runs in enumerate(kinds.values()):
            config = runs[0].resolved.config
            training = config.training.model_copy(update={"max_steps": STEPS})
            output = config.output.model_copy(update={"export": False, "predictions": False})
            # Controls cost what training costs, and the run they follow may not be there yet.
            calibration = config.calibration.model_copy(update={"control": "off"})
            changed = {"training": training, "output": output, "calibration": calibration}
            probe = replace(runs[0].resolved, config=config.model_copy(update=changed))
            run_dir = create_run(probe, Path(folder), f"probe-{number}", processes=None)
            execute(run_dir, raise_errors=True)
            view = load_view(run_dir)
            assert view.summary is not None
            per_step = view.summary["seconds"] / STEPS
            overhead = view.summary["seconds_this_attempt"] - view.summary["seconds"]
            for run in runs:
                own = run.resolved.config.training
                steps = own.max_steps or view.steps_per_epoch * own.epochs
                total += steps * per_step + overhead
    return total


def remaining_seconds(runs: Sequence[TableRun]) -> float | None:
    """Estimate of the time until all runs are complete, if as many train as do now.

    A run takes what the median of its column's complete runs took, else that of all; before any is
    complete, what the running ones have taken over their share of steps. Runs that cannot go on are
    not counted. None where nothing trains, or no run has come far enough to say.
    """
    training = [run for run in runs if run.state == "running"]
    if not training:
        return None
    took: dict[str, list[float]] = {}
    for run in runs:
        if run.state == "completed" and run.seconds > 0:
            took.setdefault(run.column, []).append(run.seconds)
    every = [seconds for column in took.values() for seconds in column]
    if not every:
        every = [run.seconds / run.fraction for run in training if run.fraction and run.seconds]
    if not every:
        return None
    usual = statistics.median(every)
    longest, total = 0.0, 0.0
    for run in runs:
        if run.state in ENDED:
            continue
        own = statistics.median(took[run.column]) if run.column in took else usual
        left = own * (1.0 - run.fraction)
        longest, total = max(longest, left), total + left
    return max(longest, total / len(training))
