"""Parquet files, of which only the named columns are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calisr_engine.errors import DataError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks.files import check_file, unreadable
from calisr_engine.tasks.table import Table, check_column


def read_parquet(path: Path, names: Sequence[str] | None) -> Table:
    """The named columns, or all that hold values or lists of words or whole numbers; the others do
    not matter. Numbers in lists that `datasets` has names for get these.

    Raises:
        DataError: not a Parquet file, damaged, or without such a column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    check_file(path)
    try:
        # Through a file of our own: Arrow takes some names for addresses, and all for UTF-8.
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{path}: the file is empty", "give a file with data")
            file.seek(0)
            opened = parquet.ParquetFile(file, page_checksum_verification=True)
            header = tuple(opened.schema_arrow.names)
            if names is None:
                plain = [each for each in opened.schema_arrow if _is_read(each.type)]
                names = [each.name for each in plain if header.count(each.name) == 1]
            for name in names:
                check_column(path, header, name)
            # A dotted name also brings a structure with such a part along; `column` takes its own.
            table = opened.read(columns=list(names))
            columns = {name: _values(path, name, table.column(name)) for name in names}
            for name, words in _names_in_lists(opened.schema_arrow.metadata).items():
                if name in columns:
                    columns[name] = [_named(cell, words) for cell in columns[name]]
    except pa.ArrowException as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is None:  # Arrow's own, about the content
            raise _damaged(path, error) from error
        raise unreadable(path, error) from error
    return Table(path, header, columns, range(1, table.num_rows + 1), "row")


def _is_read(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        value = kind.value_type
        strings = pa.types.is_string(value) or pa.types.is_large_string(value)
        return bool(strings or pa.types.is_integer(value))
    return not pa.types.is_nested(kind)


def _names_in_lists(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Column -> names of the numbers in its lists, as `datasets` writes them into its files."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    found = {}
    for name, feature in features.items() if isinstance(features, dict) else ():
        inner = feature.get("feature") if isinstance(feature, dict) else None
        words = inner.get("names") if isinstance(inner, dict) else None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            found[name] = words
    return found


def _named(cell: Any, words: Sequence[str]) -> Any:
    """A list of numbers as a list of their names; anything else as it is."""
    known = isinstance(cell, list) and all(
        isinstance(each, int) and 0 <= each < len(words) for each in cell
    )
    return [words[each] for each in cell] if known else cell


def _values(path: Path, name: str, column: Any) -> list[Any]:
    """Cells of a column as Python values."""
    try:
        values: list[Any] = column.to_pylist()
        return values
    except (ValueError, OverflowError) as error:
        row = next((row for row, cell in enumerate(column, 1) if not _has_value(cell)), 1)
        what = "a text that is not UTF-8" if isinstance(error, UnicodeError) else str(error)[:200]
        raise DataError(
            f"{path}, row {row}, column {quoted(name)}: {what}", "mend the cell, or remove the row"
        ) from error


def _has_value(cell: Any) -> bool:
    try:
        cell.as_py()
    except (ValueError, OverflowError):
        return False
    return True


def _damaged(path: Path, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return DataError(f"{path}: not a readable Parquet file ({reason})", "write the file anew")
