"""A grid file: the settings that all its runs share, and the axes along which they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from calisr_engine.config import preset_files
from calisr_engine.config.toml_file import read
from calisr_engine.errors import ConfigError, NotFoundError


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
        ("method.name", "calibration.variant", "calibration.control"),
        description="Settings that make a row.",
    )
    columns: tuple[str, ...] = Field(("task.name",), description="Settings that make a column.")
    average: bool = Field(
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
    exclude: bool = False


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
    if not path.is_file():
        shipped = preset_files.preset_dir() / f"{str(name_or_file).removesuffix('.toml')}.toml"
        if not shipped.is_file():
            known = ", ".join(grid_names())
            raise NotFoundError(
                f"there is no grid {str(name_or_file)!r}", f"give a TOML file, or one of: {known}"
            )
        path = shipped
    content = read(path).data
    if "grid" not in content:
        raise ConfigError(
            f"{path}: it has no [grid] section, so it is not a grid",
            f"one run's settings are run with: calisr run {path}",
        )
    flat = {
        **content,
        "settings": _dotted(content.get("settings", {})),
        "axes": _dotted(content.get("axes", {})),
    }
    try:
        return GridFile.model_validate(flat), path
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}".replace("Value error, ", "")
            for each in error.errors()
        ]
        raise ConfigError("\n".join(lines), "see `calisr grid --help` for an example") from error


def grid_names() -> list[str]:
    """Names of the grids that ship with the package."""
    root = preset_files.preset_dir()
    return sorted(
        str(path.relative_to(root).with_suffix(""))
        for path in root.rglob("*.toml")
        if preset_files.is_grid(path)
    )


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
