"""Every setting in words: type, choices, bounds, default and help, for forms, errors and docs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo as PydanticField
from pydantic_core import PydanticUndefined

from calisr_engine.config.schema import RunConfig, Section
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.settings import MethodBase

Kind = Literal["int", "float", "text", "flag", "path", "choice", "list"]

SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in RunConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
"""The settings model of each section but `method`, whose model depends on `method.name`."""

SECTION_NAMES: tuple[str, ...] = tuple(
    name for name in RunConfig.model_fields if name in SECTIONS or name == "method"
)

FORMS: dict[str, str] = {
    "training.device": "auto, cpu, mps, cuda or cuda:N",
    "output.name": "a name of at most 121 letters, digits, dots, dashes and underscores",
}
"""What a pattern asks for, in words; a regular expression helps nobody."""

_KINDS: dict[Any, Kind] = {bool: "flag", int: "int", float: "float", str: "text", Path: "path"}


@dataclass(frozen=True)
class FieldInfo:
    """One setting.

    Attributes:
        key: dotted name, as `--set` takes it ("training.epochs").
        kind: what a form should offer: int, float, text, flag, path, choice or list.
        expects: the accepted values in words ("a whole number of at least 1").
        choices: allowed words of a choice, or of each entry of a list.
        optional: whether the setting may be empty, written `none`.
        minimum, maximum: bounds of a number; `..._excluded` where the bound itself is refused.
        min_length: fewest characters of a text or entries of a list.
        pattern: regular expression that a text must match, if any.
        default: the value without any file.
        help: one or two sentences for the user.
    """

    key: str
    kind: Kind
    expects: str
    choices: tuple[str, ...]
    optional: bool
    minimum: float | None
    minimum_excluded: bool
    maximum: float | None
    maximum_excluded: bool
    min_length: int
    pattern: str | None
    default: Any
    help: str

    @property
    def name(self) -> str:
        """The key within its section ("epochs")."""
        return self.key.rpartition(".")[2]

    def same_values(self, other: FieldInfo) -> bool:
        """Whether a value of one is a value of the other (kind and choices agree)."""
        return (self.kind, self.choices) == (other.kind, other.choices)


@cache
def fields(model: type[BaseModel]) -> list[FieldInfo]:
    """The settings of one section, of one method, or (for `RunConfig`) of the top level.

    Args:
        model: a section's model, a method's model, or `RunConfig`.

    Raises:
        KeyError: the model is none of these.
    """
    if model is RunConfig:
        return [_describe("notes", RunConfig.model_fields["notes"])]
    if issubclass(model, MethodBase):
        named = [_method_name(model)] if model in METHODS.values() else []
        rest = [(key, field) for key, field in model.model_fields.items() if key != "name"]
        return named + [_describe(f"method.{key}", field) for key, field in rest]
    section = next((name for name, each in SECTIONS.items() if each is model), None)
    if section is None:
        raise KeyError(model.__name__)
    return [_describe(f"{section}.{key}", field) for key, field in model.model_fields.items()]


def all_fields(method: str = "fft") -> list[FieldInfo]:
    """Every setting of a run with this method, in the order of the config file."""
    found = list(fields(RunConfig))
    for name in SECTION_NAMES:
        found += fields(METHODS[method] if name == "method" else SECTIONS[name])
    return found


@cache
def by_key(method: str = "fft") -> dict[str, FieldInfo]:
    """Every setting of a run with this method, by its dotted key."""
    return {field.key: field for field in all_fields(method)}


def section_help(section: str) -> str:
    """What a section is about, in one sentence.

    Raises:
        KeyError: there is no such section.
    """
    if section == "method":
        return "The light fine-tuning method and its own settings."
    return " ".join((SECTIONS[section].__doc__ or "").split("\n\n")[0].split())


def _describe(key: str, field: PydanticField) -> FieldInfo:
    annotation, optional = _without_none(field.annotation)
    kind, choices = _kind(annotation)
    bounds = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "pattern")
        if getattr(item, name, None) is not None
    }
    default = field.default
    if default is PydanticUndefined:
        factory: Callable[[], Any] = field.default_factory  # type: ignore[assignment]
        default = factory()
    info = FieldInfo(
        key=key,
        kind=kind,
        expects="",
        choices=choices,
        optional=optional,
        minimum=bounds.get("ge", bounds.get("gt")),
        minimum_excluded="gt" in bounds,
        maximum=bounds.get("le", bounds.get("lt")),
        maximum_excluded="lt" in bounds,
        min_length=bounds.get("min_length", 0),
        pattern=bounds.get("pattern"),
        default=_variant_default(key, default),
        help=field.description or "",
    )
    return _with_words(info)


def _variant_default(key: str, default: Any) -> Any:
    """A run without files is not calibrated, although a calibration section starts at S."""
    return (
        RunConfig.model_validate({}).calibration.variant
        if key == "calibration.variant"
        else default
    )


def _method_name(model: type[MethodBase]) -> FieldInfo:
    name = model.model_fields["name"].default
    return _with_words(
        FieldInfo(
            key="method.name",
            kind="choice",
            expects="",
            choices=tuple(METHODS),
            optional=False,
            minimum=None,
            minimum_excluded=False,
            maximum=None,
            maximum_excluded=False,
            min_length=0,
            pattern=None,
            default=name,
            help=f"The light fine-tuning method. {model.title}: {model.summary}",
        )
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, UnionType):
        rest = [each for each in get_args(annotation) if each is not NoneType]
        return rest[0], len(rest) < len(get_args(annotation))
    return annotation, False


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is tuple:
        return "list", _kind(get_args(annotation)[0])[1]
    return _KINDS[annotation], ()


def _with_words(info: FieldInfo) -> FieldInfo:
    words = (
        FORMS.get(info.key)
        or {
            "int": f"a whole number{_bounds(info)}",
            "float": f"a number{_bounds(info)}",
            "text": "text",
            "flag": "true or false",
            "path": "a path",
            "choice": f"one of {', '.join(info.choices)}",
            "list": f"a list of {', '.join(info.choices)}",
        }[info.kind]
    )
    if info.min_length and info.kind == "text":
        words = "text that is not empty"
    return replace(info, expects=f"{words}, or none" if info.optional else words)


def _bounds(info: FieldInfo) -> str:
    low, high = info.minimum, info.maximum
    if (
        low is not None
        and high is not None
        and not (info.minimum_excluded or info.maximum_excluded)
    ):
        return f" from {low:g} to {high:.15g}"
    parts = []
    if low is not None:
        parts.append(f"above {low:g}" if info.minimum_excluded else f"of at least {low:g}")
    if high is not None:
        parts.append(f"below {high:g}" if info.maximum_excluded else f"of at most {high:g}")
    return " " + " and ".join(parts) if parts else ""
