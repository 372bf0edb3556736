"""From a record of a log to a typed event; it alone knows what older logs looked like."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from calisr_engine.errors import DamagedError
from calisr_engine.events.types import EVENT_TYPES, Event, GroupSwitched, SrsEvaluated

Reader = Callable[[Any], Any]
"""JSON value -> the field's value; raises TypeError for a value of another type."""


class DecodeError(DamagedError):
    """A record that is no event of its type; readers count it as garbage."""


@dataclass(slots=True)
class Line:
    """One event with its envelope.

    Attributes:
        step: optimizer steps done; attempt: the process, counted from 1; time: Unix seconds.
    """

    seq: int
    attempt: int
    step: int
    time: float | None
    event: Event


def decode(record: Mapping[str, Any]) -> Line | None:
    """The event of a record, or None for a type that this version does not know.

    Fields that are unknown are passed over, absent optional ones take their defaults.

    Raises:
        DecodeError: a field is missing or of the wrong type.
    """
    kind = EVENT_TYPES.get(record["type"])
    if kind is None:
        return None
    upgrade = _UPGRADES.get(record["type"])
    try:
        event = _readers()[record["type"]](record if upgrade is None else upgrade(record))
    except (TypeError, KeyError, AttributeError) as error:
        raise DecodeError(f"no {kind.type} event: {error}") from None
    time = record.get("time")
    plain = type(time) in (int, float)
    return Line(record["seq"], record["attempt"], record["step"], time if plain else None, event)


@cache
def _readers() -> dict[str, Reader]:
    return {name: _reader(kind) for name, kind in EVENT_TYPES.items()}


def _reader(kind: Any) -> Reader:
    """Reads a dataclass from an object of JSON, strictly: text is no number, nor is true."""
    hints = get_type_hints(kind)
    known = [
        (each.name, _plain_types(hints[each.name]), _value_reader(hints[each.name]))
        for each in dataclasses.fields(kind)
    ]

    def read(record: Mapping[str, Any]) -> Any:
        values = {}
        for name, plain, value_of in known:
            if name in record:
                value = record[name]
                if type(value) not in plain:  # most fields are plain, and most lines have them
                    try:
                        value = value_of(value)
                    except TypeError as error:
                        raise TypeError(f"{name}: {error}") from None
                values[name] = value
        return kind(**values)  # which names what is missing

    return read


def _plain_types(hint: Any) -> frozenset[type]:
    """Types whose values are taken as they are; none for what holds other values."""
    scalars = {float: (float, int), int: (int,), str: (str,), bool: (bool,)}
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    found = [scalars.get(each, (each,)) for each in parts]
    known = all(each in scalars or each is types.NoneType for each in parts)
    return frozenset(each for kinds in found for each in kinds) if known else frozenset()


def _value_reader(hint: Any) -> Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if dataclasses.is_dataclass(hint):
        inner = _reader(hint)
        return lambda value: inner(_exactly(dict)(value))
    if origin in (Union, types.UnionType):
        (some,) = [_value_reader(each) for each in arguments if each is not types.NoneType]
        return lambda value: None if value is None else some(value)
    if origin is Literal:
        return lambda value: _one_of(arguments, value)
    if origin is tuple:
        each_of = _value_reader(arguments[0])
        return lambda value: tuple(map(each_of, _exactly(list)(value)))
    if origin is dict:
        value_of = _value_reader(arguments[1])
        return lambda value: {key: value_of(each) for key, each in _exactly(dict)(value).items()}
    return _exactly(int, float) if hint is float else _exactly(hint)


def _exactly(*kinds: type) -> Reader:
    wanted = " or ".join(each.__name__ for each in kinds)

    def read(value: Any) -> Any:
        if type(value) in kinds:
            return value
        raise TypeError(f"{type(value).__name__} in the place of {wanted}")

    return read


def _one_of(choices: tuple[Any, ...], value: Any) -> Any:
    if value in choices:
        return value
    raise TypeError(f"none of {', '.join(map(str, choices))}")


def _group_switched(record: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 wrote the cause at the beginning of the reason."""
    if "cause" in record:
        return dict(record)
    cause, _, why = record["why"].partition(": ")
    return {**record, "cause": cause, "why": why}


def _srs_evaluated(record: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 said in the reason alone that the end of training held a switch back."""
    if not isinstance(record["groups"], dict):
        return dict(record)
    groups = {
        name: each
        if not isinstance(each, dict) or "held_back" in each
        else {**each, "held_back": "training ends with this step" in each.get("why", "")}
        for name, each in record["groups"].items()
    }
    return {**record, "groups": groups}


_UPGRADES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    GroupSwitched.type: _group_switched,
    SrsEvaluated.type: _srs_evaluated,
}
