"""From presets, files and options to one checked `RunConfig` that knows where each value came from.

load("demo", sets=["training.epochs=2"]).config
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from calisr_engine.config import check, fitting, preset_files, toml_text
from calisr_engine.config.describe import by_key
from calisr_engine.config.idle import idle_settings
from calisr_engine.config.layering import Layer, Merged, file_layers, merge
from calisr_engine.config.names import nearest
from calisr_engine.config.options import GUESS, data_is_named, guess_layer, option_layer
from calisr_engine.config.schema import RunConfig
from calisr_engine.config.toml_file import show, toml_names
from calisr_engine.errors import ConfigError, NotFoundError, Place, Problem
from calisr_engine.settings import Reading
from calisr_engine.tasks.own_names import task_name

HINT = "Nothing was started. `calisr methods NAME` and `calisr presets NAME` show what can be set."


@dataclass(frozen=True)
class ResolvedConfig:
    """The settings of a run and their history.

    Attributes:
        config: the settings.
        origins: where each came from, by dotted key ("default", "preset demo", "my.toml:12",
            "--set", "--data-dir").
        base: the preset or file that was loaded, as it was named; "" for none.
        warnings: settings that are without effect, one sentence each.
        reasons: why each setting that was fitted has its value, by dotted key.
    """

    config: RunConfig
    origins: dict[str, str]
    base: str = ""
    warnings: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    _layers: tuple[Layer, ...] = field(default=(), repr=False)
    _examples: int | None = field(default=None, repr=False)

    def to_toml(self) -> str:
        """Every setting with its origin as a comment; loads to the same config."""
        return toml_text.resolved_toml(self.config, self.origins)

    def minimal_toml(self, title: str = "") -> str:
        """Only what differs from the defaults, as one saves a preset."""
        return toml_text.minimal_toml(self.config, title)

    def command_line(self, detached: bool = False) -> str:
        """The `calisr run` line of this config, from the same preset or file."""
        words = ["calisr", "run", *self.words()]
        return shlex.join([*words, "--detach"] if detached else words)

    def words(self, without: Collection[str] = ()) -> list[str]:
        """What follows `calisr run` in that line; settings of `without` are left out."""
        start = _start(list(self._layers), self.config, self._examples, without)
        return toml_text.command_words(self.config, self.base, start, without)


@dataclass(frozen=True)
class Base:
    """A preset or file as it was read, for many configs that start from it.

    Attributes:
        name: as it was named; "" for the defaults.
        layers: what it extends first, then itself.
        problems: one for each file that cannot be read.
    """

    name: str = ""
    layers: tuple[Layer, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_base(name_or_file: str | Path | None, recorded: bool = False) -> Base:
    """Read a preset or file and what it extends.

    Of a run's config.toml, which holds every setting, those alone that are not as by default.

    Args:
        recorded: read all of them.

    Raises:
        ConfigError: it is a grid. Other mistakes are told by `load`.
        NotFoundError: there is no such preset or file.
    """
    if name_or_file is None:
        return Base()
    located = _locate(name_or_file)
    if preset_files.is_grid(Path(located[0])):
        raise ConfigError(
            f"{located[0]} is a grid of many runs", f"train it with: calisr grid run {name_or_file}"
        )
    layers, problems = file_layers(*located)
    if layers and layers[0].of_a_run and not recorded:  # above others its defaults have a meaning
        _leave_out_defaults(layers[0])
    return Base(str(name_or_file), tuple(layers), tuple(problems))


_KEPT = ("method.name", "training.learning_rate")
"""What stays of a run's settings in any case; beside a rate nothing is fitted."""


def _leave_out_defaults(layer: Layer) -> None:
    fields = by_key(str(layer.values.get("method.name", "fft")))
    for key in [key for key in layer.values if key in fields and key not in _KEPT]:
        value = layer.values[key]
        value = tuple(value) if isinstance(value, list) else value
        if value == fields[key].default:
            for part in (layer.values, layer.origins, layer.places):
                part.pop(key, None)


