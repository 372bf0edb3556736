"""Rows that a Python program holds, as a Parquet file that a run can read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calisr_engine.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = "a pandas DataFrame, a datasets.Dataset, a dict of columns or a list of dicts"


def write_rows(rows: Any, path: Path) -> None:
    """Write rows to a Parquet file; numbered classes of `datasets` get their names.

    Raises:
        DataError: they are nothing that can be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        parquet.write_table(_table(rows), path)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"these rows cannot be written as Parquet: {reason}", f"give {KINDS}"
        ) from (error)


def _table(rows: Any) -> pa.Table:
    """The rows as an Arrow table. Libraries are known by their modules, so none is imported."""
    import pyarrow as pa

    library = type(rows).__module__.partition(".")[0]
    if library == "pandas":
        return pa.Table.from_pandas(rows, preserve_index=False)
    if library == "datasets" and hasattr(rows, "features"):
        return _of_datasets(rows)
    if library == "datasets":
        raise DataError(
            f"a {type(rows).__name__} is not one set of rows", 'give a split, such as data["train"]'
        )
    if isinstance(rows, Mapping):
        return pa.table({str(name): list(column) for name, column in rows.items()})
    if isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows):
        return pa.Table.from_pylist(list(rows))
    raise DataError(f"a {type(rows).__name__} is no data to train on", f"give a path, or {KINDS}")


def _of_datasets(rows: Any) -> pa.Table:
    import pyarrow as pa

    table = rows.with_format("arrow")[:]
    for at, (name, feature) in enumerate(rows.features.items()):
        names = getattr(feature, "names", None)
        inner = getattr(getattr(feature, "feature", None), "names", None)
        if inner is not None:
            lists = table.column(name).to_pylist()
            cells = [None if each is None else [inner[n] for n in each] for each in lists]
            table = table.set_column(at, name, pa.array(cells, pa.list_(pa.string())))
        if names is None:
            continue
        numbers = table.column(name).to_pylist()  # None and -1 are rows without a label
        words = [None if each is None or each < 0 else names[each] for each in numbers]
        table = table.set_column(at, name, pa.array(words, pa.string()))
    return table
