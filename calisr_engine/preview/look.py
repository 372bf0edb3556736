"""What training would see of a user's data: rows, label counts, lengths, and what is odd in it.

The rows are those that `tasks.own_files` reads, so that a look and a run never differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from calisr_engine.errors import CalisrError
from calisr_engine.plain_words import quoted
from calisr_engine.preview import roles
from calisr_engine.preview.columns import KINDS, Column
from calisr_engine.preview.guess import Guessed
from calisr_engine.preview.lengths import Counter as TokenCounter
from calisr_engine.preview.lengths import Lengths, lengths
from calisr_engine.tasks import metrics, own_files, tagged
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source
from calisr_engine.tasks.table import Table

HEAD = 20
"""First rows that are shown."""

LONGEST_CELL = 500
"""Characters of a cell that are kept for showing."""

SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars", "\t": "tabs", " ": "blanks", "": ""}


@dataclass(frozen=True)
class SetLook:
    """One side of the data: train, validation or test.

    Attributes:
        labels: rows by class, in the order of the classes (words, where each has a tag); empty
            without classes.
        labelled: rows, or words, that shares of labels are of.
        lowest, highest, mean: of the targets of a regression, else None.
        duplicates: rows whose texts and label another row above has as well.
        conflicts: different texts that come with several labels, with such rows' labels for the
            first few.
        empty: rows whose text is empty.
    """

    name: str
    rows: int
    labels: tuple[tuple[str, int], ...] = ()
    labelled: int = 0
    lowest: float | None = None
    highest: float | None = None
    mean: float | None = None
    duplicates: int = 0
    conflicts: int = 0
    conflict_examples: tuple[tuple[str, tuple[str, ...]], ...] = ()
    empty: int = 0


@dataclass(frozen=True)
class Look:
    """What there is to see.

    Attributes:
        path, form: of the training data; `form` in words.
        columns: name, what it holds, its role ("" for none) and why.
        header, head: names of the columns that were read, and the first rows.
        sets: train, validation, test; empty where the data cannot be used.
        overlap: rows of a side whose texts are also in the training data, by name.
        notes: what the reader says of the data, as a run would.
        problem: why the data cannot be used; None where it can.
        source: all that was read; None where it cannot be used.
    """

    path: str
    form: str
    columns: tuple[dict[str, str], ...]
    header: tuple[str, ...]
    head: tuple[tuple[str, ...], ...]
    sets: tuple[SetLook, ...] = ()
    lengths: Lengths | None = None
    overlap: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()
    problem: CalisrError | None = None
    source: Source | None = field(default=None, repr=False, compare=False)

    @property
    def marks_entities(self) -> bool:
        """Whether the classes are tags that mark entities."""
        return self.source is not None and tagged.marks_entities(self.source.label_names)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; the problem as message and hint."""
        found = {name: getattr(self, name) for name in ("path", "form", "columns", "notes")}
        found["rows"] = [dict(zip(self.header, row, strict=True)) for row in self.head]
        found["sets"] = [asdict(each) for each in self.sets]
        found["lengths"] = None if self.lengths is None else asdict(self.lengths)
        found["overlap"] = dict(self.overlap or {})
        found["warnings"] = warnings(self)
        found["problem"] = None
        if self.problem is not None:
            found["problem"] = {"message": self.problem.message, "hint": self.problem.hint}
        return found


def look(task: TaskSettings, guessed: Guessed, tokens: TokenCounter | None = None) -> Look:
    """Look at the data of `task`, whose training table was read for its guesses.

    What training would refuse is `problem`, never raised.
    """
    seen = _columns_and_rows(guessed, task)
    try:
        source = own_files.read(task, guessed.table)
        if task.metric is not None:
            spans = tagged.marks_entities(source.label_names)
            metrics.check(task.metric, source.kind, len(source.label_names), spans)
    except CalisrError as error:
        return _with(seen, problem=error)
    return _with(
        seen,
        sets=tuple(
            _set(name, rows, source)
            for name, rows in (
                ("train", source.train),
                *source.validation.items(),
                *source.test.items(),
            )
        ),
        lengths=lengths(source.train, task.max_length, tokens),
        overlap=_overlaps(source),
        notes=source.notes,
        source=source,
    )


def unfinished(guessed: Guessed, values: Mapping[str, Any], problem: CalisrError | None) -> Look:
    """Columns and first rows alone, of data whose settings are not complete."""
    return _with(_columns_and_rows(guessed, values), problem=problem)


def _columns_and_rows(guessed: Guessed, task: TaskSettings | Mapping[str, Any]) -> Look:
    table = guessed.table
    get = _getter(task)
    header = tuple(name for name in dict.fromkeys(table.header) if name in table.columns)
    rows = range(min(HEAD, len(table)))
    return Look(
        path=str(table.path),
        form=_form(table, get("header") is not False),
        columns=tuple(_described(each, get, guessed.why) for each in guessed.columns),
        header=header,
        head=tuple(tuple(_cell(table.columns[name][row]) for name in header) for row in rows),
    )


