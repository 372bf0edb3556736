"""From a line of a log to a typed event; it alone knows what older logs looked like.

Types and ranges are decided here, once, from the fields of `events.types`. A line that does not fit
is no event, and readers count it as garbage. Whole blocks of lines are decoded at once, which is
several times faster; where one of them is odd, its block is gone through line by line.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, TypedDict, Union, cast, get_type_hints

import msgspec
import orjson

from calisr_engine.errors import DamagedError
from calisr_engine.events.types import (
    EVENT_TYPES,
    FORMAT_VERSION,
    LARGEST,
    Completed,
    Count,
    Event,
    Figure,
    GroupSwitched,
    Moment,
    RunCreated,
    SettingsChanged,
    SrsEvaluated,
)

DEEPEST = 32
"""Levels of values whose type is free, such as settings."""

MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not as wanted."""


class DecodeError(DamagedError):
    """A record that is no event of its type; readers count it as garbage."""


class Envelope(msgspec.Struct, kw_only=True, gc=False):
    """What every line has.

    Attributes:
        step: optimizer steps done; attempt: the process, counted from 1; time: Unix seconds.
    """

    v: int
    seq: Count
    attempt: Count
    time: Moment | None = None
    step: Count


class Line(Envelope, kw_only=True, gc=False):
    """A line of a log: its envelope, and as attributes the fields of its event."""

    kind: ClassVar[type[Event]]
    fields: ClassVar[tuple[str, ...]]

    @property
    def event(self) -> Event:
        """The event without its envelope."""
        return self.kind(**{name: getattr(self, name) for name in self.fields})


def decode(record: Mapping[str, Any]) -> Line | None:
    """The event of a record, or None for a type that this version does not know.

    Fields that are unknown are passed over, absent optional ones take their defaults.

    Raises:
        DecodeError: a field is missing, of the wrong type or out of range.
    """
    kind = EVENT_TYPES.get(record["type"])
    if kind is None:
        return None
    upgrade = _UPGRADES.get(kind, dict)
    try:
        said = {**upgrade(record), "v": FORMAT_VERSION, "time": _moment(record.get("time"))}
        return msgspec.convert(said, _line_types()[kind])
    except (*MALFORMED, KeyError, TypeError, AttributeError) as error:
        raise DecodeError(f"no {kind.type} event: {error}") from None


