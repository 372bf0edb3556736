"""From a file, a folder or the name of a data set to the settings of [task], each with its reason.

Nothing that was given is changed, but for a folder in the place of a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from calisr_engine.errors import DataError, concerning
from calisr_engine.plain_words import quoted
from calisr_engine.preview import folders, roles
from calisr_engine.preview.alternatives import alternatives
from calisr_engine.preview.columns import Column, columns
from calisr_engine.preview.several import several
from calisr_engine.tasks import hub_parquet
from calisr_engine.tasks.conll import PLAIN
from calisr_engine.tasks.files import decoded, read_bytes
from calisr_engine.tasks.formats import FORMATS, Form, read_table
from calisr_engine.tasks.own_files import default_metrics
from calisr_engine.tasks.own_names import task_name
from calisr_engine.tasks.table import Table, check_column

FALLBACKS = ("cp1252", "latin-1")
"""Encodings of one byte a character; the second reads everything."""


@dataclass(frozen=True)
class Guessed:
    """Settings that were not given.

    Attributes:
        table: the training data, with every column that can be used.
        values: by name within [task].
        why: the reason for each.
        splits: of a data set of the hub.
    """

    table: Table
    columns: tuple[Column, ...]
    values: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    splits: tuple[str, ...] = ()


def guess(given: Mapping[str, Any]) -> Guessed:
    """Settings of [task] for the data that `given` names.

    Args:
        given: settings by their name within [task], `train_file` or `dataset` among them.

    Raises:
        DataError: the data cannot be read, or has no column for a text or a label.
        UnavailableError: a data set that is neither here nor in reach.
    """
    found: dict[str, roles.Guess] = {}
    given = dict(given)
    files: dict[str, Path] = {}
    splits: tuple[str, ...] = ()
    if given.get("dataset") is None:
        files = _files(given, found)
        form = _form(given, files, found)
        table = read_table(files["train_file"], None, form)
        if "header" not in given and table.separator and form.header:
            why = headless(table)
            if why:
                found["header"] = roles.Guess("false", why)
                table = read_table(files["train_file"], None, replace(form, header=False))
    else:
        data = hub_parquet.find(given["dataset"])
        with concerning("task.train_split"):
            split = data.train_split(given.get("train_split"))
        table, splits = data.table(split, None), tuple(data.splits)
    for key in ("text_column", "text_pair_column", "label_column"):
        if given.get(key) is not None:
            check_column(table.path, table.header, given[key])
    for name in (*(given.get("label_columns") or ()), *(given.get("choice_columns") or ())):
        check_column(table.path, table.header, name)
    described = columns(table)
    more = alternatives(given, described)
    if not more.values:
        more = several(given, table, described)
    _columns({**given, **more.values}, described, found)
    if "name" not in given:
        source = files.get("train_file", Path(str(given.get("dataset"))))
        found["name"] = roles.Guess(task_name(source), "the name of the data")
    values: dict[str, Any] = {**more.values, **{key: each.value for key, each in found.items()}}
    values |= {key: path for key, path in files.items() if given.get(key) != path}
    if "header" in values:
        values["header"] = False
    reasons = {**more.why, **{key: each.why for key, each in found.items()}}
    return Guessed(table, described, values, reasons, splits)


def _files(given: Mapping[str, Any], found: dict[str, roles.Guess]) -> dict[str, Path]:
    """The files that are read; a folder gives those that are not named."""
    keys = ("train_file", "validation_file", "test_file")
    files = {key: Path(given[key]).expanduser() for key in keys if given.get(key) is not None}
    folder = files["train_file"]
    if folder.is_dir():
        inside = folders.find(folder)
        for use in ("train", "validation", "test"):
            path = getattr(inside, use)
            if path is not None and (use == "train" or f"{use}_file" not in given):
                files[f"{use}_file"] = path
                found[f"{use}_file"] = roles.Guess(str(path), inside.why[use])
    return files


def _form(
    given: Mapping[str, Any], files: Mapping[str, Path], found: dict[str, roles.Guess]
) -> Form:
    """Encoding and header as given; a fallback encoding where one of the files needs it."""
    encoding = given.get("encoding")
    if encoding is None:
        for key, path in files.items():
            with concerning(f"task.{key}"):
                needed = _fallback(path)
            if needed is not None:
                encoding = needed
                found["encoding"] = roles.Guess(
                    needed,
                    f"{path.name} is not UTF-8; look at the accents in its rows, and name another "
                    "encoding where they are wrong",
                )
    return Form(encoding, given.get("header", True))


def _fallback(path: Path) -> str | None:
    """The encoding that reads a file which is not UTF-8; None where UTF-8 or none does.

    Raises:
        DataError: the file cannot be read, or has NUL bytes, as a text file has not.
    """
    if FORMATS.get(path.suffix.lower(), "parquet") == "parquet":
        return None
    data = read_bytes(path)
    try:
        decoded(path, data)
    except DataError as refusal:
        if "is not UTF-8" not in refusal.message or b"\0" in data:
            raise
        for encoding in FALLBACKS:
            try:
                decoded(path, data, encoding)
            except DataError:
                continue
            return encoding
        raise
    return None


def headless(table: Table) -> str:
    """Why the first row seems to be data and no header; "" where it does not."""
    for column in columns(table):
        name = column.name.strip()
        if not name:
            continue
        if column.kind in ("whole", "number") and _is_number(name):
            return f"the first row has the number {quoted(name)} where a name is expected"
        if len(name.split()) > 7:
            return f"the first row has a text where a name is expected, {quoted(name, 40)}"
        if column.counts.get(name, 0) > 1 and column.distinct <= max(2, column.rows / 2):
            return f"{quoted(name)} in the first row is a value of that column"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(
    given: Mapping[str, Any], described: tuple[Column, ...], found: dict[str, roles.Guess]
) -> None:
    """Columns, kind and metric that are not given, of data with one label a row; the text alone of
    data with several."""
    names = ("text_column", "text_pair_column", "label_column")
    text, pair, label = (given.get(name) for name in names)
    labels = given.get("label_columns") or ()
    choices = given.get("choice_columns") or ()
    free = tuple(each for each in described if each.name not in (*labels, *choices))
    guessed = roles.roles(free, text, pair, label)
    each_is = [guessed.text, guessed.pair, guessed.label]
    if given.get("kind") == "token":
        each_is[1] = None
    if labels:
        each_is[2] = None
    for key, each in zip(names, each_is, strict=True):
        if each is not None and key not in given:
            found[key] = each
    named = label if label is not None else each_is[2].value if each_is[2] else None
    column = next((each for each in described if each.name == named), None)
    if column is None:
        return
    kind = given.get("kind")
    if kind is None:
        found["kind"] = roles.kind_of(column)
        kind = found["kind"].value
    if "metric" not in given and kind in ("classification", "regression"):
        metric = roles.metric_of(column, kind)
        if metric.value != default_metrics(kind, column.distinct)[0]:
            found["metric"] = metric


def lacking(
    values: Mapping[str, Any], described: tuple[Column, ...], path: Path
) -> DataError | None:
    """The sentence for a role that nobody gave and no column has; None where all is known."""
    roles_of = [("text_column", "--text", "a text"), ("label_column", "--label", "a label")]
    if values.get("kind") == "choice":
        roles_of.insert(0, ("choice_columns", "--choices", "an alternative"))
    for key, option, what in roles_of:
        if values.get(key) is None and not (key == "label_column" and values.get("label_columns")):
            twice = [quoted(each.name) for each in described if each.kind == "repeated"]
            if twice:
                return DataError(
                    f"{path}: no column looks like {what}, and several are named {twice[0]}",
                    "rename all but one",
                )
            names = ", ".join(quoted(each.name) for each in described[:12])
            mend = f"name it with {option}; columns: {names}"
            if path.suffix.lower() == ".txt":
                mend += f"; a .txt file is read as words, each with a tag{PLAIN}"
            elif key == "text_column" and any(each.kind == "list" for each in described):
                mend += "; for lists of words, each with a tag, say --kind token"
            nested = [quoted(each.name) for each in described if each.kind == "nested"]
            if nested:
                mend += f"; {nested[0]} holds lists or objects: make their fields columns"
            return DataError(f"{path}: no column looks like {what}", mend)
    return None
