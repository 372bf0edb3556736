"""What all settings are made of: models that convert nothing silently, and rules that carry their
keys as data.

Each room defines its own settings on this (`models/settings.py`, `tasks/settings.py`, a method's
`settings.py`); `config` puts them together to a run.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

RULE = "setting"
"""Pydantic's error type of a `Broken`, whose fields are the error's context."""

_LARGEST = 2**63 - 1  # of a whole number in TOML
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")

SMALLEST_FLOAT, LARGEST_FLOAT = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""Of the 32 bits that training has: what is nearer to 0 becomes 0, what is larger infinite."""


@dataclass(frozen=True)
class Broken:
    """A rule that some settings do not keep.

    Attributes:
        message: what is wrong.
        mend: what to do about it.
        keys: the settings to mend, the likeliest first; names within the section that has the
            rule, dotted ones in a rule over several sections.
    """

    message: str
    mend: str
    keys: tuple[str, ...]

    def error(self) -> PydanticCustomError:
        """The same for pydantic, which raises it in a `ValidationError`."""
        return PydanticCustomError(RULE, "{message}; {mend}", dict(vars(self)))


@dataclass(frozen=True)
class Reading:
    """Validation context of a loader, which asks for broken rules itself when all is read.

    Attributes:
        folder: what relative paths of data are relative to.
    """

    folder: Path = Path()


class Section(BaseModel):
    """Base of all settings: frozen, unknown keys refused, nothing converted, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    def broken_rules(self) -> Iterator[Broken]:
        """The rules over several settings that these do not keep, all of them."""
        return iter(())

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        """Lists become tuples; what no file can hold is refused."""
        if not isinstance(data, dict):
            return data
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        refused = [(str(key), _unwritable(value), value) for key, value in values.items()]
        _refuse(cls.__name__, ((key, error, value) for key, error, value in refused if error))
        return values

    @model_validator(mode="after")
    def _rules_are_kept(self, info: ValidationInfo) -> Any:
        if not isinstance(info.context, Reading):
            broken = (("", each.error(), None) for each in self.broken_rules())
            _refuse(type(self).__name__, broken)
        return self


def _unwritable(value: Any) -> PydanticCustomError | None:
    if isinstance(value, str) and _UNWRITABLE.search(value):
        return PydanticCustomError("unwritable", "holds a character that no file can hold")
    if isinstance(value, int) and abs(value) > _LARGEST:
        return PydanticCustomError("unwritable", "is too large for a file")
    if isinstance(value, float) and not _in_32_bits(value):
        return Broken(
            f"{value!r} is beyond the 32-bit numbers of training, {SMALLEST_FLOAT:.2g} to "
            f"{LARGEST_FLOAT:.2g}",
            "write a number nearer to 1",
            (),
        ).error()
    if isinstance(value, tuple):
        words = [each for each in value if isinstance(each, str)]
        twice = next((each for each in words if words.count(each) > 1), None)
        if twice is not None:
            return Broken(f'"{twice}" stands in the list twice', "remove one", ()).error()
    return None


def _in_32_bits(value: float) -> bool:
    if value == 0 or not math.isfinite(value):  # infinity and NaN have a rule of their own
        return True
    return SMALLEST_FLOAT <= abs(value) <= LARGEST_FLOAT


def _refuse(title: str, errors: Iterable[tuple[str, PydanticCustomError, Any]]) -> None:
    lines = [
        InitErrorDetails(type=error, loc=(key,) if key else (), input=value)
        for key, error, value in errors
    ]
    if lines:
        raise ValidationError.from_exception_data(title, lines)


def _path(value: Any) -> Any:
    if isinstance(value, str | Path) and str(value).strip():
        return Path(os.path.expanduser(value))
    return value  # which a strict path refuses


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    reading = info.context
    return Path(reading.folder, path).absolute() if isinstance(reading, Reading) else path


AnyPath = Annotated[Path, BeforeValidator(_path)]
"""A path relative to where the command runs; `~` is the user's home."""

DataPath = Annotated[AnyPath, AfterValidator(_from_folder)]
"""A path relative to the file that names it."""

Words = Annotated[
    str, Field(pattern=r"\S", json_schema_extra={"expects": "text that is not empty"})
]
"""Text that is not blank."""
