"""Words with a tag each: for named entities, parts of speech and the like.

A cell is a list of words, or of their tags: as CoNLL files, JSONL and Parquet have them, as a text
that writes one (`["EU", "rejects"]`), or as a text with blanks between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from calisr_engine.errors import DataError, concerning
from calisr_engine.plain_words import quoted
from calisr_engine.task_kinds import OUTSIDE
from calisr_engine.tasks import labels
from calisr_engine.tasks.cells import at, is_missing, whole_characters, word
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.label_sets import as_list
from calisr_engine.tasks.table import Table

_ENTITY = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
_AS_BIOES = {"L": "E", "U": "S"}


def read(
    tables: Sequence[Table], text: str, label: str, notes: list[str]
) -> tuple[tuple[str, ...], list[Examples]]:
    """(tags by class number, the sentences of each table); the first one trains.

    `O` is the first class where there is such a tag; the others are in alphabetical order, numbers
    in theirs.

    Raises:
        DataError: a cell is no list, a sentence has not one tag for each word, or a tag of the
            others is not in the training data.
    """
    found = []
    for table in tables:
        words, rows = sentences(table, text, notes)
        with concerning("task.label_column"):
            found.append((words, _tags(table, label, words, rows, text), rows))
    names = _names(tables[0], label, [tag for tags in found[0][1] for tag in tags])
    numbers = {name: number for number, name in enumerate(names)}
    examples = []
    with concerning("task.label_column"):
        for table, (words, tags, rows) in zip(tables, found, strict=True):
            coded = []
            for row, own in zip(rows, tags, strict=True):
                unknown = next((n for n, tag in enumerate(own) if tag not in numbers), None)
                if unknown is not None:
                    raise labels.unknown(at(table, label, row, unknown), own[unknown], names, "tag")
                coded.append([numbers[tag] for tag in own])
            examples.append(Examples.of_words(words, coded, tuple(rows)))
    notes.append(f"{tables[0].path}: {scheme_of(found[0][1]).words}")
    return names, examples


def without_tags(table: Table, text: str) -> Examples:
    """The sentences of a table whose tags are not known, those without a word too.

    Raises:
        DataError: a cell is no list of words.
    """
    words = [_list(table, text, row, cell, "words") for row, cell in enumerate(table.column(text))]
    whole = [[whole_characters(each) for each in row] for row in words]
    return Examples.of_words(whole, index=tuple(range(len(whole))))


def sentences(table: Table, text: str, notes: list[str]) -> tuple[list[list[str]], list[int]]:
    """(the words of each sentence that has one, its row)."""
    with concerning("task.text_column"):
        words = without_tags(table, text).words or ()
    rows = [row for row, each in enumerate(words) if each]
    if len(rows) < len(words):
        first = next(row for row, each in enumerate(words) if not each)
        notes.append(
            f"{table.path}, column {quoted(text)}: {len(words) - len(rows):,} of {len(words):,} "
            f"rows have no word and are left out, the first in {table.place} {table.lines[first]}"
        )
    return [list(words[row]) for row in rows], rows


def _tags(
    table: Table, label: str, words: Sequence[Sequence[str]], rows: Sequence[int], text: str
) -> list[list[str]]:
    cells = table.column(label)
    found = []
    for row, sentence in zip(rows, words, strict=True):
        own = [each.strip() for each in _list(table, label, row, cells[row], "tags")]
        if len(own) != len(sentence):
            raise DataError(
                f"{at(table, label, row)}: {len(own)} {_s(own, 'tag')} for {len(sentence)} "
                f"{_s(sentence, 'word')} of column {quoted(text)}",
                "give each word one tag",
            )
        empty = next((n for n, tag in enumerate(own) if not tag), None)
        if empty is not None:
            raise DataError(
                f"{at(table, label, row, empty)}: the tag of {quoted(sentence[empty])} is empty",
                f"write {OUTSIDE} for a word that is part of nothing",
            )
        for place, tag in enumerate(own):
            labels.check_name(tag, at(table, label, row, place), "tag")
        found.append(own)
    return found


def _s(things: Sequence[Any], name: str) -> str:
    return name if len(things) == 1 else f"{name}s"


def _list(table: Table, column: str, row: int, cell: Any, what: str) -> list[str]:
    if isinstance(cell, str):
        written = as_list(cell)
        cell = cell.split() if written is None else written
    if cell is None:
        raise DataError(
            f"{at(table, column, row)}: there is nothing where a list of {what} is expected",
            "fill it in, or remove the row",
        )
    if not isinstance(cell, list | tuple):
        raise DataError(
            f"{at(table, column, row)}: {word(cell)} where a list of {what} is expected",
            'write ["...", "..."], or name another column; for one label a text set task.kind = '
            '"classification"',
        )
    return [_entry(table, column, row, place, each, what) for place, each in enumerate(cell)]


def written(words: Sequence[str]) -> str:
    """Words or tags as one cell that reads back as them: with blanks between, or as a JSON list
    where one of them has a blank or they would be taken for a list."""
    cell = " ".join(words)
    plain = cell.split() == list(words) and as_list(cell) is None
    return cell if plain else json.dumps(list(words), ensure_ascii=False)


def _entry(table: Table, column: str, row: int, place: int, entry: Any, what: str) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, int | float) and not is_missing(entry):
        whole = isinstance(entry, float) and entry.is_integer()
        return str(int(entry) if whole or isinstance(entry, bool) else entry)
    raise DataError(
        f"{at(table, column, row, place)}: {word(entry)} among the {what}",
        f"give a flat list of {what}",
    )


def _names(table: Table, label: str, tags: Sequence[str]) -> tuple[str, ...]:
    """The tags of the training data by class number.

    Raises:
        DataError: there is one only, or nearly each word has its own.
    """
    names = labels.ordered(set(tags))
    if len(names) < 2:
        one = quoted(names[0]) if names else "none"
        raise DataError(
            f"{table.path}, column {quoted(label)}: all {len(tags):,} words have the tag {one}",
            "there is nothing to learn from one tag; name another column with --label",
        )
    if len(tags) > 100 and len(names) > len(tags) / 4:
        raise DataError(
            f"{table.path}, column {quoted(label)}: {len(names):,} different tags of {len(tags):,} "
            "words",
            "name the column that holds the tags with --label",
        )
    return tuple(sorted(names, key=lambda name: name != OUTSIDE))


@dataclass(frozen=True)
class Scheme:
    """How tags mark entities.

    Attributes:
        name: "IOB1", "IOB2", "BIOES", "BILOU", or "" for tags that mark none.
        words: the same in a sentence, with the types that there are.
    """

    name: str
    words: str


def marks_entities(names: Iterable[str]) -> bool:
    """Whether tags are `O` and prefixes with a type (`B-PER`), with one such at least."""
    others = [name for name in names if name != OUTSIDE]
    return bool(others) and all(_ENTITY.fullmatch(name) for name in others)


def type_of(tag: str) -> str:
    """The type of the entity that a tag is of; "" outside. The tag itself where it marks none."""
    found = _ENTITY.fullmatch(tag)
    return found[2] if found else "" if tag == OUTSIDE else tag


def as_bioes(names: Iterable[str]) -> list[str]:
    """Tags with the prefixes that seqeval knows: L is E, U is S."""
    found = []
    for name in names:
        prefix = name[:1] if _ENTITY.fullmatch(name) else ""
        found.append(_AS_BIOES.get(prefix, prefix) + name[1:] if prefix else name)
    return found


@dataclass(frozen=True)
class Entity:
    """Words `start` to `end` (which it does not have any more) of a sentence, and their type."""

    type: str
    start: int
    end: int


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities that the tags of a sentence mark, as conlleval and seqeval read them.

    Tags that mark none give none.
    """
    from seqeval.metrics.sequence_labeling import get_entities

    if not marks_entities(tags):
        return []
    return [Entity(kind, low, high + 1) for kind, low, high in get_entities(as_bioes(tags))]


