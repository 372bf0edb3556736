"""A user's own CSV, TSV, JSONL or Parquet files as training and validation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calisr_engine.errors import DataError, concerning
from calisr_engine.plain_words import quoted
from calisr_engine.tasks import cells, choices, hub_parquet, label_sets, labels, tagged
from calisr_engine.tasks.examples import Examples, Labels
from calisr_engine.tasks.formats import Form, read_table
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source
from calisr_engine.tasks.split import split_rows
from calisr_engine.tasks.table import Table

COLUMNS = ("text_column", "text_pair_column", "label_column", "label_columns", "choice_columns")
"""Settings that name a column, or several."""


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
            named = [key for key in COLUMNS if error.column in _named(settings, key)]
            error.keys = tuple(f"task.{key}" for key in named)
        raise


def _named(settings: TaskSettings, key: str) -> tuple[str, ...]:
    """The columns that a setting names."""
    value = getattr(settings, key)
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _read(settings: TaskSettings, known: Table | None) -> Source:
    assert settings.text_column is not None
    assert settings.kind is not None
    notes: list[str] = []
    pair = settings.text_pair_column
    texts = [settings.text_column] if pair is None else [settings.text_column, pair]
    texts += settings.choice_columns or ()
    tables = _tables(settings, texts, known)
    labelled = [tables.train] if tables.validation is None else [tables.train, tables.validation]
    for table in labelled if tables.test is None else [*labelled, tables.test]:
        _note_form(table, notes)
    classes, rows = _labelled(labelled, settings, notes)
    train, tests = rows[0], {}
    if tables.validation is None:
        train, validation = _set_aside(tables.train, train, settings, classes, notes)
    else:
        validation = rows[1]
        _note_absent(train, validation, settings, classes, notes)
        _note_overlap(train, validation, notes)
    if tables.test is not None:
        tests["test"] = _examples(tables.test, settings, None, notes)
    return Source(
        name=settings.name,
        kind=settings.kind,
        label_names=classes,
        metrics=default_metrics(settings.kind, len(classes), spans=tagged.marks_entities(classes)),
        train=train,
        validation={"validation": validation},
        test=tests,
        notes=tuple(dict.fromkeys(notes)),  # one file may serve twice
    )


def _labelled(
    tables: list[Table], settings: TaskSettings, notes: list[str]
) -> tuple[tuple[str, ...], list[Examples]]:
    """Class names, none for a regression, and the rows of each table; the first one trains."""
    text, label = settings.text_column, settings.label_column
    assert text is not None
    if settings.kind == "token":
        assert label is not None
        with concerning("task.text_column", "task.kind"):
            return tagged.read(tables, text, label, notes)
    classes: tuple[str, ...] = ()
    numbers: Sequence[Labels]
    if settings.kind == "multi_label":
        key = "task.label_columns" if settings.label_columns else "task.label_column"
        with concerning(key, "task.label_separator", "task.kind"):
            classes, numbers = label_sets.read(tables, settings, notes)
    else:
        assert label is not None
        with concerning("task.label_column", "task.kind"):
            if settings.kind == "classification":
                classes, numbers = _classes(tables, label, notes)
            elif settings.kind == "choice":
                classes = settings.choice_columns or ()
                numbers = choices.numbers(tables, label, classes)
            else:
                targets = [cells.targets(each, label, notes) for each in tables]
                cells.check_spread(tables[0], label, targets[0])
                numbers = targets
    rows = [_examples(table, settings, numbers[place], notes) for place, table in enumerate(tables)]
    return classes, rows


def default_metrics(kind: str, classes: int, spans: bool = True) -> tuple[str, ...]:
    """The metrics of own data, the one that picks the best model first.

    Args:
        spans: whether the tags of words mark entities.
    """
    if kind == "regression":
        return ("spearman", "pearson")
    if kind == "multi_label":
        return ("micro_f1", "macro_f1", "subset_accuracy")
    if kind == "token":
        of_spans = ("span_f1", "span_precision", "span_recall")
        return (*of_spans, "accuracy") if spans else ("accuracy", "macro_f1")
    if kind == "choice":
        return ("accuracy",)
    return ("accuracy", "f1" if classes == 2 else "macro_f1")


@dataclass(frozen=True)
class _Tables:
    """Training, validation and test data; None for what is not given."""

    train: Table
    validation: Table | None = None
    test: Table | None = None


def _tables(settings: TaskSettings, texts: list[str], known: Table | None) -> _Tables:
    columns = [*texts, *settings.labels_in]
    if known is not None and not all(name in known.columns for name in columns):
        known = None  # what is wrong with a column is told as it is read
    validation = test = None
    if settings.dataset is not None:
        with concerning("task.dataset"):
            found = hub_parquet.find(settings.dataset)
        with concerning("task.train_split"):
            split = found.train_split(settings.train_split)
            train = known or found.table(split, columns)
        with concerning("task.validation_split"):
            name = found.validation_split(settings.validation_split)
            validation = None if name is None else found.table(name, columns)
        if settings.test_split is not None:
            with concerning("task.test_split"):
                test = found.table(found.named(settings.test_split), texts)
        return _Tables(train, validation, test)
    form = Form(settings.encoding, settings.header)

    def read(key: str, names: list[str]) -> Table | None:
        path: Path | None = getattr(settings, key)
        with concerning(f"task.{key}"):
            return None if path is None else read_table(path, names, form)

    if known is not None and settings.train_file is not None:
        train_table: Table | None = replace(known, path=settings.train_file)
    else:
        train_table = read("train_file", columns)
    assert train_table is not None
    return _Tables(train_table, read("validation_file", columns), read("test_file", texts))


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
    if not classes and len(set(train.label or ())) < 2:
        raise DataError(
            f"{table.path}: the {len(train):,} rows that are left to train have one value only",
            "give a validation file",
        )
    each = "class" if classes else "part of the range of targets"
    if settings.kind in ("multi_label", "token"):
        each = f"{'label' if settings.kind == 'multi_label' else 'tag'}, by the rarest of each row"
    elif settings.kind == "choice":
        each = "place of the right alternative"
    notes.append(
        f"no validation data is given: {len(validation):,} of the {len(rows):,} rows of "
        f"{table.path} are set aside to validate and {len(train):,} train (task.validation_share = "
        f"{settings.validation_share:g} of each {each}, task.split_seed = {settings.split_seed})"
    )
    if split.missing:
        shown = ", ".join(quoted(classes[number]) for number in split.missing[:5])
        notes.append(f"{shown} has one text only, which trains; no validation row has that label")
    _note_absent(train, validation, settings, classes, notes)
    return train, validation


def _note_absent(
    train: Examples,
    validation: Examples,
    settings: TaskSettings,
    classes: tuple[str, ...],
    notes: list[str],
) -> None:
    """Tell of labels that one side lacks, where a row can have several."""
    if settings.kind not in ("multi_label", "token"):
        return
    of = "label" if settings.kind == "multi_label" else "tag"
    for rows, side in ((train, "training"), (validation, "validation")):
        there = rows.classes()
        absent = [name for number, name in enumerate(classes) if number not in there]
        if absent:
            shown = ", ".join(map(quoted, absent[:5])) + (", ..." if len(absent) > 5 else "")
            notes.append(f"no {side} row has the {of} {shown}")


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


def _note_form(table: Table, notes: list[str]) -> None:
    """What is odd in how a file is written."""
    if table.encoding not in ("", "utf-8"):
        notes.append(f"{table.path} is read as {table.encoding}")
    notes += table.left_out


def _examples(
    table: Table, settings: TaskSettings, label: Labels | None, notes: list[str]
) -> Examples:
    assert settings.text_column is not None
    if settings.kind == "token":
        with concerning("task.text_column"):
            return tagged.without_tags(table, settings.text_column)
    if settings.choice_columns:
        with concerning("task.text_column", "task.text_pair_column"):
            text = choices.texts(table, settings.text_column, settings.text_pair_column, notes)
        with concerning("task.choice_columns"):
            alternatives = choices.alternatives(table, settings.choice_columns)
        return Examples(text, None, label, tuple(range(len(text))), choices=alternatives)
    pair = None
    with concerning("task.text_column"):
        text = cells.texts(table, settings.text_column, notes)
    if settings.text_pair_column is not None:
        with concerning("task.text_pair_column"):
            pair = cells.texts(table, settings.text_pair_column, notes)
    return Examples(text, pair, label, tuple(range(len(text))))


def _note_overlap(train: Examples, validation: Examples, notes: list[str]) -> None:
    known = set(train.texts)
    shared = sum(row in known for row in validation.texts)
    if shared:
        notes.append(
            f"{shared:,} of {len(validation):,} validation rows are also in the training data, so "
            "the metric will look better than it is"
        )
