"""Which run predicts which task: the best complete one, or the one that was named."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calisr_engine.config.load import from_resolved
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, NotFoundError
from calisr_engine.runs import load_view, store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.store import RunSummary
from calisr_engine.tasks import glue


@dataclass(frozen=True)
class Candidate:
    """A run that could predict a GLUE task.

    Attributes:
        path: its directory.
        task: name of the task.
        metric: name of the task's own metric.
        value: that metric of its best model, None where it was never measured.
        validation_rows: `task.max_validation_examples`; None for all rows.
        created: Unix seconds.
    """

    path: Path
    config: RunConfig
    task: str
    metric: str
    value: float | None
    validation_rows: int | None
    created: float


@dataclass(frozen=True)
class Choice:
    """The run for a task. `why` says in words how it was chosen."""

    run: Candidate
    why: str


def choose(candidates: Iterable[Candidate], task: str) -> Choice | None:
    """The candidate with the best value of the task's metric; None where there is none.

    Values on part of the validation set are not comparable with values on all of it, so only those
    candidates count that were evaluated on most rows. Of equal ones the newest is taken.
    """
    fitting = [each for each in candidates if each.task == task and each.value is not None]
    if not fitting:
        return None

    def rows(each: Candidate) -> float:
        return float("inf") if each.validation_rows is None else each.validation_rows

    most = max(map(rows, fitting))
    rivals = [each for each in fitting if rows(each) == most]
    best = max(rivals, key=lambda each: (each.value, each.created, each.path.name))
    why = f"best {best.metric} of {len(rivals)} complete run{'s' * (len(rivals) > 1)}"
    if len(rivals) < len(fitting):
        why += f"; {len(fitting) - len(rivals)} evaluated on fewer validation rows do not count"
    return Choice(best, why)


def choose_runs(folders: Sequence[Path], named: Mapping[str, str]) -> dict[str, Choice]:
    """The run for each task that has one.

    Args:
        folders: run directories, or folders of them (a grid's, say).
        named: task -> run (a path, an id, or the start of one in a folder), which stand above.

    Raises:
        NotFoundError: there is no such folder or run.
        ConfigError: a named run is of another task, or a name is no GLUE task.
    """
    chosen = {task: _named(task, run, folders) for task, run in _by_task(named).items()}
    found: dict[str, list[Candidate]] = defaultdict(list)
    for summary in _complete(folders):
        if glue.is_of_glue(summary.task):
            task = glue.find(summary.task).name
            candidate = None if task in chosen else _candidate(Path(summary.path), summary)
            if candidate is not None:
                found[task].append(candidate)
    for task, candidates in found.items():
        choice = choose(candidates, task)
        if choice is not None:
            chosen[task] = choice
    return chosen


def _complete(folders: Sequence[Path]) -> list[RunSummary]:
    found: dict[Path, RunSummary] = {}
    for folder in folders:
        if store.is_run(folder):
            summaries = [store.summarise(folder)]
        elif os.path.isdir(folder):
            summaries = store.list_runs(folder)
        else:
            raise NotFoundError(
                f"there is no folder {folder}", "give a run directory or a folder of them"
            )
        for summary in summaries:
            if summary.state == "completed":
                found.setdefault(Path(summary.path).resolve(), summary)
    return list(found.values())


def _candidate(path: Path, summary: RunSummary) -> Candidate | None:
    """None for own data under the name of a GLUE task, and for a run without readable settings."""
    try:
        config = from_resolved(RunPaths(path).config)
        view = load_view(path)
    except CalisrError:
        return None
    if config.task.is_own or not glue.is_of_glue(config.task.name):
        return None
    task = glue.find(config.task.name)
    metric = task.metrics[0]
    value = summary.best
    if summary.metric != metric:  # the settings chose another one to pick the best model by
        best = next((e.metrics for e in view.evaluations if e.step == view.best_step), {})
        value = best.get(metric, best.get(f"{next(iter(task.validation))}/{metric}"))
    rows = config.task.max_validation_examples
    return Candidate(path, config, task.name, metric, value, rows, summary.created or 0.0)


def _by_task(named: Mapping[str, str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for word, run in named.items():
        if glue.plain(word) == "ax":
            raise ConfigError(
                f"--run {word}={run}: AX is predicted by the model of MNLI",
                f"name the run of MNLI: --run mnli={run}",
            )
        if not glue.is_of_glue(word):
            raise ConfigError(
                f"--run {word}={run}: there is no task {word!r}",
                f"the tasks are {', '.join(glue.names())}",
            )
        task = glue.find(word).name
        if task in result:
            raise ConfigError(f"--run: {task} is named twice", "keep one of them")
        result[task] = run
    return result


def _named(task: str, run: str, folders: Sequence[Path]) -> Choice:
    path: Path | None = None
    missing: NotFoundError | None = None
    for folder in folders:
        try:
            path = store.find(run, folder)
            break
        except NotFoundError as error:
            missing = missing or error
    if path is None:
        raise missing or NotFoundError(f"there is no run {run!r}", "`calisr runs` lists the runs")
    candidate = _candidate(path, store.summarise(path))
    if candidate is None or candidate.task != task:
        title = glue.find(task).title
        what = "trained on own data" if candidate is None else f"a run of {candidate.task}"
        raise ConfigError(
            f"--run {task}={run}: {path.name} is {what}, not a run of {title}",
            f"name a run that was trained on {title}",
        )
    return Choice(candidate, "named")
