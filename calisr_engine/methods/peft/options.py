"""`method.options`: text or a section to a tuner's options and back, and what is wrong there."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal

from calisr_engine.methods.peft import tuners
from calisr_engine.methods.peft.tuners import UNKNOWN, Option
from calisr_engine.methods.settings import Entry
from calisr_engine.settings import Broken

Options = dict[str, Any]

_FIRST = re.compile(r"\s*([A-Za-z_]\w*)\s*=")
_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
}


def parse(text: str) -> Options:
    """The options that a text such as `r=8, use_dora=true` holds; words need no quotes.

    Raises:
        ValueError: it is no such text; the message says what was expected.
    """
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("it holds a character that no file can hold")
    found: Options = {}
    for part in _parts(text):
        key = _FIRST.match(part)
        raw = part[key.end() :].strip() if key else ""
        if key is None or not raw:
            raise ValueError(f"{part.strip()[:80]!r} is not OPTION=VALUE")
        if key[1] in found:
            raise ValueError(f"{key[1]} stands in it twice")
        found[key[1]] = value_of(raw)
        inner = found[key[1]] if isinstance(found[key[1]], list) else [found[key[1]]]
        if not all(isinstance(each, bool | int | float | str) for each in inner):
            raise ValueError(f"{key[1]} is no number, text, true, false or list of these")
    return found


def value_of(raw: str) -> Any:
    """A value as TOML has it, else the text itself."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        if any(sign in raw for sign in "\"'[]{}\n"):
            raise ValueError(f"{raw[:80]!r} is no value") from None
        return raw


def write(options: Mapping[str, Any]) -> str:
    """The text that `parse` reads back."""
    return ", ".join(f"{key}={_written(value)}" for key, value in options.items())


def _parts(text: str) -> list[str]:
    """Parts between commas, those in brackets and quotes left alone."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        depth += (sign in "[{") - (sign in "]}") if not quote else 0
        if sign == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part for part in parts if part.strip()]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_quoted(each) for each in value)}]"
    if isinstance(value, str):
        try:
            plain = "," not in value and value == value.strip() and value_of(value) == value
            plain = plain and value.isprintable()
        except ValueError:
            plain = False
        return value if plain and value else _quoted(value)
    return repr(value)


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        return _written(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def as_pairs(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Options as what a cache can be asked by."""
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in options.items())


# What is wrong ------------------------------------------------------------------------------------


def unknown_tuner(name: str) -> Broken:
    """Why `name` is no tuner to choose, with what is meant as far as peft's own words tell."""
    if name in tuners.registered():
        return Broken(
            f"peft's {name} changes no weight: none of its layers has a merge",
            f"the tuners that merge are {', '.join(tuners.names())}",
            ("tuner",),
        )
    return Broken(f"peft {installed()} has no tuner {name!r}", _meant(name), ("tuner",))


def _meant(name: str) -> str:
    for tuner in sorted(tuners.names(), key=lambda each: each != "lora"):
        for option in tuners.options(tuner).values():
            if option.name == f"use_{name}" and bool in option.kinds:
                return f"write tuner = {tuner} with the option {option.name} = true"
            if name in option.words:
                return f"write tuner = {tuner} with the option {option.name} = {name}"
    near = get_close_matches(name, tuners.names(), 1)
    return f"did you mean {near[0]}?" if near else f"tuners: {', '.join(tuners.names())}"


def installed() -> str:
    """The version of peft."""
    from importlib.metadata import version

    return version("peft")


def wrong(tuner: str, given: Mapping[str, Any]) -> Iterator[Broken]:
    """Options that the tuner does not have, or whose values it does not take."""
    known = tuners.options(tuner)
    for key, value in given.items():
        if key in tuners.OURS:
            yield Broken(
                f"{key} is not set here",
                "where the tuner goes is method.components, and what else trains follows from it",
                (f"options.{key}", "options"),
            )
        elif key not in known:
            near = get_close_matches(key, known, 1)
            mend = f"did you mean {near[0]}?" if near else f"its options are {_list(known)}"
            yield Broken(f"{tuner} has no option {key!r}", mend, (f"options.{key}", "options"))
        elif not takes(known[key], value):
            yield Broken(
                f"the option {key} of {tuner} expects {expects(known[key])}, not {_shown(value)}",
                "correct it, or leave it out for peft's default",
                (f"options.{key}", "options"),
            )


def _shown(value: Any) -> str:
    text = _written(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _list(known: Mapping[str, Option]) -> str:
    return ", ".join(name for name, each in known.items() if each.can_be_written)


def takes(option: Option, value: Any) -> bool:
    """Whether a value is of the types that peft names for an option."""
    if isinstance(value, list | tuple):
        return list in option.kinds and all(_is_one(each, option.items) for each in value)
    if isinstance(value, str) and any(_fits(value, word) for word in option.words):
        return True
    return _is_one(value, option.kinds)


def _is_one(value: Any, kinds: frozenset[type]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, int) and float in kinds:
        return True
    return type(value) in kinds and type(value) is not list


def _fits(value: str, word: str) -> bool:
    """Whether a value is an allowed word; `[...]` in it stands for a number."""
    pattern = r"\d+".join(re.escape(part) for part in re.split(r"\[.*?\]", word))
    return re.fullmatch(pattern, value) is not None


def expects(option: Option) -> str:
    """The accepted values in words."""
    kinds = [_NAMES[kind] for kind in _NAMES if kind in option.kinds]
    if int in option.kinds and float in option.kinds:
        kinds.remove(_NAMES[int])
    said = [*kinds, *([f"one of {', '.join(option.words)}"] if option.words else [])]
    return " or ".join(said) or "what no text can say (a config object of peft's own)"


def entry(option: Option) -> Entry:
    """An option as a form shows it."""
    words = tuple(word for word in option.words if "[" not in word)
    kind: Literal["int", "float", "text", "flag", "choice"] = "text"
    if option.kinds == {bool} and not option.words:
        kind = "flag"
    elif option.words and not option.kinds and len(words) == len(option.words):
        kind = "choice"
    elif option.kinds == {int}:
        kind = "int"
    elif option.kinds <= {int, float} and option.kinds:
        kind = "float"
    default = None if option.default in (UNKNOWN, []) else option.default
    return Entry(
        option.name, kind, expects(option), words if kind == "choice" else (), default, option.help
    )
