"""The formats of users' own files, by their endings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calisr_engine.errors import DataError
from calisr_engine.tasks.conll import read_conll
from calisr_engine.tasks.delimited import read_csv, read_tsv
from calisr_engine.tasks.files import decoded, read_bytes
from calisr_engine.tasks.json_lines import read_json_lines
from calisr_engine.tasks.parquet import read_parquet
from calisr_engine.tasks.table import Table

FORMATS: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".conll": "conll",
    ".conllu": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bioes": "conll",
    ".txt": "conll",
}


@dataclass(frozen=True)
class Form:
    """What a text file does not say of itself.

    Attributes:
        encoding: of files that are neither UTF-8 nor UTF-16 with a mark; None refuses them.
        header: whether the first row of a CSV or TSV file names the columns.
    """

    encoding: str | None = None
    header: bool = True


AS_USUAL = Form()


def format_of(path: Path) -> str:
    """csv, tsv, jsonl, parquet or conll.

    Raises:
        DataError: the ending is that of no format which is read.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None and path.is_dir():
        raise DataError(f"{path} is a folder", "name a file; only --train takes a folder")
    if form is None:
        raise DataError(
            f"{path}: files ending in {path.suffix or 'nothing'} are not read",
            "use a CSV, TSV, JSONL or Parquet file (.csv, .tsv, .jsonl, .parquet), or for words "
            "with tags one in the format of CoNLL (.conll, .txt)",
        )
    return form


def read_table(path: Path, names: Sequence[str] | None, form: Form = AS_USUAL) -> Table:
    """Read the named columns of one of the user's own files; with None, all that can be used.

    Raises:
        DataError: it cannot be read, is empty, is not what its ending says, or lacks a column.
    """
    kind = format_of(path)
    if names is not None:
        names = list(dict.fromkeys(names))  # one column may serve twice
    if kind == "parquet":
        table = read_parquet(path, names)
    else:
        text, encoding = decoded(path, read_bytes(path), form.encoding)
        if kind == "conll":
            alone = names is not None and len(names) == 1
            table = read_conll(path, text, least=1 if alone else 2)
        elif kind == "jsonl":
            table = read_json_lines(path, text, names)
        else:
            table = (read_csv if kind == "csv" else read_tsv)(path, text, form.header)
        table = replace(table, encoding=encoding)
    if not len(table):
        raise DataError(f"{path}: there is no row of data below the header", "add rows to it")
    for name in names or ():
        table.column(name)
    return table
