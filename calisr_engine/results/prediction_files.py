"""Texts from a user's file, and predictions to one."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import quoted
from calisr_engine.results import prediction_parquet
from calisr_engine.results.run_task import RunTask
from calisr_engine.storage.whole import whole_file
from calisr_engine.tasks import cells, choices, labels, tagged
from calisr_engine.tasks.conll import FIRST_COLUMN
from calisr_engine.tasks.formats import FORMATS as FORMATS_OF
from calisr_engine.tasks.formats import format_of, read_table
from calisr_engine.tasks.lines import csv_line, tsv_line
from calisr_engine.tasks.prediction_table import PROBABILITY, text_names
from calisr_engine.tasks.table import Table

if TYPE_CHECKING:
    from calisr_engine.analysis.error_report import Mistake
    from calisr_engine.results.predictor import Prediction, Text

Row = tuple["Text", "Prediction"]

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
WORDS_FORMAT = ".conll"
"""One more, for tasks whose words have tags: a word and its tag a line, an empty line after each
text."""


def read_texts(
    path: Path, task: RunTask, text: str | None = None, text_pair: str | None = None
) -> tuple[list[Text], list[str]]:
    """(the texts of a CSV, TSV, JSONL or Parquet file in its order, notes on them).

    Args:
        text, text_pair: names of the columns; None takes those that the run was trained with. The
            second is that of the question for a choice. Alternatives are in the run's columns.

    Raises:
        ConfigError: a second column for a task of single texts.
        DataError: the file cannot be used, or lacks a column.
    """
    names = task.columns[0]
    if text_pair is not None and len(names) == 1:
        raise ConfigError(f"{task.name} takes single texts, not pairs", "leave --text-pair out")
    given = (text, text_pair)[: len(names)]
    if path.suffix.lower() in FORMATS_OF and format_of(path) == "conll":
        if not task.tags_words:
            raise ConfigError(
                f"{path} is a file of words in the format of CoNLL, and {task.name} takes whole "
                "texts",
                "give a CSV, TSV, JSONL or Parquet file, or lines of text: calisr predict RUN - < "
                "FILE",
            )
        names = (FIRST_COLUMN,)
    table: Table | None = None
    if len(task.columns) > 1 and None in given:  # the likeliest that the file has
        table = read_table(path, None, task.form)
        names = next((each for each in task.columns if set(each) <= set(table.header)), names)
    wanted = [name or own for name, own in zip(given, names, strict=True)]
    notes: list[str] = []
    table = table or read_table(path, [*wanted, *task.choices], task.form)
    notes += table.left_out
    if task.tags_words:
        return list(tagged.without_tags(table, wanted[0]).words or ()), notes
    if task.choices:
        question = wanted[1] if len(wanted) > 1 else None
        premises = choices.texts(table, wanted[0], question, notes)
        own = choices.alternatives(table, task.choices)
        return [(one, *others) for one, others in zip(premises, own, strict=True)], notes
    columns = [cells.texts(table, name, notes) for name in wanted]
    if task.is_pair:
        return list(zip(*columns, strict=True)), notes
    return list(columns[0]), notes


def check_out(path: Path, task: RunTask | None = None) -> None:
    """Refuse a name that says no format that is written.

    Args:
        task: whose predictions shall be written; None for other rows.

    Raises:
        ConfigError: it ends otherwise.
    """
    known = (*FORMATS, WORDS_FORMAT) if task is not None and task.tags_words else FORMATS
    if path.suffix.lower() not in known:
        raise ConfigError(
            f"{path}: files ending in {path.suffix or 'nothing'} are not written",
            f"name a file that ends in {', '.join(known)}",
        )
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", "name a file")


def check_classes(form: str, classes: Sequence[str] | None) -> None:
    """Refuse names of classes that a form of file cannot hold so that they read back.

    No run is trained on such names any more; models of earlier versions may have some.

    Args:
        form: .csv, .tsv, .jsonl, .parquet or .conll.

    Raises:
        ConfigError: there is one.
    """
    for name in classes or ():
        if cells.HALF.search(name):
            raise ConfigError(
                f"the class {quoted(name)} holds half of a character, which no file can hold",
                "train the run anew with whole characters in its labels",
            )
        if form == WORDS_FORMAT and name.split() != [name]:
            raise ConfigError(
                f"the tag {quoted(name)} has a blank, which parts the columns of a {form} file",
                "name a .jsonl file",
            )
        if form == ".tsv" and (found := labels.fault(name)):
            raise ConfigError(
                f"the class {quoted(name)} holds {found[0]}", "name a .jsonl or .csv file"
            )


def write_predictions(
    path: Path, rows: Iterable[Row], task: RunTask, classes: Sequence[str] | None
) -> int:
    """Write texts with their predictions, whole or not at all; returns how many.

    Raises:
        ConfigError: it cannot hold the name of a class, by `check_classes`.
        StorageError: the file cannot be written.
    """
    count, suffix = 0, path.suffix.lower()
    check_classes(suffix, classes)
    with contextlib.ExitStack() as stack:
        part = stack.enter_context(whole_file(path, "the predictions", "then predict again"))
        if suffix == ".parquet":
            return prediction_parquet.write(part, itertools.starmap(record, rows))
        file = stack.enter_context(part.open("w", encoding="utf-8", newline=""))
        write = _writer(path, file)
        if suffix in (".csv", ".tsv"):
            write(header(task, classes))
        for count, (text, found) in enumerate(rows, 1):  # noqa: B007
            if suffix == WORDS_FORMAT:
                lines = [f"{_one_word(each.word)} {each.tag}\n" for each in found.words or ()]
                file.write("".join([*lines, "\n"]))
            else:
                write(record(text, found) if suffix == ".jsonl" else fields(text, found))
    return count


def _one_word(word: str) -> str:
    """A word without blanks, which would part columns."""
    return "_".join(word.split()) or "_"


def write_mistakes(path: Path, rows: Sequence[Mistake]) -> int:
    """Write rows with what was said and what is true, whole or not at all; returns how many.

    Raises:
        StorageError: the file cannot be written.
    """
    lines = [_mistake(each) for each in rows]
    heads = list(dict.fromkeys(name for each in lines for name in each)) or ["index"]
    with contextlib.ExitStack() as stack:
        part = stack.enter_context(whole_file(path, "the rows", "then ask again"))
        if path.suffix.lower() == ".parquet":
            prediction_parquet.write_table(part, heads, lines)
            return len(lines)
        file = stack.enter_context(part.open("w", encoding="utf-8", newline=""))
        write = _writer(path, file)
        if path.suffix.lower() == ".jsonl":
            for line in lines:
                write(line)
            return len(lines)
        write(heads)
        for line in lines:
            write([_written(line[name]) for name in heads])
    return len(lines)


def _mistake(each: Mistake) -> dict[str, str | float]:
    said = asdict(each)
    texts = said.pop("texts") or ()
    said |= dict(zip(text_names(len(texts)), map(cells.whole_characters, texts), strict=True))
    return {name: value for name, value in said.items() if value is not None}


def _writer(path: Path, file: TextIO) -> Any:
    if path.suffix.lower() == ".jsonl":
        return lambda value: file.write(json.dumps(value, ensure_ascii=False) + "\n")
    if path.suffix.lower() == ".csv":
        return lambda cells_: file.write(csv_line(cells_))
    return lambda cells_: file.write(tsv_line(cells_) + "\n")


def tsv_lines(rows: Iterable[Row], task: RunTask, classes: Sequence[str] | None) -> Iterator[str]:
    """The lines of a TSV file of predictions, without line ends.

    Raises:
        ConfigError: it cannot hold the name of a class, by `check_classes`.
    """
    check_classes(".tsv", classes)
    yield tsv_line(header(task, classes))
    for row in rows:
        yield tsv_line(fields(*row))


def header(task: RunTask, classes: Sequence[str] | None) -> list[str]:
    """Names of the columns that `fields` fills."""
    if task.tags_words:
        return ["text", "prediction", "entities"]
    texts = text_names(1 + task.is_pair + len(task.choices))
    return [*texts, "prediction", *(f"{PROBABILITY}{name}" for name in classes or ())]


def fields(text: Text, found: Prediction) -> list[str]:
    """Cells of one prediction; labels and entities as JSON, tags by `tagged.written`."""
    if found.words is not None:
        words = tagged.written([each.word for each in found.words])
        return [words, tagged.written(_tags(found)), _json(_entities(found))]
    texts = map(cells.whole_characters, [text] if isinstance(text, str) else text)
    values = (found.probabilities or {}).values()
    said = found.prediction
    written = _json(list(said)) if isinstance(said, tuple) else _written(said)
    return [*texts, written, *map(_written, values)]


def record(text: Text, found: Prediction) -> dict[str, Any]:
    """One prediction as plain JSON values."""
    if found.words is not None:
        return {
            "text": " ".join(each.word for each in found.words),
            "words": [each.word for each in found.words],
            "prediction": _tags(found),
            "probabilities": [each.probability for each in found.words],
            "entities": _entities(found),
        }
    texts = [*map(cells.whole_characters, (text,) if isinstance(text, str) else text)]
    names = text_names(len(texts))
    value = found.prediction
    plain = list(value) if isinstance(value, tuple) else value
    said: dict[str, Any] = {**dict(zip(names, texts, strict=True)), "prediction": plain}
    if found.probabilities is not None:
        said["probabilities"] = found.probabilities
    return said


def _tags(found: Prediction) -> list[str]:
    return [each.tag for each in found.words or ()]


def _entities(found: Prediction) -> list[dict[str, Any]]:
    """Type, first word, word after the last, text and mean probability of each."""
    return [
        {**asdict(entity), "text": text, "probability": share}
        for entity, text, share in found.entities
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else repr(value)
