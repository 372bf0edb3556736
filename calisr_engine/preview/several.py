"""Guesses for data with more than one label a row: several a text, or a tag for each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from calisr_engine.plain_words import quoted
from calisr_engine.preview import roles
from calisr_engine.preview.columns import SAMPLE, Column, lists_of
from calisr_engine.tasks.cells import has_decimal_commas, is_missing
from calisr_engine.tasks.table import Table
from calisr_engine.tasks.tagged import marks_entities

SEPARATORS = ("|", ";", ",")
"""Those that are guessed, the rarest in texts first."""

FEWEST_JOINT = 0.05
"""Share of the cells that a separator must be in."""

FEWEST_USES = 3.0
"""How often each part must come in the mean, that parts are labels and not pieces of a text."""

FEWEST_COLUMNS = 3
"""Columns of 0 and 1 that are labels together; two of them may be anything."""

PLAIN_NAMES = ("label", "class", "target", "y", "gold")
"""A column of this name is the label, whatever flags stand beside it."""

WORD_NAMES = ("tokens", "words", "token", "word", "text", "sentence", "form")
TAG_NAMES = (
    *("ner_tags", "tags", "ner", "labels", "entities", "iob", "bio", "ner_labels"),
    *("pos_tags", "pos", "upos", "chunk_tags"),
)


@dataclass(frozen=True)
class Several:
    """What is guessed, by setting, and why; nothing where it is one label a row."""

    values: Mapping[str, Any] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)


def several(given: Mapping[str, Any], table: Table, described: Sequence[Column]) -> Several:
    """Columns and kind of data with more than one label a row.

    Args:
        given: settings of [task] by name, which are not guessed.
        described: the columns of the table.
    """
    kind = given.get("kind")
    if kind in (None, "token") and not given.get("label_columns"):
        found = _words(given, table, described)
        if found.values or kind == "token":
            return found
    if kind in (None, "multi_label"):
        return _labels(given, table, described)
    return Several()


# Words -------------------------------------------------------------------------------------------


def _words(given: Mapping[str, Any], table: Table, described: Sequence[Column]) -> Several:
    """The lists of words and of their tags: two columns with equally long lists in each row."""
    text, label = given.get("text_column"), given.get("label_column")
    there = [each for each in described if each.kind == "list" and each.words > 0]
    words = [
        each
        for each in there
        if text == each.name or (text is None and not all(map(str.isdigit, each.counts)))
    ]
    tags = [each for each in there if label in (None, each.name)]
    pairs = [
        (one, other)
        for one in sorted(words, key=lambda each: _place(each.name, WORD_NAMES))
        for other in sorted(tags, key=lambda each: _tag_place(each, table))
        if one is not other and _are_tags(one, other, table, given.get("kind") == "token")
    ]
    if not pairs:
        return Several()
    one, other = pairs[0]
    values, why = {"kind": "token"}, {"kind": "each row has as many tags as words"}
    if text is None:
        values["text_column"] = one.name
        why["text_column"] = f"lists of {one.words:.0f} words in the mean"
    if label is None:
        values["label_column"] = other.name
        marked = "which mark entities" if marks_entities(other.counts) else "one for each word"
        why["label_column"] = f"{other.distinct:,} different tags, {marked}"
    return Several(
        {key: value for key, value in values.items() if given.get(key) is None},
        {key: value for key, value in why.items() if given.get(key) is None},
    )


def _place(name: str, known: Sequence[str]) -> int:
    plain = name.strip().lower()
    return known.index(plain) if plain in known else len(known)


def _tag_place(column: Column, table: Table) -> tuple[bool, int, int]:
    """Tags that mark entities come first, then known names; of a CoNLL file the last column."""
    last = -list(table.header).index(column.name) if table.per_line else 0
    return not marks_entities(column.counts), _place(column.name, TAG_NAMES), last


def _are_tags(words: Column, tags: Column, table: Table, asked: bool) -> bool:
    """Whether the lists of two columns are equally long in each row, and the second's are tags.

    Args:
        asked: somebody said that there are tags; else lists that are all of one length are not
            taken for them, unless they mark entities.
    """
    if tags.distinct < 2 or tags.distinct > max(40, words.distinct / 2) or words.words < 1.5:
        return False
    step = max(1, -(-len(table) // SAMPLE))
    rows = list(zip(table.columns[words.name], table.columns[tags.name], strict=True))[::step]
    sides = [lists_of([row[side] for row in rows if not is_missing(row[side])]) for side in (0, 1)]
    if sides[0] is None or sides[1] is None or len(sides[0]) != len(sides[1]):
        return False
    lengths = [(len(one), len(other)) for one, other in zip(sides[0], sides[1], strict=True)]
    alike = sum(one == other for one, other in lengths) > 0.9 * len(lengths)
    varied = len({one for one, _ in lengths}) > 1
    return alike and (asked or varied or marks_entities(tags.counts))


# Labels ------------------------------------------------------------------------------------------


def _labels(given: Mapping[str, Any], table: Table, described: Sequence[Column]) -> Several:
    if given.get("label_columns"):
        why = "label_columns names several"
        return Several(*({"kind": each} for each in ("multi_label", why)))
    label, asked = given.get("label_column"), given.get("kind") == "multi_label"
    guessed = roles.roles(described, given.get("text_column"), given.get("text_pair_column"), label)
    chosen = [given.get("text_column"), given.get("text_pair_column")]
    chosen += [each.value for each in (guessed.text, guessed.pair) if each is not None]
    free = [each for each in described if each.name not in chosen and not roles.is_id(each)]
    usual = label if label is not None else guessed.label.value if guessed.label else None
    if label is None:
        found = _columns_of_flags(free, usual, asked)
        if found.values:
            return found
    named = [each for each in free if _is_named(each.name)]
    if usual is not None and usual.strip().lower() in PLAIN_NAMES:
        named = [each for each in named if each.name == usual]
    first = [each for each in free if each.name == label] if label is not None else named
    if label is None:
        first += [each for each in free if each.name == usual and each not in named]
        first += [each for each in free if usual is None and each not in named]
    for column in first:
        found = _lists(column) if column.kind == "list" else _separated(column, table, given)
        if found.values:
            values, reasons = dict(found.values), dict(found.why)
            if label is None:
                values["label_column"] = column.name
                reasons["label_column"] = reasons["kind"].removeprefix(
                    f"{quoted(column.name)} has "
                )
            return Several(*(_not_given(each, given) for each in (values, reasons)))
    return Several()


def _is_named(name: str) -> bool:
    """Whether a name is one of labels, in the singular or the plural."""
    return any(roles.named(each, roles.LABEL_NAMES) for each in (name, name.rstrip("sS")))


def _not_given(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if given.get(key) is None}


def _columns_of_flags(free: Sequence[Column], usual: str | None, asked: bool) -> Several:
    """Several columns of 0 and 1, unless another column is the label by its name."""
    flags = [each for each in free if _is_flag(each)]
    fewest = 2 if asked else FEWEST_COLUMNS
    other = usual is not None and usual not in {each.name for each in flags}
    plain = usual is not None and usual.strip().lower() in PLAIN_NAMES
    if len(flags) < fewest or ((other or plain) and not asked):
        return Several()
    why = f"{len(flags)} columns have 0 and 1 only"
    names = tuple(each.name for each in flags)
    return Several(
        {"label_columns": names, "kind": "multi_label"},
        {"label_columns": why, "kind": "each of these columns is a label"},
    )


def _is_flag(column: Column) -> bool:
    values = {value.lower().removesuffix(".0") for value in column.counts}
    both = values <= {"0", "1"} or values <= {"true", "false"}
    return bool(values) and both and not column.missing


def _lists(column: Column) -> Several:
    if not 2 <= column.distinct <= max(2, column.rows):
        return Several()
    why = (
        f"{quoted(column.name)} has lists of labels, {column.distinct:,} different ones, "
        f"{column.words:.1f} a row"
    )
    return Several({"kind": "multi_label"}, {"kind": why})


def _separated(column: Column, table: Table, given: Mapping[str, Any]) -> Several:
    """A column whose cells have labels with a separator between."""
    if column.kind not in ("text", "words", "whole", "number"):
        return Several()
    step = max(1, -(-len(table) // SAMPLE))
    texts = [str(each) for each in table.columns[column.name][::step] if not is_missing(each)]
    own, asked = given.get("label_separator"), given.get("kind") == "multi_label"
    plural = column.name.lower().endswith("s") and _is_named(column.name)
    for separator in SEPARATORS if own is None else (own,):
        rows = [parts(text, separator) for text in texts]
        if own is None and not _are_labels(rows):
            continue
        if separator == "," and has_decimal_commas(texts) and not (own or asked or plural):
            continue
        names = {name for row in rows for name in row}
        a_row = sum(map(len, rows)) / max(1, len(table.columns[column.name][::step]))
        why = f"{len(names):,} different labels, {a_row:.1f} a row"
        between = f"stands between the labels of {quoted(column.name)}"
        return Several(
            {"kind": "multi_label", "label_separator": separator},
            {"kind": f"{quoted(column.name)} has {why}", "label_separator": between},
        )
    return Several()


def parts(text: str, separator: str) -> tuple[str, ...]:
    """The labels that a text holds."""
    return tuple(each for each in map(str.strip, text.split(separator)) if each)


def _are_labels(rows: Collection[tuple[str, ...]]) -> bool:
    """Whether the parts of these cells are labels, and not pieces of texts or of longer names.

    Labels are short, come again and again, and most of those that stand with others also stand in
    another company.
    """
    joint = [row for row in rows if len(row) > 1]
    if len(joint) < max(2, FEWEST_JOINT * len(rows)):
        return False
    counts = Counter(name for row in rows for name in row)
    if len(counts) > roles.MOST_CLASSES or sum(counts.values()) < FEWEST_USES * len(counts):
        return False
    if sum(name.count(" ") for name in counts) > 2 * len(counts):
        return False
    company: dict[str, set[tuple[str, ...]]] = {}
    for row in set(rows):
        for name in row:
            company.setdefault(name, set()).add(row)
    beside = {name for row in joint for name in row}
    return sum(len(company[name]) > 1 for name in beside) >= len(beside) / 2
