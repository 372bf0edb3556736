"""The official GLUE files from a local folder, with their quirks.

Quotes are plain characters; CoLA has no header row except in its test file; MRPC begins with a
byte-order mark; MNLI has two validation sets; test files may be missing. Lines with a wrong number
of cells (there are a few in the official QQP) are left out, as `datasets` does, and counted.
"""

from __future__ import annotations

import os
from pathlib import Path

from calisr_engine.errors import DataError, UnavailableError
from calisr_engine.tasks import cells, labels
from calisr_engine.tasks.delimited import read_plain_tsv
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.files import is_there, read_text
from calisr_engine.tasks.glue import plain
from calisr_engine.tasks.glue_task import GlueTask
from calisr_engine.tasks.source import Source
from calisr_engine.tasks.table import Table

MOST_BROKEN_LINES = 0.01
"""Share of lines with a wrong number of cells above which a file is refused."""

OTHER_FILES: dict[str, tuple[str, ...]] = {
    "../AX/AX.tsv": ("../AX/test.tsv", "../diagnostic/diagnostic.tsv")
}


def read(task: GlueTask, data_dir: Path) -> Source:
    """Read a task's train and validation files, and the test files that there are.

    Raises:
        UnavailableError: no folder of that task in `data_dir`, or no file that is needed.
        DataError: a file is there and cannot be used.
    """
    folder = find_folder(task, data_dir)
    notes: list[str] = []
    train = _labelled(task, folder / task.train_file, "train", notes)
    validation: dict[str, Examples] = {}
    for name, (file, _) in task.validation.items():
        path = folder / file
        if validation and not is_there(path):
            notes.append(f"{path} is missing, so {task.title} is evaluated without it")
            continue
        validation[name] = _labelled(task, path, name, notes)
    test = {}
    for name, (file, _) in task.test.items():
        found = _test_file(folder, file)
        if found is not None:
            size = "test" if name == "test" else f"test/{name}"
            test[name] = _unlabelled(task, found, size, notes)
    return Source.of_task(task, train, validation, test, notes)


def read_test(task: GlueTask, data_dir: Path, name: str) -> Examples:
    """One test set alone; the train and validation files may be missing.

    Raises:
        UnavailableError: no folder of that task in `data_dir`, or no such file in it.
        DataError: the file is there and cannot be used.
    """
    folder, file = find_folder(task, data_dir), task.test[name][0]
    path = _test_file(folder, file)
    if path is None:
        raise UnavailableError(
            f"there is no test file {os.path.normpath(folder / file)}",
            "put the official file there",
        )
    return _unlabelled(task, path, "test" if name == "test" else f"test/{name}", [])


def _test_file(folder: Path, file: str) -> Path | None:
    """Where a test file lies, under any of the names that official downloads give it."""
    for each in (file, *OTHER_FILES.get(file, ())):
        if is_there(folder / each):
            return folder / each
    return None


def find_folder(task: GlueTask, data_dir: Path) -> Path:
    """The task's folder: in `data_dir`, in its glue_data, or `data_dir` itself; any spelling.

    Raises:
        UnavailableError: it is nowhere there.
        DataError: `data_dir` is a file.
    """
    wanted = {plain(task.name), plain(task.title), plain(task.folder)}
    try:
        if data_dir.is_file():
            raise DataError(
                f"{data_dir}: this is a file, not a folder",
                "--data-dir takes the folder that holds one folder a task",
            )
        if not data_dir.is_dir():
            raise UnavailableError(f"{data_dir}: there is no such folder", "check --data-dir")
        inside = sorted(each for each in data_dir.iterdir() if each.is_dir())
        deeper = [
            e
            for each in inside
            if plain(each.name) in ("glue", "gluedata", "superglue")
            for e in sorted(each.iterdir())
            if e.is_dir()
        ]
    except OSError as error:
        raise DataError(
            f"{data_dir}: it cannot be read: {error.strerror}", "check its permissions"
        ) from error
    for each in [*inside, *deeper]:
        if plain(each.name) in wanted:
            return each
    if is_there(data_dir / task.train_file) and plain(data_dir.resolve().name) in wanted:
        return data_dir
    found = ", ".join(each.name for each in inside[:12]) or "no folder at all"
    raise UnavailableError(
        f"{data_dir}: there is no folder of {task.title} in it (found: {found})",
        f"put the official files into {data_dir / task.folder}",
    )


def _labelled(task: GlueTask, path: Path, size: str, notes: list[str]) -> Examples:
    table = _table(path, task.bare_header or None, notes)
    label: tuple[int, ...] | tuple[float, ...]
    if task.kind == "regression":
        label = cells.targets(table, task.file_label, notes)
    else:
        raw = [str(cell).strip() for cell in table.column(task.file_label)]
        label = labels.class_numbers(table, task.file_label, raw, task.file_labels)
    text, pair = _texts(task, table)
    word = "train" if size == "train" else "validation"
    if size not in ("train", "validation"):
        word = f"{size} validation set"
    _note_size(task, len(text), size, word, notes)
    return Examples(text, pair, label, _index(table))


def _unlabelled(task: GlueTask, path: Path, size: str, notes: list[str]) -> Examples:
    table = _table(path, None, notes)
    text, pair = _texts(task, table)
    _note_size(task, len(text), size, size.replace("/", " "), notes)
    return Examples(text, pair, None, _index(table))


def _texts(task: GlueTask, table: Table) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    columns = [tuple(map(str, table.column(name))) for name in task.file_columns]
    return columns[0], columns[1] if task.is_pair else None


def _table(path: Path, bare: tuple[str, ...] | None, notes: list[str]) -> Table:
    """Read one official file; `bare` names the columns of a file without header row."""
    text = read_text(path)
    if bare is not None and "sentence" in text.split("\n", 1)[0].strip().split("\t"):
        bare = None
    table = read_plain_tsv(path, text, bare, tolerant=True)
    if not len(table):
        if table.short:
            raise DataError(
                f"{path}, line {table.short[0]}: the fields do not fit the "
                f"{len(table.header)} columns {', '.join(table.header)}",
                "give the official tab-separated file",
            )
        raise DataError(f"{path}: there is no row of data in it", "give the official file")
    if len(table.short) > MOST_BROKEN_LINES * (len(table) + len(table.short)):
        raise DataError(
            f"{path}, line {table.short[0]}: wrong number of fields, and in "
            f"{len(table.short) - 1:,} more lines",
            f"the official file has {len(table.header)} fields separated by tabs in each line",
        )
    if table.short:
        notes.append(
            f"{path}: {len(table.short):,} broken lines are left out, the first is line "
            f"{table.short[0]}"
        )
    return table


def _index(table: Table) -> tuple[int | str, ...]:
    """The row numbers that a submission needs, or 0, 1, 2, ... where the file has none."""
    name = next((each for each in ("index", "id") if each in table.header), None)
    if name is None:
        return tuple(range(len(table)))
    return tuple(int(cell) if cell.isdecimal() else cell for cell in table.column(name))


def _note_size(task: GlueTask, count: int, size: str, word: str, notes: list[str]) -> None:
    official = task.sizes[size]
    if count != official:
        notes.append(f"this folder's {task.title} {word} has {count:,} of {official:,} rows")
