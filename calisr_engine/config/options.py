"""Settings given on the command line: `--set KEY=VALUE` and options of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calisr_engine.config.check import EMPTY_WORDS
from calisr_engine.config.describe import by_key
from calisr_engine.config.layering import Layer, dotted
from calisr_engine.config.toml_file import value_of
from calisr_engine.errors import Place, Problem
from calisr_engine.methods.catalog import METHODS

OPTIONS: dict[str, str] = {
    "task.data_dir": "--data-dir",
    "output.dir": "--output-dir",
    "model.name": "--model",
    "task.name": "--task",
    "method.name": "--method",
    "calibration.variant": "--calibration",
    "calibration.delta": "--delta",
    "training.seed": "--seed",
    "task.train_file": "--train",
    "task.validation_file": "--validation",
    "task.test_file": "--test",
    "task.dataset": "--dataset",
    "task.train_split": "--train-split",
    "task.validation_split": "--validation-split",
    "task.test_split": "--test-split",
    "task.text_column": "--text",
    "task.text_pair_column": "--text-pair",
    "task.label_column": "--label",
    "task.label_columns": "--labels",
    "task.label_separator": "--label-separator",
    "task.choice_columns": "--choices",
    "task.kind": "--kind",
    "task.metric": "--metric",
    "task.encoding": "--encoding",
    "task.validation_share": "--validation-share",
}
"""Settings that have an option of their own on the command line."""

OWN_DATA = tuple(key for key in OPTIONS if key.startswith("task.") and key != "task.data_dir")
"""Those that tell of the user's own data."""

GUESS = "guessed from the data"
"""Origin of settings that nobody gave."""


def option_layer(
    sets: Sequence[str], overrides: Mapping[str, Any], given_by: str = ""
) -> tuple[Layer, list[Problem]]:
    """The layer of the command line: `--set KEY=VALUE` texts, then options of their own.

    Args:
        sets: "section.key=value". The value is read as TOML, and as plain text where it is none.
        overrides: values by dotted key, or by section and key.
        given_by: origin of `overrides`; "" takes the option that sets the key.

    Returns:
        The layer, and the problems of texts that set nothing.
    """
    layer = Layer()
    problems: list[Problem] = []
    for text in sets:
        key, equals, raw = text.partition("=")
        key, place = key.strip(), Place(f"--set {text}")
        if not equals or not key:
            message = "expected section.key=value, such as --set calibration.delta=0.55"
            problems.append(Problem(message, place=place))
        elif key == "extends":
            message, mend = "extends works in files only", "name the preset itself instead"
            problems.append(Problem(message, mend, ("extends",), place))
        else:
            layer.put(key, parse_value(key, raw.strip()), "--set", place)
    for key, value in dotted(overrides).items():
        origin = given_by or OPTIONS.get(key, "option")
        layer.put(key, value, origin, Place(f"{origin} {key}" if origin == "option" else origin))
    return layer, problems


def guess_layer(guessed: Mapping[str, Any]) -> Layer:
    """The layer of settings that were guessed, by dotted key."""
    layer = Layer()
    for key, value in guessed.items():
        layer.put(key, value, GUESS, Place(GUESS))
    return layer


def task_values(layers: Iterable[Layer]) -> dict[str, Any]:
    """What layers say of [task], by name within it: the data and its settings, before any guess.

    Paths are as they will be read; what a layer empties is left out.
    """
    found: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.values.items():
            section, _, name = key.partition(".")
            if section != "task":
                continue
            if value is None or value in EMPTY_WORDS:
                found.pop(name, None)
                continue
            if name.endswith("_file") and isinstance(value, str | Path):
                value = Path(layer.folder or Path(), Path(value).expanduser())
            found[name] = value
    return found


def has_own_data(layer: Layer) -> bool:
    """Whether a layer says where the user's own data is."""
    return any(key in layer.values for key in ("task.train_file", "task.dataset"))


def data_is_named(layers: Iterable[Layer]) -> bool:
    """Whether own data has a name: what layers below the data call their task is another task."""
    own = named = False
    for layer in layers:
        own = own or has_own_data(layer)
        named = named or (own and "task.name" in layer.values)
    return named


def parse_value(key: str, raw: str) -> Any:
    """What the text after `=` of a `--set` means for that key.

    TOML values are taken as such. Text needs no quotes, lists of words no brackets
    (`query,value`), numbers no leading zero, and `none` empties a setting that may be empty.
    """
    info = next((by_key(name)[key] for name in METHODS if key in by_key(name)), None)
    try:
        value = value_of(raw)
    except ValueError:
        value = raw
    if info is None or (value is raw and info.kind not in ("float", "list")):
        return value
    if info.kind in ("text", "path", "choice") and not isinstance(value, str):
        return raw
    if info.kind == "float" and isinstance(value, str):
        try:
            return float(raw)
        except ValueError:
            return value
    if info.kind == "list" and not isinstance(value, list) and raw.lower() not in EMPTY_WORDS:
        words = [each.strip(" \"'") for each in raw.strip("[] ").split(",")]
        return [each for each in words if each]
    return value
