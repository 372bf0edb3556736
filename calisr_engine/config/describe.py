"""Every setting in words: type, choices, bounds, default and help, for forms, errors and docs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo as PydanticField

from calisr_engine.config.schema import RunConfig
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.settings import MethodBase
from calisr_engine.settings import Section

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
        default: the value without any file.
        help: one or two sentences for the user.
        model: what checks its values: the model that has it as a field, `RunConfig` for the name
            of the method.
        table: reads the values with names that it stands for; None where it is one value.
    """

    key: str
    kind: Kind
    expects: str
    choices: tuple[str, ...]
    optional: bool
    default: Any
    help: str
    model: type[BaseModel]
    table: Callable[[str], dict[str, Any]] | None = None

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
        return [_describe("notes", model)]
    if issubclass(model, MethodBase):
        named = [_method_name(model)] if model in METHODS.values() else []
        return named + [_describe(f"method.{k}", model) for k in model.model_fields if k != "name"]
    section = next((name for name, each in SECTIONS.items() if each is model), None)
    if section is None:
        raise KeyError(model.__name__)
    return [_describe(f"{section}.{key}", model) for key in model.model_fields]


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


def _describe(key: str, model: type[BaseModel]) -> FieldInfo:
    field = model.model_fields[key.rpartition(".")[2]]
    annotation, optional = _without_none(field.annotation)
    kind, choices = _kind(annotation)
    table = None
    if issubclass(model, MethodBase):
        name = key.rpartition(".")[2]
        table = model.tables.get(name)
        if name in model.choices:
            kind, choices = "choice", model.choices[name]()
    expects = _words(kind, choices, field)
    return FieldInfo(
        key=key,
        kind=kind,
        expects=f"{expects}, or none" if optional else expects,
        choices=choices,
        optional=optional,
        default=field.get_default(call_default_factory=True),
        help=field.description or "",
        model=model,
        table=table,
    )


def entries(method: str, chosen: Mapping[str, Any]) -> list[FieldInfo]:
    """What the settings of a method that stand for several values may hold: `method.options.r`.

    Args:
        chosen: the method's settings so far, by name.
    """
    model = METHODS[method]
    return [
        FieldInfo(
            key=f"method.{setting}.{each.name}",
            kind=each.kind,
            expects=each.expects,
            choices=each.choices,
            optional=False,
            default=each.default,
            help=each.help,
            model=model,
        )
        for setting in model.tables
        for each in model.entries(setting, chosen)
    ]


def table_of(key: str, method: str | None) -> FieldInfo | None:
    """The setting that `key` names a value of; None where it names none.

    Args:
        method: as for `names.unknown_key`: None stands for any.
    """
    whole, _, name = key.rpartition(".")
    known = [method] if method is not None else list(METHODS)
    found = (by_key(each).get(whole) for each in known if whole and name)
    return next((info for info in found if info is not None and info.table is not None), None)


def _method_name(model: type[MethodBase]) -> FieldInfo:
    return FieldInfo(
        key="method.name",
        kind="choice",
        expects=f"one of {', '.join(METHODS)}",
        choices=tuple(METHODS),
        optional=False,
        default=model.model_fields["name"].default,
        help=f"The light fine-tuning method. {model.title}: {model.summary}",
        model=RunConfig,
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, UnionType):
        rest = [each for each in get_args(annotation) if each is not NoneType]
        return rest[0], len(rest) < len(get_args(annotation))
    return annotation, False


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is tuple:
        return "list", _kind(get_args(annotation)[0])[1]
    return _KINDS[annotation], ()


def _words(kind: Kind, choices: tuple[str, ...], field: PydanticField) -> str:
    """The accepted values; a field with a pattern says them itself, as `expects` beside it."""
    if isinstance(field.json_schema_extra, dict) and "expects" in field.json_schema_extra:
        return str(field.json_schema_extra["expects"])
    return {
        "int": f"a whole number{_bounds(field)}",
        "float": f"a number{_bounds(field)}",
        "text": "text",
        "flag": "true or false",
        "path": "a path",
        "choice": f"one of {', '.join(choices)}",
        "list": f"a list of {', '.join(choices)}",
    }[kind]


def _bounds(field: PydanticField) -> str:
    bounds = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    if {"ge", "le"} <= bounds.keys():
        return f" from {bounds['ge']:g} to {bounds['le']:.15g}"
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
    parts = [f"{said} {bounds[name]:.15g}" for name, said in words.items() if name in bounds]
    return " " + " and ".join(parts) if parts else ""
