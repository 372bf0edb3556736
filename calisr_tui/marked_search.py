"""The search that marked settings make: its `calisr tune` line, and what keeps it from beginning.

Its trials are those of that line: what nobody named fits each of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.config.load import ResolvedConfig, load
from calisr_engine.errors import CalisrError, Problem
from calisr_engine.tune.space import Dimension
from calisr_engine.tune.study import Plan, Study, ends_of
from calisr_tui import data_source, estimates, form
from calisr_tui.data_source import DataRead, Inputs
from calisr_tui.draft import Draft
from calisr_tui.estimates import Known

if TYPE_CHECKING:
    from calisr_engine.forecast.before_start import Checked

OF_STUDY = ("output.dir", "output.name")
"""Settings that the study's folder gives each trial."""

DEFAULTS = Plan(())
"""How a search is done unless somebody says otherwise."""


@dataclass(frozen=True)
class Searched:
    """What is asked for, apart from the form.

    Attributes:
        space: one dimension for each marked setting.
        known: what is known of the user's own data.
    """

    inputs: Inputs
    space: tuple[Dimension, ...]
    known: Known

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(each.key for each in self.space)

    def settings(self, chosen: Sequence[str]) -> ResolvedConfig:
        """All settings of a trial with these `--set` texts.

        Raises:
            CalisrError: something is wrong with them.
        """
        asked = self.inputs
        options = {key: value for key, value in asked.options.items() if key not in self.keys}
        return load(asked.base, chosen, options, guessed=asked.guessed, examples=asked.examples)


def searched(draft: Draft) -> Searched:
    """What the marks of a draft ask for; they must be right."""
    space = tuple(draft.dimension(key) for key in draft.marked)
    return Searched(draft.inputs, space, Known(*draft.facts()))


@dataclass(frozen=True)
class SearchOutlook:
    """What a search comes to.

    Attributes:
        problems: what keeps trials from beginning, with what they have.
        cpu_seconds, gpu_seconds: of a trial, at most; None where not known.
        last: the last look at model and data, for the next check.
        folder: of the study; words: what follows `calisr tune`, but for how it is searched.
    """

    problems: tuple[Problem, ...] = ()
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    last: Checked | None = None
    folder: Path = Path()
    words: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether there is a command of it."""
        return bool(self.words)

    def command(self, plan: Plan = DEFAULTS, jobs: int = 1, devices: str = "") -> list[str]:
        """What follows `calisr` in the line that begins the search, or goes on with it."""
        options = {
            "--trials": plan.trials,
            "--sampler": plan.sampler,
            "--pruner": plan.pruner,
            "--seeds": plan.seeds,
            "--search-seed": plan.seed,
            "--jobs": jobs,
            "--devices": devices,
            "--name": self.folder.name,
            "--output-dir": self.folder.parent,
        }
        usual = {"--sampler": "tpe", "--pruner": "median", "--search-seed": 0, "--devices": ""}
        named = {key: value for key, value in options.items() if usual.get(key) != value}
        return ["tune", *self.words, *(word for each in named.items() for word in map(str, each))]


def check(asked: Searched, last: Checked | None, read: DataRead | None) -> SearchOutlook:
    """As `data_source.check`, for every end of what is searched: a problem of some names them."""
    from calisr_engine.forecast import before_start

    found: dict[Problem, list[str]] = {}
    settings: dict[str, ResolvedConfig] = {}
    for told, sets in ends_of(asked.space).items():
        try:
            settings[told] = asked.settings(sets)
        except CalisrError as error:
            for each in getattr(error, "problems", ()) or [Problem(error.message, error.hint)]:
                found.setdefault(replace(each, place=None), []).append(told)
    if found:
        return SearchOutlook(_told(found), last=last)
    kinds: dict[str, tuple[Problem, ...]] = {}
    for told, resolved in settings.items():
        kind = before_start.kind(resolved.config)
        if kind not in kinds:
            last = data_source.check(resolved.config, last, read)
            kinds[kind] = last.problems
        for each in kinds[kind]:
            found.setdefault(each, []).append(told)
    times = [estimates.estimate(each.config, asked.known) for each in settings.values()]
    known = [each for each in times if each is not None]
    whole = len(known) == len(times)
    first = settings[""]
    words = first.words(without={*asked.keys, *OF_STUDY})
    for each in asked.space:
        words += ["--search", each.text]
    return SearchOutlook(
        _told(found),
        max(each.cpu_seconds for each in known) if whole else None,
        max(each.gpu_seconds for each in known) if whole else None,
        last,
        _folder(asked, first),
        tuple(words),
    )


def _told(found: Mapping[Problem, Sequence[str]]) -> tuple[Problem, ...]:
    """Problems with the trials that have them, unless all have."""
    told = []
    for problem, ends in found.items():
        where, keys = "", problem.keys
        if "" not in ends:
            keys = keys or (ends[0].partition("=")[0],)
            where = f"trials with {' or '.join(map(_named, ends))}: "
        told.append(replace(problem, message=f"{where}{problem.message}", keys=keys))
    return tuple(told)


def _named(end: str) -> str:
    key, _, value = end.partition("=")
    return f"{form.label(key, whole=True)} {value}"


def _folder(asked: Searched, first: ResolvedConfig) -> Path:
    """The folder of this very study, or a new one."""
    config = first.config
    axes = [form.label(key, whole=True) for key in asked.keys]
    name = config.output.name or "-".join([config.task.name, "search", *axes])
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:70] or "search"
    for number in itertools.count(1):
        folder = config.output.dir / (name if number == 1 else f"{name}-{number}")
        if not folder.exists() or _is_of(folder, asked):
            return folder
    raise AssertionError


def _is_of(folder: Path, asked: Searched) -> bool:
    from calisr_engine.tune.study import is_study

    try:
        return is_study(folder) and bool(Study(folder, Plan(asked.space), asked.settings))
    except CalisrError:
        return False
