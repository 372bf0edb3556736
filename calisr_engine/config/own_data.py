"""What is guessed of the user's own data when a run is asked for, and when it may be.

Columns, kind, metric and format that nobody named, from the data itself (`preview`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calisr_engine.config.keywords import by_setting
from calisr_engine.config.layering import Layer
from calisr_engine.config.load import Base, ResolvedConfig, load, read_base, require_values
from calisr_engine.config.options import (
    OPTIONS,
    OWN_DATA,
    data_is_named,
    has_own_data,
    option_layer,
    task_values,
)
from calisr_engine.errors import ConfigError, DataError, retold
from calisr_engine.preview import guess as guesses
from calisr_engine.preview.guess import Guessed

ENOUGH = ("text_column", "label_column", "kind")
"""Who gives these (or label_columns for label_column, and choice_columns for a choice) gives all:
nothing is guessed then."""


def given_of_task(
    base: Base, sets: Iterable[str], options: Mapping[str, Any], given_by: str = ""
) -> dict[str, Any]:
    """What base, --set and options say of [task], by name; paths as they will be read.

    Raises:
        ConfigError: a value of [task] is not one that its setting takes; all mistakes are told.
    """
    layer = require_values(base, list(sets), options, "task", given_by)
    return task_values((*base.layers, layer))


def resolve(
    name_or_file: str | Path | None, sets: list[str], options: dict[str, Any]
) -> tuple[ResolvedConfig, Guessed | None]:
    """The settings of a run from all that was given and all that can be guessed of its data.

    Args:
        name_or_file, sets: as `load` takes them.
        options: as its `overrides`.

    Returns:
        The settings, and the guesses where there were any.

    Raises:
        CalisrError: a mistake in the settings, or own data in which nothing can be guessed.
    """
    base = read_base(name_or_file)
    found, values = guess(base, sets, options)
    rows = None if found is None else len(found.table)
    return load(base, sets, options, guessed=values, examples=rows), found


def guess(
    base: Base, sets: list[str], options: Mapping[str, Any]
) -> tuple[Guessed | None, dict[str, Any]]:
    """What nobody said of own data, as settings by dotted key.

    Raises:
        CalisrError: the data cannot be read, or no column is like a text or a label.
    """
    given = given_of_task(base, sets, options)
    if given.get("train_file") is None and given.get("dataset") is None:
        _refuse_without_data(options)
        return None, {}
    if not _leaves_open(given, (*base.layers, option_layer(sets, options)[0])):
        return None, {}
    found, lacking, values = guessed(given)
    if lacking is not None:
        raise lacking
    return found, values


class OfGrid:
    """What nobody said of own data, for the runs of a grid; runs on the same data read it once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[dict[str, Any], int]] = {}

    def guess(
        self, base: Base, sets: Sequence[str], settings: Mapping[str, Any]
    ) -> tuple[dict[str, Any], int | None]:
        """Settings by dotted key, and how many rows were read.

        Raises:
            CalisrError: as `guess`, with the settings' keys for the options.
        """
        layers = (*base.layers, option_layer(sets, settings)[0])
        if not any(has_own_data(each) for each in layers):
            return {}, None
        given = given_of_task(base, sets, settings, str(self._path))
        with retold(by_setting):
            if not _leaves_open(given, layers):
                return {}, None
            key = repr(sorted(given.items()))
            if key not in self._known:
                found, lacking, values = guessed(given)
                if lacking is not None:
                    raise lacking
                self._known[key] = values, len(found.table)
        return self._known[key]


def _leaves_open(given: dict[str, Any], layers: Sequence[Layer]) -> bool:
    """Whether something of own data is to be found out; a name of other data leaves `given`.

    Raises:
        ConfigError: a file and a data set are given.
    """
    if given.get("train_file") is not None and given.get("dataset") is not None:
        raise ConfigError(
            "--train and --dataset exclude each other", "name files, or a data set of the hub"
        )
    if not data_is_named(layers):
        given.pop("name", None)
    file = given.get("train_file")
    folder = isinstance(file, Path) and file.is_dir()
    needed = {*ENOUGH} - ({"label_column"} if given.get("label_columns") else set())
    needed |= {"choice_columns"} if given.get("kind") == "choice" else set()
    return folder or any(given.get(key) is None for key in needed)


def guessed(given: Mapping[str, Any]) -> tuple[Guessed, DataError | None, dict[str, Any]]:
    """Guesses, what is still lacking, and the guesses by dotted key."""
    found = guesses.guess(given)
    lacking = guesses.lacking({**given, **found.values}, found.columns, found.table.path)
    return found, lacking, {f"task.{key}": value for key, value in found.values.items()}


def _refuse_without_data(options: Mapping[str, Any]) -> None:
    """Columns or validation data without training data would be without effect."""
    names = {key: OPTIONS[key] for key in OWN_DATA} | {"task.header": "--header"}
    for key in ("task.name", "task.metric", "task.validation_file"):
        del names[key]
    alone = [name for key, name in names.items() if options.get(key) is not None]
    if alone:
        raise ConfigError(
            f"{' and '.join(alone)} without data of your own: nothing to read",
            "add --train FILE, or --dataset NAME",
        )
