"""Choosing runs by what is said of them: `best>0.8 lr=3e-4 method=lora tag:x text`.

    filter      = { term }                       all of them must hold
    term        = [ "-" ] ( comparison | word )  "-": must not hold
    comparison  = column operator value { "," value }
    operator    = "=" | "!=" | ">" | ">=" | "<" | "<=" | ":"

- A column is one of `runs.columns`, or any setting. A word is looked for in the run's id, name,
  notes, tags, state, task, model, method and metric. What has spaces stands in double quotes.
- `=` takes a number of the same value or a text but for case; `:` a part of a text, a whole tag.
  Several values are alternatives; `none` is no value.
- A share may be written in percent, a time as `90s`, `5m` or `1h30m`, a moment as a date
  (`2026-11-20`, `2026-11-20T14:30`) or as so long ago (`-2d`, `-12h`).
"""

from __future__ import annotations

import math
import operator
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import quoted
from calisr_engine.runs.columns import Column, column
from calisr_engine.runs.summary import RunSummary

Test = Callable[[RunSummary], bool]

ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_TERM = re.compile(
    r"""(?P<no>-?)
    (?:(?P<key>[\wδ.]+)(?P<op>>=|<=|!=|=|>|<|:)(?P<value>(?:"[^"]*"|[^\s"])*)
      |(?P<word>"[^"]*"|[^\s"]+))
    (?=\s|$)""",
    re.VERBOSE,
)
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
"""A comma that stands in no quotes."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_CLOSE = 1e-9
"""Relative difference of numbers that are written alike."""


class FilterError(ConfigError):
    """A filter that cannot be used.

    Attributes:
        start, end: where in the text the mistake stands.
    """

    def __init__(self, message: str, hint: str, start: int, end: int) -> None:
        super().__init__(message, hint)
        self.start, self.end = start, end

    def told(self, text: str) -> str:
        """The term of the filter `text` that cannot be used, how to mend it, and why, on a line:
        where that is cut, the mend is what is left."""
        return (
            f"{text[self.start : self.end]}: {'; '.join(filter(None, (self.hint, self.message)))}"
        )


@dataclass(frozen=True)
class Filter:
    """A filter as it was written, and its tests."""

    text: str
    tests: tuple[Test, ...]

    def __call__(self, run: RunSummary) -> bool:
        return all(test(run) for test in self.tests)


def parse(text: str) -> Filter:
    """The filter of a text; an empty one takes every run.

    Raises:
        FilterError: a term cannot be used.
    """
    tests, at = [], 0
    while (at := _past_space(text, at)) < len(text):
        found = _TERM.match(text, at)
        if found is None:
            end = re.compile(r"\s|$").search(text, at)
            part = text[at : end.start() if end else len(text)]
            hint = "a quoted text ends with a double quote" if part.count('"') % 2 else ""
            raise FilterError(f"{quoted(part)} is no term of a filter", hint, at, at + len(part))
        try:
            test = _comparison(found) if found["key"] else _word(found["word"])
        except ConfigError as error:
            raise FilterError(error.message, error.hint, at, found.end()) from error
        tests.append(_not(test) if found["no"] else test)
        at = found.end()
    return Filter(text, tuple(tests))


def usable(text: str) -> tuple[Filter, FilterError | None]:
    """The filter of the terms that can be used, and the first mistake among the others.

    A list that is filtered as one types stays what the finished terms make it.
    """
    first: FilterError | None = None
    rest = text
    while True:
        try:
            return parse(rest), first
        except FilterError as error:
            first = first or error
            rest = rest[: error.start] + rest[error.end :]


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _not(test: Test) -> Test:
    return lambda run: not test(run)


def _word(word: str) -> Test:
    wanted = word.strip('"').lower()
    return lambda run: wanted in run.searched


def _comparison(found: re.Match[str]) -> Test:
    """Raises ConfigError: there is no such column, or it has no such value."""
    asked, op = column(found["key"]), found["op"]
    words = [each.replace('"', "") for each in _COMMA.split(found["value"])]
    if not all(words):
        raise ConfigError(f"a value is missing after {found['key']}{op}", _takes(asked))
    if op in ORDERS:
        if not asked.numeric:
            raise ConfigError(f"{asked.name} has no order, so {op} says nothing", "use = or :")
        if len(words) > 1:
            raise ConfigError(f"{op} takes one value, not {len(words)}", _takes(asked))
        return _ordered(asked, ORDERS[op], _number(asked, words[0])[0])
    tests = [_equal(asked, op, word) for word in words]
    if op == "!=":
        return lambda run: not any(test(run) for test in tests)
    return tests[0] if len(tests) == 1 else lambda run: any(test(run) for test in tests)


def _ordered(asked: Column, order: Callable[[Any, Any], bool], wanted: float) -> Test:
    def test(run: RunSummary) -> bool:
        value = asked.value(run)
        return type(value) in (int, float) and order(value, wanted)

    return test


def _equal(asked: Column, op: str, word: str) -> Test:
    if word.lower() == "none":
        return lambda run: asked.value(run) in (None, "", ())
    if asked.kind == "words":
        return lambda run: word.lower() in map(str.lower, asked.value(run))
    if asked.kind == "flag":
        wanted = _flag(asked, word)
        return lambda run: asked.value(run) is wanted
    if asked.numeric:
        low, high = _number(asked, word)
        return lambda run: (
            type(value := asked.value(run)) in (int, float)
            and (low <= value < high or math.isclose(value, low, rel_tol=_CLOSE))
        )
    wanted_text = word.lower()
    if op == ":":
        return lambda run: wanted_text in _text(asked.value(run))
    return lambda run: wanted_text == _text(asked.value(run))


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower()


def _flag(asked: Column, word: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if word.lower() not in words:
        raise ConfigError(f"{asked.name} is true or false, not {quoted(word)}")
    return words[word.lower()]


def _number(asked: Column, word: str) -> tuple[float, float]:
    """The value of a word, and the one up to which what is written alike goes (a whole day)."""
    try:
        if asked.kind == "moment":
            return _moment(word)
        if asked.kind == "share" and word.endswith("%"):
            found = float(word[:-1]) / 100
        elif asked.kind == "seconds" and _SPAN.fullmatch(word):
            found = _span(word)
        else:
            found = float(word)
        if not math.isfinite(found):
            raise ValueError
    except (ValueError, OverflowError):
        raise ConfigError(f"{asked.name} cannot be {quoted(word)}", _takes(asked)) from None
    return found, found


def _span(word: str) -> float:
    return sum(float(n) * _SECONDS[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)([smhdw])", word))


def _moment(word: str) -> tuple[float, float]:
    if word.startswith("-") and _SPAN.fullmatch(word[1:]):
        ago = time.time() - _span(word[1:])
        return ago, ago
    begin = datetime.fromisoformat(word)
    length = timedelta(days=1) if len(word) <= 10 else timedelta(minutes=1)
    return begin.timestamp(), (begin + length).timestamp()


def _takes(asked: Column) -> str:
    return {
        "number": f"{asked.name} takes a number, such as {asked.name}>0.5",
        "share": f"{asked.name} takes a share, such as {asked.name}<20%",
        "seconds": f"{asked.name} takes a time, such as {asked.name}>5m",
        "moment": f"{asked.name} takes a date or so long ago, such as {asked.name}>-2d",
        "flag": f"{asked.name} takes true or false",
    }.get(asked.kind, f"such as {asked.name}=word, or {asked.name}:part")
