"""The grid that marked settings make: its runs, what keeps them from beginning, and its file.

Each run of the grid is the run that the form would start with these values: with what fits its own
method, model and task, and without calibration where its method has none.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from calisr_engine.config.describe import by_key
from calisr_engine.config.load import ResolvedConfig
from calisr_engine.config.options import parse_value
from calisr_engine.config.schema import RunConfig
from calisr_engine.config.toml_file import MAX_BYTES
from calisr_engine.config.toml_text import flat
from calisr_engine.errors import CalisrError, Problem
from calisr_engine.methods.catalog import METHODS
from calisr_engine.storage.plain import read_plain
from calisr_engine.tasks import glue
from calisr_tui import data_source, estimates, form
from calisr_tui.data_source import DataRead, Inputs
from calisr_tui.draft import Draft
from calisr_tui.estimates import Known

if TYPE_CHECKING:
    from calisr_engine.forecast.before_start import Checked

MOST_RUNS = 1000
"""Runs of a grid that is made by marks; larger ones are written as a file."""

MOST_NAMED = 3
"""Runs that a mistake names."""

KEPT = ("method.name", "training.learning_rate")
"""Settings that stand in the file in any case: without the first a run is one of full fine-tuning,
without the second rates would be fitted anew."""

NOT_OF_GRID = ("output.dir", "output.name", "notes", "training.threads")
"""Settings that the grid or its command gives each run."""

FILE = "grid.toml"
"""The grid's file, in the folder of its runs."""

Words = tuple[str, ...]
"""The values of a run on the axes, as typed."""


@dataclass(frozen=True)
class Marked:
    """What is asked for, apart from the form.

    Attributes:
        axes: values by dotted key, as typed.
        variant: the calibration of methods that can be calibrated.
        data_dir: folder of GLUE files that the app was given.
        known: what is known of the user's own data.
    """

    inputs: Inputs
    axes: Mapping[str, Words]
    variant: str
    data_dir: Path | None
    known: Known

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.axes)

    @property
    def count(self) -> int:
        """How many combinations there are."""
        return math.prod(map(len, self.axes.values()))

    @property
    def combinations(self) -> list[Words]:
        """Every combination of the values, the last axis fastest."""
        return list(itertools.product(*self.axes.values()))


def marked(draft: Draft) -> Marked:
    """What the marks of a draft ask for."""
    axes = {key: draft.values(key) for key in draft.marked}
    return Marked(draft.inputs, axes, draft.variant, draft.data_dir, Known(*draft.facts()))


def settings_of(asked: Marked, words: Words) -> ResolvedConfig:
    """All settings of one run.

    Raises:
        CalisrError: something is wrong with them.
    """
    values = dict(zip(asked.keys, words, strict=True))
    options = asked.inputs.options | {key: _value(key, each) for key, each in values.items()}
    method = METHODS.get(str(options.get("method.name", "fft")))
    if "method.name" in values and method is not None:
        known = by_key(method.model_fields["name"].default)
        own = ("method.",)
        options = {k: v for k, v in options.items() if k in known or not k.startswith(own)}
        if "calibration.variant" not in values:
            options["calibration.variant"] = asked.variant
    if method is not None and method.calibration_refused:
        options["calibration.variant"] = "off"
    if "task.name" in values:
        of_glue = glue.is_of_glue(values["task.name"])
        options.pop("task.data_dir", None)
        options |= {"task.data_dir": asked.data_dir} if of_glue and asked.data_dir else {}
    return replace(asked.inputs, options=options).load()


def _value(key: str, text: str) -> Any:
    info = next((by_key(name)[key] for name in METHODS if key in by_key(name)), None)
    plain = info is not None and info.kind in ("text", "path", "choice")
    return text if plain else parse_value(key, text)


