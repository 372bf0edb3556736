"""A grid of runs that train in seconds, for every place where a grid can be trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

from calisr_engine.grid import Grid, expand_grid
from calisr_engine.grid.executors import Ending
from calisr_engine.grid.train import train_grid
from calisr_engine.runs.layout import RunPaths

HEAD = """\
[grid]
name = "tiny"
extends = "demo"
{head}

[settings]
"model.name" = "{model}"
"task.max_train_examples" = 64
"task.max_validation_examples" = 32
"task.max_length" = 64
"training.epochs" = {epochs}
"training.batch_size" = 16
"training.device" = "cpu"
"output.checkpoint_every_steps" = {every}
"output.export" = false
"output.progress_every_seconds" = 0
{settings}

[axes]
"training.seed" = {seeds}
{axes}
"""
METHODS = '"method.name" = ["lora", "bitfit"]'


def write_grid(
    folder: Path,
    model: Path | str = "demo-bert",
    axes: str = "",
    head: str = "",
    settings: str = "",
    epochs: int = 2,
    seeds: int = 2,
    every: int = 2,
) -> Path:
    """The file of a grid over seeds from 1, and whatever lines are added to its sections."""
    path = folder / "grid.toml"
    values: dict[str, Any] = {"model": model, "axes": axes, "head": head, "settings": settings}
    values |= {"epochs": epochs, "seeds": list(range(1, seeds + 1)), "every": every}
    path.write_text(HEAD.format(**values))
    return path


def tiny_grid(folder: Path, model: Path | str = "demo-bert", **options: Any) -> Grid:
    """The same, expanded; its runs are to lie in `folder`/runs."""
    return expand_grid(write_grid(folder, model, **options), folder / "runs")


def dirs(grid: Grid) -> list[Path]:
    """Where its runs are to lie."""
    return [grid.folder / run.run_id for run in grid.runs]


def trains(run_dir: Path) -> bool:
    """Whether a run has got to its first steps."""
    log = RunPaths(run_dir).events
    return log.is_file() and b'"progress"' in log.read_bytes()


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    """Wait until something is true."""
    deadline = monotonic() + seconds
    while not true():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.05)


class InBackground(Thread):
    """Trains a grid; `status` is what came of it."""

    def __init__(self, grid: Grid, executor: Any, **options: Any) -> None:
        super().__init__(daemon=True)
        self.status: int | None = None
        self._work = lambda: train_grid(grid, executor, **options)
        self.start()

    def run(self) -> None:
        self.status = self._work()


class Scripted:
    """An executor without processes: each run that is submitted ends as the script says."""

    def __init__(self, *endings: Ending, writes: Callable[[Path], None] = lambda _: None) -> None:
        self.submitted: list[Path] = []
        self.stopped = 0
        self._endings: Iterator[Ending] = iter(endings)
        self._writes = writes
        self._ended: list[tuple[Path, Ending]] = []

    def free(self) -> int:
        return 1 - len(self._ended)

    def submit(self, run_dir: Path) -> None:
        self.submitted.append(run_dir)
        self._writes(run_dir)
        self._ended = [(run_dir, next(self._endings))]

    def finished(self) -> list[tuple[Path, Ending]]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        self.stopped += 1

    def close(self) -> None: ...
