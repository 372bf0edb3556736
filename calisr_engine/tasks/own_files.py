"""A user's own CSV, TSV, JSONL or Parquet files as training and validation data."""

from __future__ import annotations

from calisr_engine.errors import DataError
from calisr_engine.tasks import cells
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source
from calisr_engine.tasks.tables import Table, read_table


def read(settings: TaskSettings) -> Source:
    """Read the files that the settings name.

    Classes are those of the training file: whole numbers in their order, names in alphabetical
    order. Every label of the validation file must be one of them.

    Raises:
        DataError: a file, a column or a cell cannot be used; the message says which.
    """
    text, label = settings.text_column, settings.label_column
    assert settings.train_file is not None
    assert settings.validation_file is not None
    assert text is not None
    assert label is not None
    assert settings.kind is not None
    notes: list[str] = []
    train = read_table(settings.train_file)
    validation = read_table(settings.validation_file)
    train_labels: tuple[int, ...] | tuple[float, ...]
    validation_labels: tuple[int, ...] | tuple[float, ...]
    names: tuple[str, ...] = ()
    if settings.kind == "classification":
        train_classes = cells.class_cells(train, label)
        names = cells.class_names(train, label, train_classes)
        train_labels = cells.class_numbers(train, label, train_classes, names)
        validation_classes = cells.class_cells(validation, label)
        validation_labels = cells.class_numbers(validation, label, validation_classes, names)
        absent = sorted(set(range(len(names))) - set(validation_labels))
        if absent:
            shown = ", ".join(repr(names[int(each)]) for each in absent[:5])
            notes.append(f"{validation.path} has no row with the label {shown}")
    else:
        train_labels = cells.targets(train, label)
        validation_labels = cells.targets(validation, label)
        if len(set(train_labels)) == 1:
            raise DataError(
                f"{train.path}, column {label!r}: every row has the value {train_labels[0]}",
                "there is nothing to learn from one value; name another column",
            )
    train_rows = _examples(train, settings, train_labels, notes)
    validation_rows = _examples(validation, settings, validation_labels, notes)
    _note_overlap(train_rows, validation_rows, notes)
    tests = {}
    if settings.test_file is not None:
        tests["test"] = _examples(read_table(settings.test_file), settings, None, notes)
    binary = len(names) == 2
    return Source(
        name=settings.name,
        kind=settings.kind,
        label_names=names,
        metrics=("spearman", "pearson")
        if settings.kind == "regression"
        else ("accuracy", "f1" if binary else "macro_f1"),
        train=train_rows,
        validation={"validation": validation_rows},
        test=tests,
        notes=tuple(notes),
    )


def _examples(
    table: Table,
    settings: TaskSettings,
    labels: tuple[int, ...] | tuple[float, ...] | None,
    notes: list[str],
) -> Examples:
    assert settings.text_column is not None
    text = cells.texts(table, settings.text_column)
    pair = None
    if settings.text_pair_column is not None:
        pair = cells.texts(table, settings.text_pair_column)
    empty = [row for row, each in enumerate(text) if not each.strip()]
    if empty:
        notes.append(
            f"{table.path}: {len(empty):,} of {len(text):,} texts are empty, the first in "
            f"{table.place} {table.lines[empty[0]]}"
        )
    return Examples(text, pair, labels, tuple(range(len(text))))


def _note_overlap(train: Examples, validation: Examples, notes: list[str]) -> None:
    known = set(zip(train.text, train.text_pair or train.text, strict=True))
    rows = zip(validation.text, validation.text_pair or validation.text, strict=True)
    shared = sum(row in known for row in rows)
    if shared:
        notes.append(
            f"{shared:,} of {len(validation):,} validation rows are also in the training data, so "
            "the metric will look better than it is"
        )
