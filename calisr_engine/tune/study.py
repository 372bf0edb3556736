"""A study: what is searched and how, and its trials as their run directories tell them.

The runs are the only record of the trials. So a study that was killed goes on from what is there,
and cannot say anything else than its runs.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from calisr_engine.config.deciding import decides
from calisr_engine.config.load import ResolvedConfig
from calisr_engine.errors import ConfigError, DamagedError, NotFoundError
from calisr_engine.events.flat_settings import flatten
from calisr_engine.events.fold import fold_blocks
from calisr_engine.events.log import EventReader
from calisr_engine.events.types import ENDED_EARLY
from calisr_engine.events.view import RunView
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import write_text
from calisr_engine.tune.space import Dimension, read_space

RECORD = "tune.json"
BEST = "best.toml"

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "hyperband", "none")

Resolve = Callable[[Sequence[str]], ResolvedConfig]
"""The settings of a run with these `--set` texts above all others."""


@dataclass(frozen=True)
class Plan:
    """What a study searches and how.

    Attributes:
        space: one dimension for each setting that is searched.
        trials: how many trials there shall be, ended early ones included.
        seeds: how many further runs the best settings get, each with a seed of its own.
        sampler: one of SAMPLERS; pruner: one of PRUNERS; seed: of the sampler.
    """

    space: tuple[Dimension, ...]
    trials: int = 20
    seeds: int = 3
    sampler: str = "tpe"
    pruner: str = "median"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("--sampler", self.sampler, SAMPLERS),
            ("--pruner", self.pruner, PRUNERS),
        ):
            if value not in known:
                raise ConfigError(f"{name}: {value!r} is not one of {', '.join(known)}")


@dataclass(frozen=True)
class Command:
    """The command that began a study, or last went on with it.

    Attributes:
        words: what follows `calisr`.
        folder: where it was given; relative paths in it are from there.
    """

    words: tuple[str, ...]
    folder: Path


@dataclass
class Trial:
    """One trial as its run directory tells it.

    Attributes:
        number: from 1 on, in the order of their beginning.
        values: what it was given, by dotted key, as `--set` takes it.
        view: its run, as far as the log goes.
    """

    number: int
    run_dir: Path
    values: dict[str, float | str]
    view: RunView = field(default_factory=RunView)
    _reader: EventReader | None = None

    def update(self) -> None:
        """Read what is new in the log."""
        if self._reader is None:
            self._reader = EventReader(RunPaths(self.run_dir).events)
        fold_blocks(self.view, self._reader.blocks())

    @property
    def ended_early(self) -> bool:
        return self.view.state == "stopped" and self.view.stop_reason == ENDED_EARLY

    @property
    def ended(self) -> bool:
        """Whether there is nothing to go on with."""
        return self.ended_early or self.view.state in ("completed", "failed")

    @property
    def score(self) -> float | None:
        """Best value of the metric; None while there is none."""
        best = self.view.best
        return best if best is not None and math.isfinite(best) else None

    @property
    def state(self) -> str:
        """`ended early`, or as the log says; `interrupted` where nobody trains it any more."""
        if self.view.state in ("running", "paused") and not is_locked(RunPaths(self.run_dir)):
            return "interrupted"
        return "ended early" if self.ended_early else self.view.state

    def points(self) -> list[tuple[int, float]]:
        """(hundredths of epochs, metric) of each evaluation: where trials are compared."""
        return [
            (round(100 * each.epoch), each.value)
            for each in self.view.evaluations
            if math.isfinite(each.value)
        ]


class Study:
    """The folder of a study.

    Args:
        folder: where its record and its runs are.
        plan: what is searched.
        resolve: makes the settings of a run.

    Attributes:
        firsts: the `--set` texts of the first value of each dimension.
        ends: settings with each end of each dimension, by the text of that end; "" for the firsts.

    Raises:
        ConfigError: a value of the space is wrong, or the folder holds another study.
        DamagedError: its record cannot be read.
    """

    def __init__(self, folder: Path, plan: Plan, resolve: Resolve) -> None:
        self.folder = folder
        self.plan = plan
        self._resolve = resolve
        self.firsts = firsts_of(plan.space)
        self.ends = {told: resolve(sets) for told, sets in ends_of(plan.space).items()}
        self._base = {
            key: value
            for key, value in flatten(self.ends[""].config.model_dump(mode="json")).items()
            if decides(key) and key not in {each.key for each in plan.space}
        }
        self._refuse_another()

    def settings(self, trial: dict[str, float | str]) -> ResolvedConfig:
        """The settings of a run with these values."""
        return self._resolve(_sets(self.plan.space, trial))

    def with_seed(self, trial: dict[str, float | str], seed: int) -> ResolvedConfig:
        """The settings of a further run of these values."""
        return self._resolve([*_sets(self.plan.space, trial), f"training.seed={seed}"])

    def begin(self, command: Command | None = None) -> None:
        """Make the folder and write the record.

        Args:
            command: what goes on with the study.

        Raises:
            StorageError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        plan = asdict(self.plan) | {"space": [each.text for each in self.plan.space]}
        content: dict[str, Any] = {"version": 1, "plan": plan, "settings": self._base}
        if command is not None:
            content["command"] = {"words": command.words, "folder": str(command.folder)}
        write_text(self.folder / RECORD, json.dumps(content, indent=1) + "\n", "the study's record")

    def trial_dir(self, number: int) -> Path:
        return self.folder / f"trial-{number:03}"

    def _refuse_another(self) -> None:
        if not (self.folder / RECORD).exists():
            return
        recorded, settings = read_record(self.folder)
        if [each.text for each in recorded.space] != [each.text for each in self.plan.space]:
            raise ConfigError(
                f"{self.folder} holds a study of {'; '.join(map(str, recorded.space))}",
                "choose another --name, or give the same --search",
            )
        other = sorted(k for k, v in self._base.items() if k in settings and settings[k] != v)
        if other:
            keys = ", ".join(f"{key} was {settings[key]}" for key in other[:3])
            raise ConfigError(
                f"{self.folder} holds a study with other settings: {keys}",
                "choose another --name, or give the same settings",
            )


