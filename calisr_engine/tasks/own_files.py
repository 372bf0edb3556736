"""A user's own CSV, TSV, JSONL or Parquet files as training and validation data."""

from __future__ import annotations

from calisr_engine.plain_words import quoted
from calisr_engine.tasks import cells, labels
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.formats import read_table
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source
from calisr_engine.tasks.table import Table


def read(settings: TaskSettings) -> Source:
    """Read the files that the settings name.

    Classes are those of the training file: whole numbers in their order, names in alphabetical
    order. Every label of the validation file must be one of them. `labels` says which labels are
    one class.

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
    pair = settings.text_pair_column
    texts = [text] if pair is None else [text, pair]
    train = read_table(settings.train_file, [*texts, label])
    validation = read_table(settings.validation_file, [*texts, label])
    train_labels: tuple[int, ...] | tuple[float, ...]
    validation_labels: tuple[int, ...] | tuple[float, ...]
    classes: tuple[str, ...] = ()
    if settings.kind == "classification":
        classes, train_labels, validation_labels = _classes(train, validation, label, notes)
    else:
        train_labels = cells.targets(train, label)
        validation_labels = cells.targets(validation, label)
        cells.check_spread(train, label, train_labels)
    train_rows = _examples(train, settings, train_labels, notes)
    validation_rows = _examples(validation, settings, validation_labels, notes)
    _note_overlap(train_rows, validation_rows, notes)
    tests = {}
    if settings.test_file is not None:
        tests["test"] = _examples(read_table(settings.test_file, texts), settings, None, notes)
    return Source(
        name=settings.name,
        kind=settings.kind,
        label_names=classes,
        metrics=("spearman", "pearson")
        if settings.kind == "regression"
        else ("accuracy", "f1" if len(classes) == 2 else "macro_f1"),
        train=train_rows,
        validation={"validation": validation_rows},
        test=tests,
        notes=tuple(dict.fromkeys(notes)),  # one file may serve twice
    )


def _classes(
    train: Table, validation: Table, label: str, notes: list[str]
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Class names, and the class numbers of both files."""
    files = labels.class_labels([train, validation], label)
    labels.check_no_label([train, validation], label, files, notes)
    names = labels.class_names(train, label, files[0])
    notes.extend(labels.look_alikes(names))
    notes.extend(labels.marks(names))
    numbers = labels.class_numbers(train, label, files[0], names)
    validation_numbers = labels.class_numbers(validation, label, files[1], names)
    absent = sorted(set(range(len(names))) - set(validation_numbers))
    if absent:
        shown = ", ".join(quoted(names[each]) for each in absent[:5])
        notes.append(f"{validation.path} has no row with the label {shown}")
    return names, numbers, validation_numbers


def _examples(
    table: Table,
    settings: TaskSettings,
    label: tuple[int, ...] | tuple[float, ...] | None,
    notes: list[str],
) -> Examples:
    assert settings.text_column is not None
    if table.blank:
        notes.append(
            f"{table.path}: {len(table.blank):,} lines without any cell are left out, the first is "
            f"line {table.blank[0]}"
        )
    text = cells.texts(table, settings.text_column, notes)
    pair = None
    if settings.text_pair_column is not None:
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
