"""What a run's model takes and says: one text or two, or alternatives; classes or a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, UnavailableError
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.task_kinds import KINDS, THRESHOLD, KindName
from calisr_engine.tasks import demo, glue
from calisr_engine.tasks.formats import AS_USUAL, Form

if TYPE_CHECKING:
    from calisr_engine.tasks.data import TaskData


@dataclass(frozen=True)
class RunTask:
    """The task of a run, as far as its settings tell.

    Attributes:
        columns: names that the text columns may have in a file, the likeliest first; one name in
            each for single texts, two for pairs, or for a choice whose question is a column.
        choices: columns of the alternatives, which are its classes; empty where none is chosen.
        form: what text files of its data do not say of themselves.
        threshold: probability above which a label is given, where there are several a text.
    """

    name: str
    kind: KindName
    is_pair: bool
    columns: tuple[tuple[str, ...], ...]
    form: Form = AS_USUAL
    threshold: float = THRESHOLD
    choices: tuple[str, ...] = ()

    @property
    def has_classes(self) -> bool:
        """Whether what it says is the name of a class, or several."""
        return KINDS[self.kind].has_classes

    @property
    def tags_words(self) -> bool:
        """Whether it takes the words of a text, and says something of each."""
        return KINDS[self.kind].per_word


def task_of(config: RunConfig) -> RunTask:
    """The task of a run with these settings; reads no data."""
    task = config.task
    if task.is_own:
        assert task.text_column is not None
        assert task.kind is not None
        own = (task.text_column, task.text_pair_column)
        columns = tuple(name for name in own if name is not None)
        form = Form(task.encoding, task.header)
        choices = task.choice_columns or ()
        pair = len(columns) == 2 and not choices
        return RunTask(task.name, task.kind, pair, (columns,), form, task.threshold, choices)
    if glue.plain(task.name) == "demo":
        return RunTask(demo.NAME, "classification", False, (("text",), ("sentence",)))
    known = glue.find(task.name)
    beside = (known.question,) if known.question else ()
    columns_of = ((*known.hub_columns, *beside), (*known.file_columns, *beside))
    names = tuple(dict.fromkeys(columns_of))
    return RunTask(known.name, known.kind, known.is_pair, names, choices=known.choices)


def class_names(run_dir: Path, config: RunConfig) -> tuple[str, ...]:
    """Class names by class number, of a run without an exported model that says them.

    Raises:
        UnavailableError: earlier versions did not write the classes of own files down, and the
            training file is not as it was.
    """
    if not config.task.is_own:
        name = config.task.name
        return demo.LABEL_NAMES if glue.plain(name) == "demo" else glue.find(name).label_names
    environment = environment_of(run_dir)
    kept = environment.get("classes")
    if isinstance(kept, list) and kept and all(isinstance(name, str) for name in kept):
        return tuple(kept)
    try:
        return data_of(run_dir, config).label_names or ()
    except CalisrError as error:
        raise UnavailableError(
            f"{run_dir.name} did not keep the names of its classes: {error.message}",
            "put its data back, or let the run complete: its export has the names",
        ) from error


def data_of(run_dir: Path, config: RunConfig) -> TaskData:
    """The data that a run was trained with, read again.

    Raises:
        UnavailableError: it is not here, or not as it was.
    """
    from calisr_engine.tasks.data import load_task

    try:
        data = load_task(config.task)
    except CalisrError as error:
        raise UnavailableError(
            f"the data of {run_dir.name} cannot be read: {error.message}",
            error.hint or "put it back",
        ) from error
    if environment_of(run_dir).get("data_fingerprint", data.fingerprint) != data.fingerprint:
        raise UnavailableError(
            f"{config.task.name}: the data changed since {run_dir.name} was trained",
            "put its data back",
        )
    return data


def environment_of(run_dir: Path) -> dict[str, object]:
    """What the run wrote of versions, device and data; empty where that cannot be read."""
    try:
        return read_json(RunPaths(run_dir).environment)
    except (OSError, ValueError):
        return {}
