"""The runs that a figure is drawn from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calisr_engine.config.deciding import decides
from calisr_engine.errors import NotFoundError
from calisr_engine.events.flat_settings import flatten
from calisr_engine.events.view import RunView
from calisr_engine.grid import expand_grid
from calisr_engine.grid.compare import names_of
from calisr_engine.grid.folders import grid_as_trained
from calisr_engine.grid.labels import METHOD, label, task_title
from calisr_engine.grid.settings import told_apart
from calisr_engine.methods import catalog
from calisr_engine.plain_words import counted
from calisr_engine.runs import load_views, store

Kind = Literal["fft", "lft", "calibrated", "scheduled", "control"]
KINDS: dict[Kind, str] = {
    "fft": "FFT",
    "lft": "LFT",
    "calibrated": "calibrated",
    "scheduled": "fixed switch",
    "control": "control",
}


@dataclass(frozen=True)
class FigureRun:
    """A complete run."""

    path: Path
    view: RunView

    @property
    def kind(self) -> Kind:
        """By what happened: never left full fine-tuning, was light from the first step, switched
        by its score, by schedule or hand, or by a control in the score's stead."""
        if not self.view.groups:
            return "lft" if catalog.has_light_phase(self.view.method) else "fft"
        steps = [switch.step for switch in self.view.switches]
        if not steps:
            return "fft"
        if not any(steps) and len(steps) == len(self.view.groups):
            return "lft"
        if self.view.variant == "off":
            return "scheduled"
        return "calibrated" if self.view.control == "off" else "control"

    @property
    def scored(self) -> bool:
        """Whether its own stable rank score decides."""
        return self.view.variant != "off" and self.view.control == "off"

    @property
    def calibration(self) -> str:
        """ "CaliSr-S", or with its control ("CaliSr-S matched")."""
        words = (f"CaliSr-{self.view.variant}", "" if self.scored else self.view.control)
        return " ".join(filter(None, words))

    @property
    def method(self) -> str:
        """Method as the paper writes it."""
        return catalog.label(self.view.method)

    @property
    def light_method(self) -> str:
        """The method where the run has a light one; "" for full fine-tuning."""
        return self.method if catalog.has_light_phase(self.view.method) else ""

    @property
    def row(self) -> str:
        """Method and variant as the paper writes them, and a control by its name."""
        view = self.view
        facts = (view.method, view.variant, view.control, view.regularizer)
        words = label(dict(zip(METHOD, facts, strict=True)), METHOD)
        return f"{words} {own_groups(self.view)}".rstrip()

    @property
    def task(self) -> str:
        return task_title(self.view.task)

    @property
    def seed(self) -> int:
        return int(self.view.seed or 0)

    @property
    def fft_share(self) -> float:
        """Share of the steps that a group spent in FFT, mean over groups, in [0, 1]."""
        if not self.view.groups:
            return 1.0 if self.kind == "fft" else 0.0
        total = self.view.total_steps
        steps = [g.switch.step if g.switch else total for g in self.view.groups.values()]
        return sum(steps) / len(steps) / total if total else 0.0

    @property
    def trainable_share(self) -> float | None:
        """Trainable parameters over those of the dense model, mean over steps, in [0, 1]."""
        return (self.view.summary or {}).get("mean_trainable_share")


@dataclass(frozen=True)
class RunSet:
    """Attributes: runs: the complete ones, of those with the same settings and seed the newest;
    left_out: state -> how many others there are; repeated: how many older ones."""

    runs: tuple[FigureRun, ...]
    left_out: Counter[str]
    source: str
    train_with: str = ""
    repeated: int = 0

    def notes(self) -> tuple[str, ...]:
        count = len(self.runs)
        said = [f"{counted(count, 'run')} of {self.source}"]
        if self.left_out:
            states = ", ".join(f"{count} {state}" for state, count in self.left_out.items())
            said.append(f"left out, as they are not complete: {states}")
        if self.repeated:
            said.append(f"left out, as newer ones have the same settings and seed: {self.repeated}")
        return tuple(said)

    def only(self, wanted: Callable[[FigureRun], bool], what: str) -> list[FigureRun]:
        """The runs that `wanted` takes, in order of task, method and seed.

        Raises:
            NotFoundError: there is none; the hint says how to train them.
        """
        found = [run for run in self.runs if wanted(run)]
        if not found:
            rest = "; ".join(self.notes())
            raise NotFoundError(
                f"there is no complete run {what} to draw ({rest})",
                f"train them with: {self.train_with}" if self.train_with else "name other runs",
            )
        return sorted(found, key=lambda run: (run.task, run.method, run.seed))