def load(
    name_or_file: str | Path | Base | None,
    sets: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    given_by: str = "",
    guessed: Mapping[str, Any] | None = None,
    examples: int | None = None,
    recorded: bool = False,
    of_grid: bool = False,
) -> ResolvedConfig:
    """The settings of a run: defaults < fitted < presets that the file extends < file < guessed <
    sets < overrides.

    What is fitted, and when, is told in `fitting`.

    Relative paths of data files in a config file are relative to that file's folder, those in
    options and `output.dir` to the current directory. `none` empties a setting that may be empty.

    Args:
        name_or_file: a preset's name, a TOML file, one of them read before, or None for the
            defaults.
        sets: "section.key=value" texts of `--set`.
        overrides: values by dotted key or by section; the highest layer.
        given_by: where `overrides` come from, for messages; "" names the options of `calisr run`.
        guessed: what was found out about the user's own data (`calisr_engine.preview`), by dotted
            key; it takes the place of sets and overrides of the same key.
        examples: rows of that data, if it has been read.
        recorded: the file is that of an existing run, which nothing is fitted to any more.
        of_grid: `overrides` are those of a grid: a rate there makes a recipe, and presets keep
            what they say whatever the model and task.

    Raises:
        ConfigError: `problems` has every mistake.
        NotFoundError: there is no such preset or file.
    """
    overrides = overrides or {}
    base = name_or_file if isinstance(name_or_file, Base) else read_base(name_or_file, recorded)
    options, malformed = option_layer(sets, overrides, given_by)
    found = guess_layer(guessed or {})
    for key in found.values:  # nobody gave it: options empty it, or name the folder of the file
        options.drop(key)
    above = [found, options]
    layers, notes = list(base.layers), list[str]()
    if not of_grid:
        layers, notes = fitting.without_recipe(layers, above)
    merged = merge([*layers, *above], incomplete=bool(base.problems))
    _name_own_data(merged, [*layers, *above])
    config, broken = _whole(merged)
    rules = [] if base.problems else broken
    problems = [*base.problems, *merged.problems, *rules, *malformed]
    if config is None or problems:
        raise _error(base.name, problems)
    fits: dict[str, fitting.Fit] = {}
    if not (recorded or fitting.is_recipe([*layers, options] if of_grid else layers)):
        fits = fitting.fit(config, merged.places, examples)
        config = _with(config, fits)
    for layer in base.layers:
        if layer.of_a_run and layer.folder is not None:
            config = _with_kept_data(config, layer.folder)
    origins = merged.origins | {key: each.origin for key, each in fits.items()}
    return ResolvedConfig(
        config=config,
        origins={key: origins[key] for key in toml_text.flat(config)},
        base=base.name,
        warnings=(*notes, *idle_settings(merged)),
        reasons={key: each.reason for key, each in fits.items()},
        _layers=base.layers,
        _examples=examples,
    )


def require_values(
    base: Base,
    sets: Sequence[str],
    overrides: Mapping[str, Any],
    section: str,
    given_by: str = "",
) -> Layer:
    """The layer of options, once no value of a section is one that its setting does not take.

    For who reads values of that section before there are settings; `load` tells what else is wrong.

    Raises:
        ConfigError: `problems` has every mistake in a name or value, those of other sections, too.
    """
    options, malformed = option_layer(sets, overrides, given_by)
    merged = merge([*base.layers, options], incomplete=bool(base.problems))
    if any(key.startswith(f"{section}.") for key in merged.wrong):
        raise _error(base.name, [*base.problems, *merged.problems, *malformed])
    return options


def _with(config: RunConfig, fits: Mapping[str, fitting.Fit]) -> RunConfig:
    values = {key.partition(".")[2]: each.value for key, each in fits.items()}
    return config.model_copy(update={"training": config.training.model_copy(update=values)})


def _name_own_data(merged: Merged, layers: Sequence[Layer]) -> None:
    """Data of one's own that nobody named is called after its file, not as the task of a preset."""
    data = merged.values["task.train_file"] or merged.values["task.dataset"]
    if data is not None and not data_is_named(layers):
        merged.values["task.name"] = task_name(Path(data))
        merged.origins["task.name"] = GUESS


def _with_kept_data(config: RunConfig, run_dir: Path) -> RunConfig:
    """Rows from Python, which a run keeps in its data/, are found there also where it was moved."""
    moved: dict[str, Path] = {}
    for name in ("train_file", "validation_file", "test_file"):
        file: Path | None = getattr(config.task, name)
        if file is not None and file.stem == name and not file.exists():
            own = run_dir.absolute() / "data" / file.name
            if own.is_file():
                moved[name] = own
    return config.model_copy(update={"task": config.task.model_copy(update=moved)})


