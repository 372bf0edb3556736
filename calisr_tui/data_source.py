"""A look at the user's own data for the setup form: what is guessed, what is seen, what is wrong.

Reads files, or the hub; so it runs in the background.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calisr_engine.config.load import Base, ResolvedConfig, load
from calisr_engine.config.options import option_layer, task_values
from calisr_engine.errors import CalisrError, Problem, explain
from calisr_engine.tasks import glue

if TYPE_CHECKING:
    from calisr_engine.config.schema import RunConfig
    from calisr_engine.forecast.before_start import Checked
    from calisr_engine.preview.guess import Guessed
    from calisr_engine.preview.look import Look

COLUMNS = ("task.label_column", "task.text_pair_column", "task.text_column")
"""Settings that name a column."""


@dataclass(frozen=True)
class Inputs:
    """All that a run's settings are loaded from, as `load` takes it."""

    base: Base
    options: dict[str, Any]
    guessed: dict[str, Any]
    examples: int | None

    def load(self) -> ResolvedConfig:
        """The settings.

        Raises:
            CalisrError: something is wrong with them.
        """
        return load(self.base, (), self.options, guessed=self.guessed, examples=self.examples)


@dataclass(frozen=True)
class Request:
    """What is to be read.

    Attributes:
        options: settings of [task] and the model by dotted key, as the form has them.
        given: settings of [task] by name, those of the base too.
    """

    base: Base
    options: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def names_data(self) -> bool:
        """Whether it names a file, a folder or a data set."""
        return any(self.given.get(key) is not None for key in ("train_file", "dataset"))


@dataclass(frozen=True)
class DataRead:
    """What was found.

    Attributes:
        values: what was guessed, by dotted key, as `load` takes it; why: the reasons.
        examples: rows of the training data, those that will validate too.
        look: None where nothing could be read.
        problems: why it cannot be trained on, at the field that mends it.
        config: the settings that it was looked at with.
        splits: of a data set of the hub.
    """

    request: Request
    values: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    examples: int | None = None
    look: Look | None = None
    problems: tuple[Problem, ...] = ()
    config: RunConfig | None = None
    splits: tuple[str, ...] = ()

    @property
    def columns(self) -> list[dict[str, str]]:
        """Name, kind, why and example of each column."""
        return [] if self.look is None else list(self.look.columns)

    def choices(self, key: str, kind: str) -> list[tuple[str, str]]:
        """What a setting can be chosen from, each with a note; empty where it is typed.

        Args:
            kind: of the task, as the data is read.
        """
        if key in COLUMNS:
            return [(each["name"], f"{each['why']} · {each['example']}") for each in self.columns]
        if key == "task.metric" and self.look is not None:
            from calisr_engine.preview.roles import metrics_that_fit

            spans = self.look.source is None or self.look.marks_entities  # unknown: all
            return [(name, "") for name in metrics_that_fit(kind, self.classes or 2, spans)]
        return []

    @property
    def usual_metric(self) -> str | None:
        """The metric that picks the best model where none is named; None without usable data."""
        source = None if self.look is None else self.look.source
        return None if source is None else source.metrics[0]

    @property
    def rows(self) -> int | None:
        """Training rows, where they could be counted."""
        return self.look.sets[0].rows if self.look is not None and self.look.sets else None

    @property
    def classes(self) -> int | None:
        """Outputs of the head: classes, or 1 for a regression."""
        if self.look is None or not self.look.sets:
            return None
        return len(self.look.sets[0].labels) or 1


def request(base: Base, options: Mapping[str, Any], anew: Collection[str] = ()) -> Request:
    """What `read` reads, from the form's settings over its base.

    Args:
        options: by dotted key; those outside [task] and [model] make no difference.
        anew: those that nobody gave, whatever base and options say.
    """
    mine = {k: v for k, v in options.items() if k.startswith(("task.", "model."))}
    given = task_values((*base.layers, option_layer([], mine)[0]))
    if "task.name" not in mine and glue.is_task(str(given.get("name"))):
        given.pop("name")  # a preset's own task, not the user's data
    for key in anew:
        given.pop(key.partition(".")[2], None)
    return Request(base, mine, given)