def firsts_of(space: Sequence[Dimension]) -> list[str]:
    """The `--set` texts of the first value of each dimension."""
    return [f"{each.key}={each.ends[0]}" for each in space]


def ends_of(space: Sequence[Dimension]) -> dict[str, list[str]]:
    """`--set` texts that must be right for all trials to be, by what differs from the firsts (""):
    with each other end of each dimension, where the rest is at its first."""
    firsts = firsts_of(space)
    found = {"": firsts}
    for index, each in enumerate(space):
        for end in each.ends[1:]:
            told = f"{each.key}={end}"
            found[told] = [*firsts[:index], told, *firsts[index + 1 :]]
    return found


def read_record(folder: Path) -> tuple[Plan, dict[str, Any]]:
    """The plan of a study and the settings that all its trials share, by dotted key.

    Raises:
        NotFoundError: there is no study.
        DamagedError: its record cannot be read.
    """
    path = folder / RECORD
    if not path.is_file():
        raise NotFoundError(f"{folder} is no study: it has no {RECORD}", "begin one: calisr tune")
    try:
        content = read_json(path)
        plan = dict(content["plan"])
        space = read_space([str(each) for each in plan.pop("space")])
        return Plan(space, **plan), dict(content["settings"])
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise DamagedError(
            f"{path} cannot be read: {error}",
            "its runs are whole; move the file away to begin anew",
        ) from error


def read_command(folder: Path) -> Command | None:
    """The command that goes on with a study; None where its record has none."""
    try:
        found = read_json(folder / RECORD)["command"]
        return Command(tuple(str(each) for each in found["words"]), Path(found["folder"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study."""
    return (folder / RECORD).is_file()


def study_folders(output_dir: Path) -> list[Path]:
    """Folders of studies in `output_dir`, the one that was touched last first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(output_dir) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if is_study(Path(entry.path)):
                    found.append((entry.stat().st_mtime, entry.name))
    return [output_dir / name for _, name in sorted(found, reverse=True)]


def seed_name(seed: int | str, trial: str) -> str:
    """Name of a further run of a trial's settings."""
    return f"seed-{seed}-of-{trial}"


def seed_of(run_dir: Path) -> int | None:
    """The seed in such a name."""
    found = run_dir.name.removeprefix("seed-").partition("-of-")[0]
    return int(found) if found.isdigit() else None


def read_trial(run_dir: Path, space: Sequence[Dimension]) -> Trial | None:
    """The trial in a run directory; None if it is none of this space."""
    number = run_dir.name.removeprefix("trial-")
    if number == run_dir.name or not number.isdigit() or not RunPaths(run_dir).events.is_file():
        return None
    trial = Trial(int(number), run_dir, {})
    trial.update()
    given = flatten(trial.view.config)
    values = {each.key: each.find(_hashable(given.get(each.key))) for each in space}
    trial.values = {key: value for key, value in values.items() if value is not None}
    return trial if len(trial.values) == len(space) else None


def read_trials(folder: Path, space: Sequence[Dimension]) -> list[Trial]:
    """The trials that began, in order; one whose settings cannot be read is left out."""
    found = [read_trial(run_dir, space) for run_dir in folder.glob("trial-*")]
    return sorted((each for each in found if each is not None), key=lambda each: each.number)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the best metric; the earlier one of equals. One ended early may be it."""
    scored = [each for each in trials if each.score is not None]
    return max(scored, key=lambda each: (each.score, -each.number)) if scored else None


def seed_runs(folder: Path, best: Trial) -> list[RunView]:
    """The further runs of the settings of a trial, in order of seed."""
    views = []
    for run_dir in folder.glob(seed_name("*", best.run_dir.name)):
        trial = Trial(0, run_dir, {})
        trial.update()
        views.append(trial.view)
    return sorted(views, key=lambda view: view.seed or 0)


def best_toml(resolved: ResolvedConfig, best: Trial, count: int) -> str:
    """The best settings as a file that `calisr run` takes."""
    assert best.score is not None
    title = f"Best of {count} trials: {best.view.metric} {best.score:.4f} ({best.run_dir.name})"
    return resolved.minimal_toml(title)


def _sets(space: Sequence[Dimension], values: dict[str, float | str]) -> list[str]:
    return [f"{each.key}={each.spell(values[each.key])}" for each in space]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
