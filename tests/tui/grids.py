"""A grid's folder, made from small logs with fixed times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calisr_engine.grid import Grid, GridRun, expand_grid
from calisr_engine.grid.folders import write_record
from calisr_engine.runs.layout import RunPaths

START = 1_700_000_000.0
GROUPS = ("query", "value", "output")

GRID = """
[grid]
name = "{name}"
title = "Two light methods on two tasks"
extends = "demo"
against = "LoRA"

[settings]
"training.epochs" = 1
"output.export" = false

[axes]
"method.name" = ["lora", "bitfit"]
"calibration.variant" = ["off", "S"]
"task.name" = ["MRPC", "RTE"]
"training.seed" = [{seeds}]
"""

STATES = ("completed",) * 12 + ("running", "failed", "stopped")
"""Of the first runs, in the plan's order; the rest waits."""


def write_grid(folder: Path, name: str = "study", seeds: int = 3) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(GRID.format(name=name, seeds=", ".join(map(str, range(1, seeds + 1)))))
    return path


def make_grid(
    folder: Path, states: tuple[str, ...] = STATES, name: str = "study", seeds: int = 3
) -> Grid:
    """A grid file in `folder` and its runs in `folder/runs`; no process holds any lock."""
    grid = expand_grid(write_grid(folder, name, seeds), folder / "runs")
    grid.folder.mkdir(parents=True)
    write_record(grid)
    for number, (run, state) in enumerate(zip(grid.runs, states, strict=False)):
        write_run(grid.folder, run, state, number)
    return grid


def write_run(folder: Path, run: GridRun, state: str, number: int = 0) -> Path:
    """The directory of one run that came to `state`: 100 steps, ten minutes."""
    run_dir = folder / run.run_id
    run_dir.mkdir()
    RunPaths(run_dir).config.write_text(run.resolved.to_toml(), encoding="utf-8")
    config = run.resolved.config.model_dump(mode="json")
    score = 0.80 + 0.01 * (number % 7)
    calibrated = config["calibration"]["variant"] != "off"
    light = {group: 30 + 20 * i for i, group in enumerate(GROUPS)} if calibrated else {}
    steps: list[tuple[int, str, dict[str, Any]]] = [
        (0, "run_created", {"run_id": run.run_id, "config": config}),
        (
            0,
            "run_started",
            {
                "groups": GROUPS,
                "phases": dict.fromkeys(GROUPS, "fft" if calibrated else "lft"),
                "total_steps": 100,
                "steps_per_epoch": 25,
                "epochs": 4,
                "trainable": 1000,
                "total": 1000,
                "trainable_lft": 100,
                "train_examples": 64,
                "validation_examples": 32,
                "metric": "accuracy",
                "device": "cpu",
                "precision": "fp32",
            },
        ),
    ]
    steps += [
        (
            step,
            "group_switched",
            {
                "epoch": step / 25,
                "group": group,
                "why": "4 of 5 samples",
                "cause": "calibration",
                "trainable_before": 1000,
                "trainable": 700,
                "total": 1000,
                "freed_bytes": None,
            },
        )
        for group, step in light.items()
    ]
    evaluated = {
        "epoch": 2.0,
        "metrics": {"accuracy": score},
        "metric": "accuracy",
        "value": score,
        "best": score,
        "best_step": 50,
        "is_best": True,
        "loss": 0.5,
        "seconds": 1.0,
    }
    steps.append((50, "evaluated", evaluated))
    if state == "completed":
        summary = {
            "metric": "accuracy",
            "best": score,
            "last": score - 0.01,
            "trainable": 100,
            "total": 1000,
            "switched": light,
            "mean_trainable_share": 0.6,
        }
        steps.append((100, "evaluated", evaluated | {"value": score - 0.01, "is_best": False}))
        steps.append((100, "completed", {"summary": summary}))
    elif state == "created":
        del steps[1:]
    elif state == "failed":
        steps.append((60, "failed", {"message": "the loss is not a number", "hint": "lower it"}))
    elif state == "stopped":
        steps.append((70, "stopped", {"reason": "asked", "saved": True}))
    lines = []
    for seq, (step, kind, fields) in enumerate(sorted(steps, key=lambda each: each[0])):
        head = {"v": 1, "seq": seq, "attempt": 1, "time": START + 6.0 * step, "step": step}
        lines.append(json.dumps({**head, "type": kind, **fields}))
    RunPaths(run_dir).events.write_text("\n".join(lines) + "\n")
    return run_dir


def run_dirs(grid: Grid, states: tuple[str, ...], wanted: str) -> list[Path]:
    """Directories of the runs that were made with the state `wanted`."""
    pairs = zip(grid.runs, states, strict=False)
    return [grid.folder / run.run_id for run, state in pairs if state == wanted]
