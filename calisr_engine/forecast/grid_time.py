"""How long a grid will take, from a few measured steps of one run of each kind."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from calisr_engine.grid.plan import Cell, GridPlan
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run

STEPS = 6


def estimate_seconds(plan: GridPlan, waiting: list[Cell]) -> float:
    """Seconds of training that `waiting` runs need, one after the other.

    One run of each (model, task, method) takes a few steps in full; all runs of the kind are taken
    to need as long a step. Evaluation and start-up are in it as far as the probe shows them.
    """
    from calisr_engine.process.execute import execute

    kinds: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in waiting:
        config = cell.resolved.config
        kinds.setdefault((config.model.name, config.task.name, config.method.name), []).append(cell)
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, cells in enumerate(kinds.values()):
            config = cells[0].resolved.config
            training = config.training.model_copy(update={"max_steps": STEPS})
            output = config.output.model_copy(update={"export": False, "predictions": False})
            probe = replace(
                cells[0].resolved,
                config=config.model_copy(update={"training": training, "output": output}),
            )
            run_dir = create_run(probe, Path(folder), name=f"probe-{number}")
            execute(run_dir, raise_errors=True)
            view = load_view(run_dir)
            assert view.summary is not None
            per_step = view.summary["seconds"] / STEPS
            overhead = view.summary["seconds_this_attempt"] - view.summary["seconds"]
            for cell in cells:
                own = cell.resolved.config.training
                steps = view.steps_per_epoch * own.epochs
                steps = min(steps, own.max_steps) if own.max_steps is not None else steps
                total += steps * per_step + overhead
    return total
