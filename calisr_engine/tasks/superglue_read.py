"""SuperGLUE from its official folder (JSON lines) or the hub; XNLI and PAWS-X by language from the
hub, with one validation set a language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calisr_engine.errors import DataError, concerning
from calisr_engine.plain_words import quoted
from calisr_engine.tasks import choices, glue_folder, hub_parquet, labels
from calisr_engine.tasks.cells import at, texts
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.files import is_there
from calisr_engine.tasks.formats import read_table
from calisr_engine.tasks.glue_task import GlueTask
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source
from calisr_engine.tasks.table import Table

MARK = "*"
"""Stands before and behind the word of WiC in both sentences."""


def read(task: GlueTask, data_dir: Path | None) -> Source:
    """A task of SuperGLUE: train, validation, and test where it is there.

    Raises:
        UnavailableError: it is neither in the folder nor on the hub.
        DataError: a file is there and cannot be used.
    """
    notes: list[str] = []
    beside = [name for ends in task.words for name in ends]
    beside += [task.question, *task.choices] if task.choices else []
    columns = [*task.hub_columns, *beside, "label"]
    if data_dir is None:
        found = hub_parquet.find(f"{task.hub_id}:{task.name}")
        tables: dict[str, Table] = {
            split: found.table(found.named(split), columns) for split in ("train", "validation")
        }
        if "test" in found.splits:
            tables["test"] = found.table("test", columns[:-1])
    else:
        folder = glue_folder.find_folder(task, data_dir)
        files = {"train": task.train_file}
        files |= {name: file for name, (file, _) in {**task.validation, **task.test}.items()}
        tables = {}
        for split, file in files.items():
            if split != "test" or is_there(folder / file):
                names = columns if split != "test" else columns[:-1]
                tables[split] = read_table(folder / file, names)
    rows = {split: _rows(task, table, split, notes) for split, table in tables.items()}
    test = {"test": rows.pop("test")} if "test" in rows else {}
    return Source.of_task(task, rows.pop("train"), rows, test, notes)


def read_languages(task: GlueTask, settings: TaskSettings) -> Source:
    """XNLI or PAWS-X: one language trains, and each of some validates.

    Raises:
        UnavailableError: a language is neither in the cache nor in reach.
    """
    notes: list[str] = []
    if settings.data_dir is not None:
        notes.append(f"task.data_dir has no effect on {task.title}, which comes from the hub")
    columns = [*task.hub_columns, "label"]
    train = settings.train_language or task.languages[0]

    def of(language: str, split: str) -> Examples:
        found = hub_parquet.find(f"{task.hub_id}:{language}")
        return _rows(task, found.table(found.named(split), columns), split, notes, language)

    with concerning("task.train_language", "task.name"):
        rows = of(train, "train")
    languages = settings.eval_languages or (train,)
    with concerning("task.eval_languages", "task.name"):
        validation = {language: of(language, "validation") for language in languages}
    if len(languages) == 1:
        validation = {"validation": validation[languages[0]]}
    notes.append(f"{task.title}: {train} trains, {', '.join(languages)} validates")
    return Source.of_task(task, rows, validation, {}, notes)


def _rows(
    task: GlueTask, table: Table, split: str, notes: list[str], language: str = ""
) -> Examples:
    label = None
    if split != "test":
        raw = [_label(task, table, row, cell) for row, cell in enumerate(table.column("label"))]
        label = labels.class_numbers(table, "label", raw, task.file_labels)
    official = task.sizes[split]
    if len(table) != official:
        of = f"{task.title} {language}".strip()
        notes.append(f"{of} {split} has {len(table):,} of {official:,} rows")
    every = tuple(range(len(table)))
    if task.choices:
        text = choices.texts(table, task.hub_columns[0], task.question, notes)
        own = choices.alternatives(table, task.choices)
        return Examples(text, None, label, every, choices=own)
    one, other = (texts(table, name, notes) for name in task.hub_columns)
    if task.words:
        one, other = (_marked(table, *each) for each in zip(task.words, (one, other), strict=True))
    return Examples(one, other, label, every)


def _label(task: GlueTask, table: Table, row: int, cell: Any) -> str:
    """The label as official files write it; the hub has numbers and booleans."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int):
        if 0 <= cell < len(task.file_labels):
            return task.file_labels[cell]
        raise DataError(
            f"{at(table, 'label', row)}: {cell} where 0 to {len(task.file_labels) - 1} is expected",
            "rows without a label cannot train; give the split that has them",
        )
    return str(cell).strip().lower()


def _marked(table: Table, ends: tuple[str, str], sentences: tuple[str, ...]) -> tuple[str, ...]:
    """Each sentence with the word that `ends` say (first character, and after the last) marked.

    Raises:
        DataError: they are no places in the sentence; the message says which of them is wrong.
    """
    columns = [table.column(name) for name in ends]
    found = []
    for row, (sentence, start, end) in enumerate(zip(sentences, *columns, strict=True)):
        for name, place, least in ((ends[0], start, 0), (ends[1], end, 1)):
            if type(place) is not int or not least <= place <= len(sentence) - 1 + least:
                raise DataError(
                    f"{at(table, name, row)}: {quoted(str(place))} is no place in the "
                    f"{len(sentence)} characters of {quoted(sentence, 40)}",
                    f"write a whole number from {least} to {len(sentence) - 1 + least}: "
                    f"{ends[0]} is the first character of the word, counted from 0, and {ends[1]} "
                    "the one after its last; the official file has them",
                )
        if start >= end:
            raise DataError(
                f"{at(table, ends[1], row)}: the word of {quoted(sentence, 40)} ends at {end} and "
                f"begins at {start}",
                f"write the place after its last character, above {start}; the official file has "
                "it",
            )
        found.append(mark(sentence, start, end))
    return tuple(found)


def mark(sentence: str, start: int, end: int) -> str:
    """The sentence with marks around its characters from `start` to `end`."""
    return f"{sentence[:start]}{MARK} {sentence[start:end]} {MARK}{sentence[end:]}"