def _getter(task: TaskSettings | Mapping[str, Any]) -> Callable[[str], Any]:
    return task.get if isinstance(task, Mapping) else lambda key: getattr(task, key)


def warnings(seen: Look) -> list[str]:
    """What the user should know, one sentence each, the gravest first."""
    told = []
    train = next((each for each in seen.sets if each.name == "train"), None)
    for name, count in (seen.overlap or {}).items():
        size = next(each.rows for each in seen.sets if each.name == name)
        told.append(f"{count:,} of {size:,} {name} rows are also in the training data")
    for each in seen.sets:
        if each.conflicts:
            text, labels = each.conflict_examples[0]
            told.append(
                f"{each.name}: {each.conflicts:,} texts come with different labels, such as "
                f"{quoted(text, 40)} with {' and '.join(map(quoted, labels[:3]))}"
            )
        if each.duplicates:
            told.append(f"{each.name}: {each.duplicates:,} rows come twice, text and label")
        if each.empty:
            told.append(f"{each.name}: {each.empty:,} rows have an empty text")
    measured = seen.lengths
    if measured is not None and measured.cut is not None and measured.cut >= 0.01:
        told.append(
            f"{measured.cut:.0%} of the inputs are longer than max_length = {measured.max_length} "
            "tokens and would be cut"
        )
    if train is not None and train.labels:
        rare = [name for name, count in train.labels if count < 5]
        if rare:
            told.append(
                f"fewer than 5 training rows have the label {', '.join(map(quoted, rare[:5]))}"
            )
    return told


def notes(seen: Look) -> list[str]:
    """What the reader said of the data, without what `warnings` says in other words."""
    already = ("are also in the training data", "texts are empty")
    return [note for note in seen.notes if not any(words in note for words in already)]


def _with(seen: Look, **more: Any) -> Look:
    return Look(**{**vars(seen), **more})


def _form(table: Table, header: bool) -> str:
    suffix = table.path.suffix.lstrip(".").upper()
    parts = [suffix if table.encoding else "Parquet"]
    if table.separator:
        parts.append(f"separated by {SEPARATORS[table.separator]}")
    if table.encoding:
        parts.append(table.encoding.upper())
    if table.per_line:
        parts.append("a word a line")
    elif table.separator and not header:
        parts.append("no header")
    return ", ".join(parts)


def _described(column: Column, get: Callable[[str], Any], why: Mapping[str, str]) -> dict[str, str]:
    role, reason = "", roles.role_words(column)
    for key, word in (
        ("text_column", "text"),
        ("text_pair_column", "pair"),
        ("label_column", "label"),
        ("label_columns", "label"),
        ("choice_columns", "choice"),
    ):
        several = key in ("label_columns", "choice_columns")
        if get(key) == column.name or (several and column.name in (get(key) or ())):
            role, reason = word, why.get(key, "given")
    return {
        "name": column.name,
        "kind": KINDS[column.kind],
        "role": role,
        "why": reason,
        "different": f"{column.distinct:,}",
        "example": _cell(column.example)[:80],
    }


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    if isinstance(value, list):
        text = " ".join(map(str, value))
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}..."


def _set(name: str, rows: Examples, source: Source) -> SetLook:
    texts = rows.texts
    empty = sum(not text.strip() for text in rows.text)
    if rows.label is None:
        return SetLook(name, len(rows), duplicates=len(texts) - len(set(texts)), empty=empty)
    named = [_label(source, label, rows.words is not None) for label in rows.label]
    by_text: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for text, label in zip(texts, named, strict=True):
        by_text[text].add(label)
    several = [(text[0], sorted(labels)) for text, labels in by_text.items() if len(labels) > 1]
    pairs = Counter(zip(texts, named, strict=True))
    counted = rows.classes() if source.label_names else Counter[int]()
    numbers: list[float] = []
    if not source.label_names:
        numbers = [label for label in rows.label if not isinstance(label, tuple)]
    return SetLook(
        name,
        len(rows),
        tuple((each, counted[number]) for number, each in enumerate(source.label_names)),
        len(rows) if rows.words is None else counted.total(),
        lowest=min(numbers, default=None),
        highest=max(numbers, default=None),
        mean=sum(numbers) / len(numbers) if numbers else None,
        duplicates=len(rows) - len(pairs),
        conflicts=len(several),
        conflict_examples=tuple((text[:200], tuple(labels)) for text, labels in several[:3]),
        empty=empty,
    )


def _label(source: Source, label: int | float | tuple[int, ...], words: bool) -> str:
    if isinstance(label, tuple):
        given = label if words else [number for number, one in enumerate(label) if one]
        between = " " if words else ", "
        return between.join(source.label_names[number] for number in given) or "no label"
    return source.label_names[int(label)] if source.label_names else f"{label:g}"


def _overlaps(source: Source) -> dict[str, int]:
    """Rows of the other sides whose texts train as well, where there are any."""
    train = source.train
    known = set(train.texts)
    found = {}
    for name, rows in (*source.validation.items(), *source.test.items()):
        shared = sum(each in known for each in rows.texts)
        if shared:
            found[name] = shared
    return found
