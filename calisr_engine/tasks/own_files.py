"""A user's own CSV, TSV, JSONL or Parquet files as training and validation data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calisr_engine.errors import DataError, concerning
from calisr_engine.plain_words import quoted
from calisr_engine.tasks import cells, hub_parquet, labels
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.formats import Form, read_table
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source
from calisr_engine.tasks.split import split_rows
from calisr_engine.tasks.table import Table

COLUMNS = ("text_column", "text_pair_column", "label_column")
"""Settings that name a column."""


def read(settings: TaskSettings, train: Table | None = None) -> Source:
    """Read the files, or the data set of the hub, that the settings name.

    Classes are those of the training data: whole numbers in their order, names in alphabetical
    order. Every label of the validation data must be one of them. `labels` says which labels are
    one class. Without validation data part of the training rows is set aside, as `split` does.

    Args:
        train: the training data with every column that can be used, where it was read just before.

    Raises:
        DataError: a file, a column or a cell cannot be used; the message says which.
        UnavailableError: the data set is not here and the hub cannot be reached.
    """
    try:
        return _read(settings, train)
    except DataError as error:
        if error.column:
            named = [key for key in COLUMNS if getattr(settings, key) == error.column]
            error.keys = tuple(f"task.{key}" for key in named)
        raise


def _read(settings: TaskSettings, known: Table | None) -> Source:
    text, label = settings.text_column, settings.label_column
    assert text is not None
    assert label is not None
    assert settings.kind is not None
    notes: list[str] = []
    pair = settings.text_pair_column
    texts = [text] if pair is None else [text, pair]
    train, validation, test = _tables(settings, texts, label, known)
    labelled = [train] if validation is None else [train, validation]
    classes: tuple[str, ...] = ()
    numbers: list[tuple[int, ...]] | list[tuple[float, ...]]
    with concerning("task.label_column", "task.kind"):
        if settings.kind == "classification":
            classes, numbers = _classes(labelled, label, notes)
        else:
            numbers = [cells.targets(each, label) for each in labelled]
            cells.check_spread(train, label, numbers[0])
    train_rows = _examples(train, settings, numbers[0], notes)
    if validation is None:
        train_rows, validation_rows = _set_aside(train, train_rows, settings, classes, notes)
    else:
        validation_rows = _examples(validation, settings, numbers[1], notes)
        _note_overlap(train_rows, validation_rows, notes)
    tests = {}
    if test is not None:
        tests["test"] = _examples(test, settings, None, notes)
    return Source(
        name=settings.name,
        kind=settings.kind,
        label_names=classes,
        metrics=default_metrics(settings.kind, len(classes)),
        train=train_rows,
        validation={"validation": validation_rows},
        test=tests,
        notes=tuple(dict.fromkeys(notes)),  # one file may serve twice
    )


def default_metrics(kind: str, classes: int) -> tuple[str, ...]:
    """The metrics of own data, the one that picks the best model first."""
    if kind == "regression":
        return ("spearman", "pearson")
    return ("accuracy", "f1" if classes == 2 else "macro_f1")


def _tables(
    settings: TaskSettings, texts: list[str], label: str, known: Table | None
) -> tuple[Table, Table | None, Table | None]:
    """Training, validation and test data; None for what is not given."""
    validation = test = None
    if known is not None and not all(name in known.columns for name in (*texts, label)):
        known = None  # what is wrong with a column is told as it is read
    if settings.dataset is not None:
        with concerning("task.dataset"):
            found = hub_parquet.find(settings.dataset)
        with concerning("task.train_split"):
            split = found.train_split(settings.train_split)
            train = known or found.table(split, [*texts, label])
        with concerning("task.validation_split"):
            name = found.validation_split(settings.validation_split)
            validation = None if name is None else found.table(name, [*texts, label])
        if settings.test_split is not None:
            with concerning("task.test_split"):
                test = found.table(found.named(settings.test_split), texts)
        return train, validation, test
    form = Form(settings.encoding, settings.header)

    def read(key: str, names: list[str]) -> Table | None:
        path: Path | None = getattr(settings, key)
        with concerning(f"task.{key}"):
            return None if path is None else read_table(path, names, form)

    if known is not None and settings.train_file is not None:
        train_table: Table | None = replace(known, path=settings.train_file)
    else:
        train_table = read("train_file", [*texts, label])
    assert train_table is not None
    return train_table, read("validation_file", [*texts, label]), read("test_file", texts)


def _set_aside(
    table: Table,
    rows: Examples,
    settings: TaskSettings,
    classes: tuple[str, ...],
    notes: list[str],
) -> tuple[Examples, Examples]:
    """Training and validation rows of a table that is both."""
    try:
        split = split_rows(rows, len(classes), settings.validation_share, settings.split_seed)
    except DataError as error:
        told = DataError(f"{table.path}: {error.message}", error.hint)
        told.keys = ("task.validation_file", "task.validation_share")
        raise told from error
    train, validation = rows.take(split.train), rows.take(split.validation)
    if settings.kind == "regression" and len(set(train.label or ())) < 2:
        raise DataError(
            f"{table.path}: the {len(train):,} rows that are left to train have one value only",
            "give a validation file",
        )
    each = "class" if classes else "part of the range of targets"
    notes.append(
        f"no validation data is given: {len(validation):,} of the {len(rows):,} rows of "
        f"{table.path} are set aside to validate and {len(train):,} train (task.validation_share = "
        f"{settings.validation_share:g} of each {each}, task.split_seed = {settings.split_seed})"
    )
    if split.missing:
        shown = ", ".join(quoted(classes[number]) for number in split.missing[:5])
        notes.append(f"{shown} has one text only, which trains; no validation row has that label")
    return train, validation


def _classes(
    tables: list[Table], label: str, notes: list[str]
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Class names, and the class numbers of each table; the first one trains."""
    found = labels.class_labels(tables, label)
    labels.check_no_label(tables, label, found, notes)
    names = labels.class_names(tables[0], label, found[0])
    notes.extend(labels.look_alikes(names))
    notes.extend(labels.marks(names))
    numbers = [
        labels.class_numbers(table, label, each, names)
        for table, each in zip(tables, found, strict=True)
    ]
    for table, each in zip(tables[1:], numbers[1:], strict=True):
        absent = sorted(set(range(len(names))) - set(each))
        if absent:
            shown = ", ".join(quoted(names[number]) for number in absent[:5])
            notes.append(f"{table.path} has no row with the label {shown}")
    return names, numbers


def _examples(
    table: Table,
    settings: TaskSettings,
    label: tuple[int, ...] | tuple[float, ...] | None,
    notes: list[str],
) -> Examples:
    assert settings.text_column is not None
    if table.encoding not in ("", "utf-8"):
        notes.append(f"{table.path} is read as {table.encoding}")
    if table.blank:
        notes.append(
            f"{table.path}: {len(table.blank):,} lines without any cell are left out, the first is "
            f"line {table.blank[0]}"
        )
    pair = None
    with concerning("task.text_column"):
        text = cells.texts(table, settings.text_column, notes)
    if settings.text_pair_column is not None:
        with concerning("task.text_pair_column"):
            pair = cells.texts(table, settings.text_pair_column, notes)
    return Examples(text, pair, label, tuple(range(len(text))))


def _note_overlap(train: Examples, validation: Examples, notes: list[str]) -> None:
    known = set(zip(train.text, train.text_pair or train.text, strict=True))
    rows = zip(validation.text, validation.text_pair or validation.text, strict=True)
    shared = sum(row in known for row in rows)
    if shared:
        notes.append(
            f"{shared:,} of {len(validation):,} validation rows are also in the training data, so "
            "the metric will look better than it is"
        )