def _different(configs: Mapping[Words, RunConfig]) -> dict[Words, RunConfig]:
    """Every combination that makes another run than those before it."""
    found: dict[str, tuple[Words, RunConfig]] = {}
    for words, config in configs.items():
        found.setdefault(repr(flat(config)), (words, config))
    return dict(found.values())


# Before it begins --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """What a grid comes to.

    Attributes:
        runs: different ones; 0 where one cannot be.
        problems: what keeps runs from beginning, with the runs.
        cpu_seconds, gpu_seconds: of all, one after the other, at most; None where not known.
        last: the last look at model and data, for the next check.
        folder: of the grid's runs; toml: what stands in `FILE` there.
    """

    runs: int = 0
    problems: tuple[Problem, ...] = ()
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    last: Checked | None = None
    folder: Path = Path()
    toml: str = ""

    @property
    def ready(self) -> bool:
        """Whether there is a file of it."""
        return bool(self.toml)


def check(asked: Marked, last: Checked | None, read: DataRead | None) -> Outlook:
    """As `data_source.check`, for all runs: a problem of some names them.

    What makes no difference to whether a run can begin is checked once.
    """
    from calisr_engine.forecast import before_start

    if asked.count > MOST_RUNS:
        said = f"the marks make {asked.count:,} runs; {MOST_RUNS:,} are the most"
        return Outlook(problems=(Problem(said, "take values away", asked.keys[-1:]),), last=last)
    found: dict[Problem, list[Words]] = {}
    loaded: dict[Words, RunConfig] = {}
    for words in asked.combinations:
        try:
            loaded[words] = settings_of(asked, words).config
        except CalisrError as error:
            for each in getattr(error, "problems", ()) or [Problem(error.message, error.hint)]:
                found.setdefault(replace(each, place=None), []).append(words)
    if found:
        return Outlook(problems=_told(asked, found), last=last)
    runs, kinds = _different(loaded), dict[str, tuple[Problem, ...]]()
    for words, config in runs.items():
        kind = before_start.kind(config)
        if kind not in kinds:
            last = data_source.check(config, last, read)
            kinds[kind] = last.problems
        for each in kinds[kind]:
            found.setdefault(each, []).append(words)
    times = [estimates.estimate(config, asked.known) for config in runs.values()]
    known = [each for each in times if each is not None]
    whole = len(known) == len(times)
    folder, toml = _file(asked, runs)
    return Outlook(
        len(runs),
        _told(asked, found),
        sum(each.cpu_seconds for each in known) if whole else None,
        sum(each.gpu_seconds for each in known) if whole else None,
        last,
        folder,
        toml,
    )


def _told(asked: Marked, found: Mapping[Problem, Sequence[Words]]) -> tuple[Problem, ...]:
    """Problems with the runs that have them, unless all runs have."""
    total, told = asked.count, []
    for problem, runs in found.items():
        named = [_words(asked, each) for each in runs[:MOST_NAMED]]
        more = [f"{len(runs) - MOST_NAMED} more"] if len(runs) > MOST_NAMED else []
        where = f"{len(runs)} of {total} runs ({'; '.join([*named, *more])}): "
        where = "" if len(runs) == total else where
        told.append(replace(problem, message=f"{where}{problem.message}"))
    return tuple(told)


def _words(asked: Marked, words: Words) -> str:
    return ", ".join(
        f"{form.label(key, whole=True)} {word}" for key, word in zip(asked.keys, words, strict=True)
    )


# The file ----------------------------------------------------------------------------------------


def _file(asked: Marked, runs: Mapping[Words, RunConfig]) -> tuple[Path, str]:
    """The folder of the runs, and the grid file in it: a folder of this very grid, or a new one."""
    config = next(iter(runs.values()))
    axes = [form.label(key, whole=True) for key in asked.keys]
    task = [] if "task.name" in asked.axes else [config.task.name]
    name = config.output.name or "-".join([*task, *axes])
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:70] or "grid"
    content = _content(asked, runs)
    for number in itertools.count(1):
        folder = config.output.dir / (name if number == 1 else f"{name}-{number}")
        head = {"name": folder.name, "title": f"{len(runs)} runs, set up in the app"}
        toml = tomli_w.dumps({"grid": head, **content})
        if not folder.exists() or _text(folder / FILE) == toml:
            break
    return folder, toml


def _text(path: Path) -> str:
    try:
        return read_plain(path, MAX_BYTES).decode()
    except (OSError, ValueError):
        return ""


def _content(asked: Marked, runs: Mapping[Words, RunConfig]) -> dict[str, Any]:
    """The grid file without its head: expanding it gives the runs of `settings_of`."""
    every = {words: _settings(config) for words, config in runs.items()}
    for values in every.values():
        if values["task.data_dir"] in ("none", _toml(asked.data_dir)):
            del values["task.data_dir"]  # the command says it
    common, rules = dict[str, Any](), _Rules(asked)
    left_out = {words: words not in runs or None for words in asked.combinations}
    rules.add(left_out, lambda value: {"exclude": value})
    for key in dict.fromkeys(key for values in every.values() for key in values):
        there = {words: values.get(key) for words, values in every.items()}
        if key in asked.axes:
            continue
        if None in there.values() or len(set(map(repr, there.values()))) > 1:
            rules.add(there, lambda value, key=key: {"set": {key: value}})
        elif key in KEPT or not _is_default(key, there, runs):
            common[key] = every[next(iter(every))][key]
    # Last, for a rule compares what those before it have set.
    for at, key in enumerate(asked.keys):
        others = {
            words: None if values[key] == _toml(_value(key, words[at])) else values[key]
            for words, values in every.items()
        }
        rules.add(others, lambda value, key=key: {"set": {key: value}})
    axes = {key: [_toml(_value(key, each)) for each in words] for key, words in asked.axes.items()}
    content = {"settings": common, "axes": axes}
    return content | ({"when": rules.found} if rules.found else {})


def _settings(config: RunConfig) -> dict[str, Any]:
    return {key: _toml(value) for key, value in flat(config).items() if key not in NOT_OF_GRID}


def _is_default(key: str, values: Mapping[Words, Any], runs: Mapping[Words, RunConfig]) -> bool:
    return all(
        value == _toml(by_key(runs[words].method.name)[key].default)
        for words, value in values.items()
    )


def _toml(value: Any) -> Any:
    """A value as a grid file has it."""
    if value is None:
        return "none"
    if isinstance(value, Path):
        return str(value.absolute())
    return list(value) if isinstance(value, tuple) else value


class _Rules:
    """The [[when]] rules of a grid, each with the fewest axes that say for which runs it is."""

    def __init__(self, asked: Marked) -> None:
        self._asked = asked
        self.found: list[dict[str, Any]] = []

    def add(self, values: Mapping[Words, Any], rule: Callable[..., dict[str, Any]]) -> None:
        """What differs from run to run, as rules.

        Args:
            values: by run; None for those without a rule.
            rule: what a value makes of a run.
        """
        keys, axes = self._asked.keys, self._that_tell(values)
        for words, value in values.items():
            if value is None:
                continue
            match = {keys[at]: _toml(_value(keys[at], words[at])) for at in axes}
            done = rule(value)
            same = [each for each in self.found if each["match"] == match and "set" in each]
            if "set" in done and same:
                same[-1]["set"].update(done["set"])
            elif {"match": match, **done} not in self.found:
                self.found.append({"match": match, **done})

    def _that_tell(self, values: Mapping[Words, Any]) -> tuple[int, ...]:
        """The fewest axes that determine the value."""
        positions = range(len(self._asked.keys))
        for count in positions:
            for axes in itertools.combinations(positions, count):
                seen: dict[Words, str] = {}
                if all(
                    seen.setdefault(tuple(words[at] for at in axes), repr(value)) == repr(value)
                    for words, value in values.items()
                ):
                    return axes
        return tuple(positions)