def from_resolved(path: str | Path) -> RunConfig:
    """The settings of an existing run, from the `config.toml` in its directory.

    Raises:
        ConfigError: the file is missing, unreadable or not a config any more.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise ConfigError(
            f"{show(path)}: there is no such file",
            "a run directory has a config.toml; `calisr runs` lists the runs",
        )
    return load(path, recorded=True).config


def command_line(config: RunConfig, base: str | None = None) -> str:
    """The exact `calisr run` line of a config, for copying.

    Args:
        base: preset or file that the line shall start from; None spells every change out.

    Raises:
        ConfigError, NotFoundError: `base` cannot be loaded.
    """
    if base is None:
        words = toml_text.command_words(config, "", _start([], config))
        return shlex.join(["calisr", "run", *words])
    start = read_base(base)
    if start.problems:
        raise _error(base, list(start.problems))
    words = toml_text.command_words(config, base, _start(list(start.layers), config))
    return shlex.join(["calisr", "run", *words])


def minimal_toml(config: RunConfig, title: str = "") -> str:
    """Only what differs from the defaults, and the rate, as one saves a preset.

    Args:
        title: first line, as a comment, which `calisr presets` shows.
    """
    return toml_text.minimal_toml(config, title)


def _locate(name_or_file: str | Path) -> tuple[Path, str]:
    """The file to read and the origin of its values ("" for file and line)."""
    text = str(name_or_file)
    path = Path(os.path.expanduser(text))
    is_path = isinstance(name_or_file, Path) or text.endswith(".toml")
    if not text:
        raise NotFoundError("the name is empty", "give a preset's name or a TOML file")
    if is_path or text.startswith((".", "/", "~")):
        if not os.path.lexists(path):
            raise NotFoundError(f"there is no config file {show(path)}", _near_file(path))
        return path, ""
    try:
        return preset_files.find(text), f"preset {text}"
    except NotFoundError:
        if os.path.exists(path):
            return path, ""
        if os.path.isfile(f"{path}.toml"):
            raise NotFoundError(
                f"there is no preset {text!r}", f"did you mean {text}.toml?"
            ) from None
        raise


def _near_file(path: Path) -> str:
    near = nearest(path.name, toml_names(path.parent))
    if near:
        return f"did you mean {show(path.parent / near)}?"
    return "give a TOML file or a preset's name; `calisr presets` lists the presets"


def _start(
    layers: list[Layer],
    config: RunConfig,
    examples: int | None = None,
    given_elsewhere: Collection[str] = (),
) -> dict[str, Any]:
    """What the files alone set, and what would be fitted, for the final config's method, model and
    task. What is another value than the fitted one is left out, so that it is named."""
    own = {key: value for key, value in toml_text.flat(config).items() if key.startswith("task.")}
    own["model.name"] = config.model.name
    chosen = option_layer([], {key: value for key, value in own.items() if value is not None})[0]
    layers, _ = fitting.without_recipe(layers, [chosen])
    method = merge(layers).values["method.name"]
    if method != config.method.name:
        layers.append(option_layer([f"method.name={config.method.name}"], {})[0])
    merged = merge(layers)
    start = {**merged.values, "method.name": method}
    if fitting.is_recipe(layers):
        return start
    values, given = toml_text.flat(config), set(merged.places) | set(given_elsewhere)
    while True:
        fits = fitting.fit(config, given, examples)
        other = {key for key, each in fits.items() if each.value != values[key]}
        if not other:
            break
        given |= other
    start |= {key: each.value for key, each in fits.items()}
    return {key: start[key] for key in start if key in merged.places or key not in given}


def _whole(merged: Merged) -> tuple[RunConfig | None, list[Problem]]:
    """The settings, each right by itself, and the rules over several of them that are broken.

    Rules over settings that are known to be wrong are left out.
    """
    infos = by_key(merged.values["method.name"])
    values = {key: merged.values.get(key, info.default) for key, info in infos.items()}
    config, broken = None, []
    try:
        config = RunConfig.model_validate(_nested(values), context=Reading())
        broken = [Problem(each.message, each.mend, each.keys) for each in config.all_broken_rules()]
    except ValidationError as error:
        broken = check.problems(error)
    told = [each for each in broken if merged.wrong.isdisjoint(each.keys)]
    return config, [replace(each, place=_place(each.keys, merged)) for each in told]


def _place(keys: Sequence[str], merged: Merged) -> Place | None:
    """Where the first of these settings was given, else another of the section."""
    sections = [key.partition(".")[0] for key in keys[:1]]
    beside = [key for key in merged.values if key.partition(".")[0] in sections]
    return next((merged.places[key] for key in (*keys, *beside) if key in merged.places), None)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        if section:
            nested.setdefault(section, {})[name] = value
        else:
            nested[name] = value
    return nested


def _error(base: str, problems: Iterable[Problem]) -> ConfigError:
    unique = list(dict.fromkeys(problems))
    count = f"{len(unique)} mistakes" if len(unique) > 1 else "one mistake"
    where = f" in the settings of {show(Path(base))}" if base else " in the settings"
    return ConfigError(f"{count}{where}", HINT, problems=unique)