def decode_block(block: bytes) -> tuple[list[Line], int]:
    """(the events of whole lines, how many lines are none)."""
    with contextlib.suppress(*MALFORMED):
        return _decoder().decode_lines(block), 0
    middle = block.find(b"\n", len(block) // 2) + 1
    if middle in (0, len(block)):
        middle = block.rfind(b"\n", 0, len(block) // 2) + 1
    if middle:  # close in on the odd line
        first, second = decode_block(block[:middle]), decode_block(block[middle:])
        return first[0] + second[0], first[1] + second[1]
    record = parse(block)
    if record is None:
        return [], int(not block.isspace())
    try:
        line = decode(record)
    except DecodeError:
        return [], 1
    return [] if line is None else [line], 0


def envelopes(block: bytes) -> list[Envelope | None]:
    """The envelope of each line of a block, None for a line without one."""
    bare = msgspec.json.Decoder(Envelope)
    try:
        found: list[Envelope | None] = list(bare.decode_lines(block))
    except MALFORMED:
        found = []
    if len(found) == block.count(b"\n"):
        return found
    records = map(parse, block.removesuffix(b"\n").split(b"\n"))
    return [None if each is None else _envelope(each) for each in records]


def _envelope(record: Mapping[str, Any]) -> Envelope:
    names = ("seq", "attempt", "step")
    time = _moment(record.get("time"))
    return Envelope(v=FORMAT_VERSION, time=time, **{name: record[name] for name in names})


def parse(line: bytes) -> dict[str, Any] | None:
    """One line as a record with its envelope, or None where it is not one."""
    try:
        record = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return None
    if type(record) is not dict or type(record.get("type")) is not str:
        return None
    counts = [record.get(name) for name in ("seq", "attempt", "step")]
    return record if all(type(n) is int and 0 <= n <= LARGEST for n in counts) else None


def _moment(value: Any) -> float | None:
    """A time that is none is not known; the rest of its line holds."""
    try:
        return msgspec.convert(value, Moment | None)
    except MALFORMED:
        return None


# The types of lines, made of the types of events ---------------------------------------------


@cache
def _line_types() -> dict[type[Event], type[Line]]:
    return {kind: _line_type(kind) for kind in EVENT_TYPES.values()}


def _line_type(kind: type[Event]) -> type[Line]:
    """The class of the lines of one type of event."""
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    known: dict[str, Any] = {"kind": kind, "fields": tuple(each.name for each in fields)}
    if kind in _CHECKS:
        known["__post_init__"] = _CHECKS[kind]
    made: Any = msgspec.defstruct(
        f"{kind.__name__}Line",
        [_field(each, hints[each.name]) for each in fields],
        bases=(Line,),
        namespace=known,
        tag_field="type",
        tag=kind.type,
        kw_only=True,
        gc=False,
    )
    return cast(type[Line], made)


def _field(each: dataclasses.Field[Any], hint: Any) -> tuple[Any, ...]:
    if each.default_factory is not dataclasses.MISSING:
        return each.name, hint, msgspec.field(default_factory=each.default_factory)
    return (each.name, hint, *(() if each.default is dataclasses.MISSING else (each.default,)))


@cache
def _decoder() -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(Union[*_line_types().values()])


class _Named(TypedDict, total=False):
    name: str


class _Calibration(TypedDict, total=False):
    variant: str
    delta: Figure
    cumulative: bool


class _Training(TypedDict, total=False):
    seed: Count


class _Settings(TypedDict, total=False):
    """Settings that readers show."""

    model: _Named
    task: _Named
    method: _Named
    calibration: _Calibration
    training: _Training


class _Summary(TypedDict, total=False):
    """Figures of a summary that readers use."""

    metric: str
    best: Figure | None
    best_step: Count | None
    last: Figure | None
    switched: dict[str, Count | None] | None
    trainable: Count
    total: Count
    mean_trainable_share: Figure | None
    seconds: Figure | None
    seconds_this_attempt: Figure | None
    exported: str | None


def _check_created(line: Any) -> None:
    _check_plain(line.config.values())
    msgspec.convert(line.config, _Settings)


def _check_completed(line: Any) -> None:
    _check_plain(line.summary.values())
    msgspec.convert(line.summary, _Summary)


def _check_changed(line: Any) -> None:
    _check_plain(line.changes.values())


def _check_format(line: Any) -> None:
    if line.v < FORMAT_VERSION:
        raise ValueError("of an older format, so it must be upgraded first")


_CHECKS: dict[type[Event], Callable[[Any], None]] = {
    RunCreated: _check_created,
    Completed: _check_completed,
    SettingsChanged: _check_changed,
    GroupSwitched: _check_format,
    SrsEvaluated: _check_format,
}


def _check_plain(values: Iterable[Any], deepest: int = DEEPEST) -> None:
    """Refuse values of free type that are nested deeply, or numbers out of all range.

    Raises:
        ValueError: there is one.
    """
    for each in values:
        kind = type(each)
        if kind is dict or kind is list:
            if not deepest:
                raise ValueError("nested too deeply")
            _check_plain(each.values() if kind is dict else each, deepest - 1)
        elif (kind is int or kind is float) and not abs(each) <= 1e100:
            raise ValueError("a number out of range")


# Older logs ----------------------------------------------------------------------------------


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


_UPGRADES: dict[type[Event], Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    GroupSwitched: _group_switched,
    SrsEvaluated: _srs_evaluated,
}
