"""The formats of users' own files, by their endings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calisr_engine.errors import DataError
from calisr_engine.tasks.delimited import read_csv, read_tsv
from calisr_engine.tasks.files import read_text
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
}


def read_table(path: Path, names: Sequence[str]) -> Table:
    """Read the named columns of one of the user's own files.

    Raises:
        DataError: it cannot be read, is empty, is not what its ending says, or lacks a column.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise DataError(
            f"{path}: files ending in {path.suffix or 'nothing'} are not read",
            "use a CSV, TSV, JSONL or Parquet file (.csv, .tsv, .jsonl, .parquet)",
        )
    names = list(dict.fromkeys(names))  # one column may serve twice
    if form == "parquet":
        table = read_parquet(path, names)
    else:
        text = read_text(path)
        if form == "jsonl":
            table = read_json_lines(path, text, names)
        else:
            table = (read_csv if form == "csv" else read_tsv)(path, text)
    if not len(table):
        raise DataError(f"{path}: there is no row of data below the header", "add rows to it")
    for name in names:
        table.column(name)
    return table