def source(base: Base, options: Mapping[str, Any]) -> tuple[Path | None, str | None]:
    """The training file and the data set that are named."""
    given = request(base, options).given
    file, dataset = given.get("train_file"), given.get("dataset")
    return None if file is None else Path(file).absolute(), None if file else dataset


def read(asked: Request, count_tokens: bool = True) -> DataRead:
    """Guess what is not given, and look at the data. Never raises."""
    from calisr_engine.preview import guess

    given = dict(asked.given)
    refused: tuple[Problem, ...] = ()
    try:
        found = guess.guess(given)
    except Exception as error:
        refused = (_problem(explain(error), given),)
        if refused[0].keys[0] not in COLUMNS:
            return DataRead(asked, problems=refused)
        for key in COLUMNS:
            given.pop(key.partition(".")[2], None)
        try:
            found = guess.guess(given)  # for the columns that there are
        except Exception:
            return DataRead(asked, problems=refused)
    return _looked(asked, found, given, refused, count_tokens)


def _looked(
    asked: Request,
    found: Guessed,
    given: Mapping[str, Any],
    refused: tuple[Problem, ...],
    count_tokens: bool,
) -> DataRead:
    from calisr_engine.preview import guess
    from calisr_engine.preview.lengths import token_counter
    from calisr_engine.preview.look import look, unfinished

    given = {**given, **found.values}
    values = {f"task.{key}": value for key, value in found.values.items()}
    why = {f"task.{key}": reason for key, reason in found.why.items()}
    rows = len(found.table)
    lacking = guess.lacking(given, found.columns, found.table.path)
    if lacking is not None and not refused:
        key = "text_column" if given.get("text_column") is None else "label_column"
        refused = (Problem(lacking.message, lacking.hint, (f"task.{key}",)),)
    read = DataRead(asked, values, why, rows, splits=found.splits)
    if refused:
        return replace(read, look=unfinished(found, given, None), problems=refused)
    try:
        config = load(asked.base, (), asked.options, guessed=values).config
        counter = token_counter(config.model.name) if count_tokens else None
        seen = look(config.task, found, counter)
    except Exception as error:
        refused = (_problem(explain(error), given),)
        return replace(read, look=unfinished(found, given, None), problems=refused)
    if seen.problem is not None:
        refused = (_problem(seen.problem, given),)
    return replace(read, look=seen, problems=refused, config=config)


def _problem(error: CalisrError, given: Mapping[str, Any]) -> Problem:
    """The error at the field that it is about, else at the data itself."""
    from calisr_engine.forecast.before_start import as_problem

    own = getattr(error, "problems", ())
    found: Problem = own[0] if own else as_problem(error, "fft")
    column = getattr(error, "column", "")
    named = tuple(key for key in COLUMNS if given.get(key.partition(".")[2]) == column != "")
    source = "task.train_file" if given.get("dataset") is None else "task.dataset"
    return replace(found, keys=found.keys or named or (source,))


def check(config: RunConfig, last: Checked | None, read: DataRead | None) -> Checked:
    """What would stop a run before its first step.

    Args:
        last: what was found for other settings; what is the same is not read again.
        read: what was read of the user's data.
    """
    from calisr_engine.forecast import before_start

    source = None
    if read is not None and read.look is not None and read.config is not None:
        source = read.look.source if read.config.task == config.task else None
    try:
        return before_start.look(config, last, source=source)
    except Exception as error:
        return before_start.Checked(config, (explain(error),))


def endings() -> tuple[str, ...]:
    """What the names of data files end with."""
    from calisr_engine.preview.folders import SUFFIXES

    return SUFFIXES
