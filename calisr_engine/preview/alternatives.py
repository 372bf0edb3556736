"""Guesses for data of which each text has alternatives, in columns of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from calisr_engine.preview import roles
from calisr_engine.preview.columns import Column
from calisr_engine.preview.several import Several
from calisr_engine.tasks.choices import QUESTIONS

STEMS = ("choice", "option", "alternative", "ending", "answer", "candidate", "solution", "sol")
"""What the names of such columns begin with, before a number or a letter."""

_NAME = re.compile(r"(.+?)[\s_-]*(\d+|[a-z])")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def alternatives(given: Mapping[str, Any], described: Sequence[Column]) -> Several:
    """Columns and kind of data with alternatives, the label among them; nothing for other data.

    Args:
        given: settings of [task] by name, which are not guessed.
        described: the columns of the table.
    """
    if given.get("kind") not in (None, "choice") or given.get("label_columns"):
        return Several()
    columns = given.get("choice_columns") or numbered([each.name for each in described])
    label = _label(given.get("label_column"), columns, described)
    asked = given.get("kind") == "choice" or bool(given.get("choice_columns"))
    if not columns or (label is None and not asked):
        return Several()
    values: dict[str, Any] = {"kind": "choice", "choice_columns": tuple(columns)}
    why = {"kind": "each text has alternatives", "choice_columns": "their names count them"}
    if label is not None:
        values["label_column"] = label.name
        why["label_column"] = "it says which of the alternatives is right"
    rest = [each for each in described if each.name not in (*columns, values.get("label_column"))]
    for question, reason in _questions(rest, given.get("text_column")):
        values["text_pair_column"], why["text_pair_column"] = question.name, reason
    free = [key for key in values if given.get(key) is None]
    return Several({key: values[key] for key in free}, {key: why[key] for key in free})


def _questions(columns: Sequence[Column], text: str | None) -> list[tuple[Column, str]]:
    """The column of the question that stands behind a text, with the reason, where there is one."""
    for each in columns:
        if each.counts and set(each.counts) <= set(QUESTIONS):
            return [(each, "it asks for the cause or the effect")]
    texts = [each for each in columns if each.kind == "text"]
    named = [each for each in texts if each.name.strip().lower() == "question"]
    if len(texts) > 1 and named and named[0].name != text:
        return [(named[0], "its name, and another column holds the text")]
    return []


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that count alternatives from 0, 1 or a; empty where there are not two."""
    for stem in STEMS:
        found = {}
        for name in names:
            parts = _NAME.fullmatch(name.strip().lower())
            if parts and parts[1] == stem:
                found[parts[2]] = name
        counts = [_counting(len(found), start) for start in (0, 1)] + [list(_LETTERS[: len(found)])]
        if len(found) > 1 and list(found) in counts:
            return tuple(found.values())
    return ()


def _counting(count: int, start: int) -> list[str]:
    return [str(number) for number in range(start, start + count)]


def _label(named: str | None, columns: Sequence[str], described: Sequence[Column]) -> Column | None:
    """The column whose values are all numbers or names of the alternatives; else the one with a
    label's name of which most are, or that has their letters or counts them from 1, so that reading
    it says which row is wrong."""
    known = {*columns, *_counting(len(columns), 0)}
    otherwise = ({*_counting(len(columns), 1)}, {*_LETTERS[: len(columns)]})
    fitting = []
    for each in described:
        if named not in (None, each.name) or each.name in columns or each.distinct < 2:
            continue
        right = sum(n for value, n in each.counts.items() if value.removesuffix(".0") in known)
        whole, rank = right == sum(each.counts.values()), roles.named(each.name, roles.LABEL_NAMES)
        most = 2 * right > sum(each.counts.values())
        spelled = any(
            {value.strip().lower() for value in each.counts} <= names for names in otherwise
        )
        if whole or (rank > 0 and (most or spelled)):
            fitting.append((whole, rank, each))
    return max(fitting, key=lambda found: found[:2])[2] if fitting else None
