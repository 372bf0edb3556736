"""A grid file: the settings that all its runs share, and the axes along which they differ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from calisr_engine.config import preset_files
from calisr_engine.config.toml_file import Document, read
from calisr_engine.errors import ConfigError, NotFoundError, Place, Problem


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GridHead(_Strict):
    """The [grid] section."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$",
        description="Name of the grid; its runs lie in a folder of this name.",
    )
    title: str = Field("", description="What the report is headed with.")
    extends: str | None = Field(
        None, description="Preset or file that every run extends (relative to the grid file)."
    )
    policy: Literal["best", "last"] = Field(
        "best", description="Which metric of a run counts: its best or its last evaluation."
    )
    rows: tuple[str, ...] = Field(
        ("method.name", "calibration.variant", "calibration.control", "regularizer.name"),
        description="Settings that make a row.",
    )
    columns: tuple[str, ...] = Field(("task.name",), description="Settings that make a column.")
    average: StrictBool = Field(
        False, description="Add a column Avg: the mean over the columns of each row."
    )
    paper: str | None = Field(
        None, description="Table of the paper beside which the report prints ours."
    )
    against: str | None = Field(
        None, description="Row with which every row is compared, by its label in the report."
    )


class When(_Strict):
    """A rule for the runs that match: settings to change, another file to extend, or `exclude`."""

    match: dict[str, Any]
    extends: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    exclude: StrictBool = False


class GridFile(_Strict):
    """A whole grid file. Settings are named by dotted keys, as in `--set`."""

    grid: GridHead
    settings: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    zip: list[dict[str, list[Any]]] = Field(default_factory=list)
    when: list[When] = Field(default_factory=list)

    @model_validator(mode="after")
    def _sizes(self) -> GridFile:
        for key, values in self.axes.items():
            if not values:
                raise ValueError(f"axes: {key} has no values; give at least one")
        for table in self.zip:
            if not any(table.values()):
                raise ValueError("zip: a table has no values; give lists of the same length")
            if len({len(values) for values in table.values()}) != 1:
                sizes = ", ".join(f"{key} {len(values)}" for key, values in table.items())
                raise ValueError(f"zip: the lists must be equally long, but are: {sizes}")
        if not self.axes and not self.zip:
            raise ValueError("axes: a grid needs at least one axis; add [axes] with a list")
        return self


def read_grid(name_or_file: str | Path) -> tuple[GridFile, Path]:
    """A grid by its file, or by its name among the presets ("paper/table2").

    Returns:
        The grid and the file it came from.

    Raises:
        NotFoundError: there is no such file or preset.
        ConfigError: it is not a valid grid; one line for each mistake.
    """
    path = Path(name_or_file)
    if not os.path.isfile(path):
        shipped = preset_files.preset_dir() / f"{str(name_or_file).removesuffix('.toml')}.toml"
        if not os.path.isfile(shipped):
            known = ", ".join(grid_names())
            raise NotFoundError(
                f"there is no grid {str(name_or_file)!r}", f"give a TOML file, or one of: {known}"
            )
        path = shipped
    document = read(path)
    if "grid" not in document.data:
        raise ConfigError(
            f"{path}: it has no [grid] section, so it is not a grid",
            f"one run's settings are run with: calisr run {path}",
        )
    try:
        return GridFile.model_validate(_flat(document.data)), path
    except ValidationError as error:
        problems = [_problem(document, dict(each)) for each in error.errors()]
        what = f"{len(problems)} mistakes" if len(problems) > 1 else "one mistake"
        hint = "see `calisr grid --help` for an example"
        raise ConfigError(f"{path}: {what} in the grid", hint, problems) from error


_EXPECTED = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "model_type": "expected a section",
    "dict_type": "expected a section",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "finite_number": "expected a finite number",
}
"""Pydantic's error types in words; its own words speak of Python."""


def _problem(document: Document, error: dict[str, Any]) -> Problem:
    key = ".".join(str(part) for part in error["loc"])
    found = error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch":
        found = "expected a name of at most 81 letters, digits, dots, dashes and underscores"
    elif error["type"] == "literal_error":
        found = f"expected {error['ctx']['expected']}"
    place = Place(document.shown, document.lines.get(key))
    return Problem(_EXPECTED.get(error["type"], found), "", (key,) if key else (), place)


def grid_names() -> list[str]:
    """Names of the grids that ship with the package."""
    root = preset_files.preset_dir()
    return sorted(
        str(path.relative_to(root).with_suffix(""))
        for path in root.rglob("*.toml")
        if preset_files.is_grid(path)
    )


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    """The file with dotted keys wherever settings are named."""
    flat = {**content}
    for name in ("settings", "axes"):
        flat[name] = _dotted(content.get(name, {}))
    for name, parts in (("zip", None), ("when", ("match", "set"))):
        tables = content.get(name)
        if isinstance(tables, list):
            flat[name] = [_dotted_within(each, parts) for each in tables]
    return flat


def _dotted_within(table: Any, parts: tuple[str, ...] | None) -> Any:
    if parts is None or not isinstance(table, dict):
        return _dotted(table)
    return {key: _dotted(value) if key in parts else value for key, value in table.items()}


def _dotted(table: Any, before: str = "") -> Any:
    """`[axes.task] name = [...]` and `"task.name" = [...]` mean the same."""
    if not isinstance(table, dict):
        return table
    result: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            result.update(_dotted(value, f"{before}{key}."))
        else:
            result[f"{before}{key}"] = value
    return result
