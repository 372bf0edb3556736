"""Layers of settings: defaults < presets < file < options; who set what, and what is wrong in each.

A layer that changes `method.name` drops the settings of lower layers that the new method does not
know; a setting of another method in the same layer is a mistake.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from calisr_engine.config import check, names, preset_files
from calisr_engine.config.describe import SECTION_NAMES, FieldInfo, all_fields, by_key, table_of
from calisr_engine.config.toml_file import Document, read, show, toml_names
from calisr_engine.errors import ConfigError, NotFoundError, Place, Problem
from calisr_engine.methods.catalog import METHODS

MAX_DEPTH = 8
"""Longest chain of `extends`."""


@dataclass
class Layer:
    """The settings of one source.

    Attributes:
        values: by dotted key, as they were given.
        origins: where each came from ("my.toml:12", "preset demo", "--set"), for users to read.
        places: where to mend each (`presets/demo.toml:3`, `--set training.epochs=x`).
        folder: what relative paths are relative to; None for the current directory.
        of_a_run: a run wrote them, all that there are.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    folder: Path | None = None
    of_a_run: bool = False

    def put(self, key: str, value: Any, origin: str, place: Place) -> None:
        """Set one value; the last one given for a key counts."""
        self.values[key] = value
        self.origins[key] = origin
        self.places[key] = place

    def drop(self, key: str) -> None:
        """Take one value back, if it was set."""
        for each in (self.values, self.origins, self.places):
            each.pop(key, None)


@dataclass
class Merged:
    """All layers in one.

    Attributes:
        values: every setting of the run, by dotted key, checked one by one.
        origins: where each came from.
        places: where to mend each; absent for defaults.
        problems: the mistakes found, in the order of the layers.
        wrong: keys whose value was a mistake (their value here is that of a lower layer).
    """

    values: dict[str, Any]
    origins: dict[str, str]
    places: dict[str, Place]
    problems: list[Problem]
    wrong: set[str]


def file_layers(
    path: Path, label: str = "", chain: tuple[Path, ...] = ()
) -> tuple[list[Layer], list[Problem]]:
    """The layers of a file: what it extends first, then itself.

    Args:
        path: the TOML file.
        label: origin of its values; "" says file and line.
        chain: files that led here, outermost first.

    Returns:
        The layers, and a problem for each file that cannot be read, or that extends in a circle,
        too deeply or what is not there.
    """
    try:
        document = read(path)
    except ConfigError as error:
        return [], list(error.problems)
    here = (*chain, _real(path))
    layers: list[Layer] = []
    problems: list[Problem] = []
    wanted = document.data.pop("extends", [])
    place = Place(document.shown, document.lines.get("extends", 1))
    if isinstance(wanted, str):
        wanted = [wanted]
    if not isinstance(wanted, list) or not all(isinstance(each, str) for each in wanted):
        message = (
            f"expected a preset's name, a path, or a list of them, found {check.found(wanted)}"
        )
        problems.append(Problem(message, 'write extends = "demo"', ("extends",), place))
        wanted = []
    for name in wanted:
        try:
            base, base_label = _base(name, path.parent)
            _check_chain(_real(base), here)
        except ConfigError as error:
            problems.append(Problem(error.message, error.hint, ("extends",), place))
            continue
        below, below_problems = file_layers(base, base_label, here)
        layers += below
        problems += below_problems
    return [*layers, _file_layer(document, path, label)], problems


def _check_chain(base: Path, here: tuple[Path, ...]) -> None:
    if base in here:
        loop = " -> ".join(show(each) for each in (*here, base))
        raise ConfigError(f"extends itself in a circle: {loop}", "remove one of them")
    if len(here) > MAX_DEPTH:
        message = f"more than {MAX_DEPTH} files extend each other"
        raise ConfigError(message, "put some of them together")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def merge(layers: Sequence[Layer], incomplete: bool = False) -> Merged:
    """Put the layers on top of the defaults and check each name and value on the way.

    Args:
        layers: lowest first.
        incomplete: a layer below could not be read, so nobody knows which method it names; until
            a layer names one, the settings of every method pass.
    """
    method = "fft"
    values = {info.key: info.default for info in all_fields(method)}
    result = Merged(values, dict.fromkeys(values, "default"), {}, [], set())
    known_method: str | None = None if incomplete else method
    for layer in layers:
        given = layer.values.get("method.name")
        if "method.name" in layer.values:
            known_method = given if isinstance(given, str) and given in METHODS else None
            if known_method is not None and known_method != method:
                _change_method(result, method, known_method)
                method = known_method
        for key, value in layer.values.items():
            problem = _apply(result, layer, key, value, known_method)
            if problem is not None:
                result.problems.append(replace(problem, place=layer.places[key]))
                result.wrong.add(key)
    return result