def gather(sources: Sequence[str], output_dir: Path, sets: tuple[str, ...] = ()) -> RunSet:
    """The runs of grids (by name or file), of run directories, ids, or folders of them.

    Args:
        sets: `key=value` settings with which the grids were run.

    Raises:
        NotFoundError: a source is none of these.
        ConfigError: a grid file is wrong.
    """
    paths: dict[Path, None] = {}
    missing: Counter[str] = Counter()
    grids = []
    for source in sources:
        found = _run_dirs(source, output_dir)
        if found is None:
            grid = expand_grid(source, output_dir, None, sets)
            grids.append(f"calisr grid run {source} --output-dir {output_dir}")
            found = [grid.folder / run.run_id for run in grid.runs]
        for path in found:
            if store.is_run(path):
                paths[path] = None
            else:
                missing["waiting"] += 1
    runs = []
    views, problems = load_views(paths)
    missing["unreadable"] += len(problems)
    for path, view in views.items():
        if view.state == "completed" and not view.total_steps:
            missing["damaged"] += 1  # nobody knows how long it was
        elif view.state == "completed":
            runs.append(FigureRun(path, view))
        else:
            missing[view.state] += 1
    once = _newest_of_each(runs)
    repeated = len(runs) - len(once)
    return RunSet(once, +missing, ", ".join(sources), "; ".join(grids), repeated)


def _newest_of_each(runs: Sequence[FigureRun]) -> tuple[FigureRun, ...]:
    """The runs in order, of those with the same settings and seed the newest: a seed counts once.

    Where no score decides, a hand may have: the steps of the switches count as settings.
    """
    newest: dict[str, FigureRun] = {}
    for run in sorted(runs, key=lambda run: run.view.updated or 0.0):
        known = {k: v for k, v in flatten(run.view.config).items() if decides(k)}
        steps = run.view.switched if run.view.variant == "off" else None
        newest[json.dumps([known, steps], sort_keys=True) if known else str(run.path)] = run
    kept = {run.path for run in newest.values()}
    return tuple(run for run in runs if run.path in kept)


def mixed(
    averaged: Iterable[tuple[str, Sequence[FigureRun]]], but: Sequence[str] = ()
) -> list[str]:
    """Notes on runs that are averaged though they differ in more than the seed.

    Args:
        averaged: (label, the runs behind it).
        but: settings in which they are meant to differ, beside those of a control's steps.
    """
    found: dict[str, list[str]] = {}
    for name, runs in averaged:
        keys = told_apart([flatten(run.view.config) for run in runs])
        if differing := ", ".join(key for key in keys if key not in but):
            found.setdefault(differing, []).append(name)
    return [f"averaged over different {keys}: {'; '.join(who)}" for keys, who in found.items()]


def begun_views(
    sources: Sequence[str], output_dir: Path
) -> tuple[dict[str, RunView], dict[str, str]]:
    """(run id -> view, of all runs that the sources name and that have begun; run id -> why it
    cannot be read). Runs of one id in two folders are told apart by those.

    Raises:
        NotFoundError: a source names nothing.
        ConfigError: a grid file is wrong.
    """
    paths: dict[Path, None] = {}
    for source in sources:
        try:
            paths[store.find(source, output_dir)] = None
        except NotFoundError:
            found = [p for p in run_dirs(source, output_dir) if (p / "events.jsonl").is_file()]
            paths |= dict.fromkeys(found)
    names = names_of(paths)
    views, problems = load_views(paths)
    return (
        {names[path]: view for path, view in views.items()},
        {names[path]: problem for path, problem in problems.items()},
    )


def run_dirs(source: str, output_dir: Path) -> list[Path]:
    """The run directories of a source as for `gather`, begun or not.

    Raises:
        NotFoundError, ConfigError: as `gather`.
    """
    found = _run_dirs(source, output_dir)
    if found is None:
        grid = grid_as_trained(source, output_dir)
        found = [grid.folder / run.run_id for run in grid.runs]
    return found


def _run_dirs(source: str, output_dir: Path) -> list[Path] | None:
    """The run directories that a source names; None where it must be a grid."""
    path = Path(source)
    if store.is_run(path):
        return [path]
    if path.is_dir() and (ids := store.run_ids(path)):
        return [path / each for each in ids]
    if store.is_run(output_dir / source):
        return [output_dir / source]
    return None


def own_groups(view: RunView) -> str:
    """The groups of a run with groups of its own, which tell it apart; "" for any other."""
    groups = view.setting("calibration", "groups") if view.variant == "own" else None
    return f"({groups})" if groups else ""


def distinct(values: Iterable[str]) -> list[str]:
    """Each once, in order."""
    return list(dict.fromkeys(values))