def scheme_of(sentences: Sequence[Sequence[str]]) -> Scheme:
    """The scheme of these tags, from what stands at the beginning of entities."""
    names = {tag for tags in sentences for tag in tags}
    if not marks_entities(names):
        return Scheme(
            "", f"{len(names)} tags, which mark no entities (no B- and I-): each word counts alone"
        )
    prefixes = {name[0] for name in names if name != OUTSIDE}
    types = sorted({type_of(name) for name in names} - {""})
    some = ", ".join(types[:8]) + (", ..." if len(types) > 8 else "")
    of = f"{len(types)} {_s(types, 'type')} of entities ({some})"
    if prefixes & {"L", "U"}:
        return Scheme("BILOU", f"the tags are BILOU (B- begins, L- ends, U- stands alone), {of}")
    if prefixes & {"E", "S"}:
        return Scheme("BIOES", f"the tags are BIOES (B- begins, E- ends, S- stands alone), {of}")
    after_none = {"B": 0, "I": 0}
    for tags in sentences:
        for before, tag in pairwise([OUTSIDE, *tags]):
            if tag != OUTSIDE and (before == OUTSIDE or type_of(before) != type_of(tag)):
                after_none[tag[0]] += 1
    if not after_none["I"]:
        return Scheme("IOB2", f"the tags are IOB2 (each entity begins with B-), {of}")
    if not after_none["B"]:
        said = "the tags are IOB1 (B- only parts entities of one type that touch)"
        return Scheme("IOB1", f"{said}, {of}")
    odd = after_none["I"]
    return Scheme(
        "IOB2",
        f"the tags are IOB2 (each entity begins with B-), {of}; {odd:,} begin with I- all the same "
        "and are counted as entities, as conlleval does",
    )