def _apply(
    result: Merged, layer: Layer, key: str, value: Any, method: str | None
) -> Problem | None:
    if key in SECTION_NAMES and not layer.places[key].source.startswith("--set "):
        mend = f'[{key}] and below it name = "{value}"' if _named(key, value) else f"[{key}]"
        return Problem(f"expected a section, found {check.found(value)}", f"write {mend}", (key,))
    table = table_of(key, method)
    if table is not None:
        value = _with_entry(table, result.values.get(table.key), key, value)
        place, origin = layer.places[key], layer.origins[key]
        key = table.key
    else:
        problem = names.unknown_key(key, method)
        if problem is not None:
            return problem
        place, origin = layer.places[key], layer.origins[key]
    info = by_key(method or _owner(key))[key]
    try:
        cleaned = check.clean(info, value, layer.folder)
    except ValidationError as error:
        return check.problems(error, info, value)[0]
    if method is None and key.startswith("method."):
        return None  # right for some method, but perhaps not for the one below
    result.values[key] = cleaned
    result.origins[key] = origin
    result.places[key] = place
    result.wrong.discard(key)
    return None


def _with_entry(table: FieldInfo, text: Any, key: str, value: Any) -> dict[str, Any]:
    """A setting's values with names, one of them set; `none` takes it out."""
    assert table.table is not None
    values = table.table(text) if isinstance(text, str) else {}
    name = key.rpartition(".")[2]
    values[name] = value
    if value is None or (isinstance(value, str) and value.lower() in check.EMPTY_WORDS):
        del values[name]
    return values


def _named(section: str, value: Any) -> bool:
    return isinstance(value, str) and section in ("model", "task", "method", "regularizer")


def _owner(key: str) -> str:
    return next(name for name in METHODS if key in by_key(name))


def _change_method(result: Merged, old: str, new: str) -> None:
    before, after = by_key(old), by_key(new)
    for key in [each for each in result.values if each.startswith("method.")]:
        kept = key in after and after[key].same_values(before[key])
        if not kept or result.origins[key] == "default":
            for part in (result.values, result.origins, result.places):
                part.pop(key, None)
    for key, info in after.items():
        if key.startswith("method.") and key not in result.values:
            result.values[key] = info.default
            result.origins[key] = "default"


def _base(name: str, folder: Path) -> tuple[Path, str]:
    """The file that `extends` names, and the origin of its values ("" for file and line)."""
    if not name.endswith(".toml") and not name.startswith((".", "/", "~")):
        try:
            return preset_files.find(name), f"preset {name}"
        except NotFoundError as error:
            for path in (folder / name, folder / f"{name}.toml"):
                if os.path.isfile(path):
                    return path, ""
            raise ConfigError(error.message, error.hint) from None
    path = folder / os.path.expanduser(name)
    if not os.path.exists(path):
        near = names.nearest(path.name, toml_names(path.parent))
        mend = f"did you mean {near}?" if near else f"paths are relative to {show(folder)}"
        raise ConfigError(f"there is no file {show(path)}", mend)
    return path, ""


def _file_layer(document: Document, path: Path, label: str) -> Layer:
    layer = Layer(folder=_real(path).parent, of_a_run=document.of_a_run)
    for key, value in dotted(document.data).items():
        section = key.partition(".")[0]
        line = document.lines.get(key) or document.lines.get(section)
        place = Place(document.shown, line)
        layer.put(key, value, label or str(place), place)
    return layer


def dotted(data: Mapping[str, Any]) -> dict[str, Any]:
    """Two levels as one: sections give "section.key"; an unknown section stays one key."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if key in SECTION_NAMES and isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            flat[key] = value
    return flat
