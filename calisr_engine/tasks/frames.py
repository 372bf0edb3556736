"""Rows that a Python program holds, as a Parquet file that a run can read again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calisr_engine.errors import DataError, retold
from calisr_engine.plain_words import counted, quoted
from calisr_engine.tasks.cells import is_missing

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = "a pandas DataFrame, a datasets.Dataset, a dict of columns or a list of dicts"


def write_rows(rows: Any, path: Path) -> None:
    """Write rows to a Parquet file; numbered classes of `datasets` get their names.

    Raises:
        DataError: they are nothing that can be written; the message names the column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        parquet.write_table(_table(rows), path)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"these rows cannot be written as Parquet: {_reason(error)}", f"give {KINDS}"
        ) from error


@contextlib.contextmanager
def told_by_keyword(files: Mapping[Path, str], spoken: Callable[[str], str]) -> Iterator[None]:
    """Errors of the block name the keyword that rows were given by, in the place of the file that
    they passed through, and are `spoken` as to a program."""

    def told(text: str) -> str:
        for path, word in files.items():
            text = text.replace(str(path), word)
        return spoken(text)

    with retold(told):
        yield


def _table(rows: Any) -> pa.Table:
    """The rows as an Arrow table. Libraries are known by their modules, so none is imported."""

    library = type(rows).__module__.partition(".")[0]
    if library == "pandas" and hasattr(rows, "columns"):
        return _of_pandas(rows)
    if library == "datasets" and hasattr(rows, "features"):
        return _of_datasets(rows)
    if library == "datasets":
        raise DataError(
            f"a {type(rows).__name__} is not one set of rows", 'give a split, such as data["train"]'
        )
    if isinstance(rows, Mapping):
        return _of_columns({str(name): _cells(str(name), cells) for name, cells in rows.items()})
    if isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return _of_columns({str(name): [row.get(name) for row in rows] for name in names})
    what = "an empty list" if isinstance(rows, list) and not rows else f"a {type(rows).__name__}"
    raise DataError(f"{what} is no data to train on", f"give a path, or {KINDS}")


def _cells(name: str, column: Any) -> list[Any]:
    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
        raise DataError(
            f"the column {quoted(name)} is a {type(column).__name__}, not a list of cells",
            'of a DataFrame give itself, or to_dict("list")',
        )
    return list(column)


def _of_columns(columns: Mapping[str, list[Any]]) -> pa.Table:
    import pyarrow as pa

    lengths = {len(cells): name for name, cells in columns.items()}
    if len(lengths) > 1:
        told = [f"{quoted(name)} has {counted(count, 'row')}" for count, name in lengths.items()]
        raise DataError(f"the column {' and '.join(told)}", "give each column a cell a row")
    arrays = {}
    for name, cells in columns.items():
        try:
            arrays[name] = pa.array(cells)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise _unwritten(name, cells, error) from error
    return pa.table(arrays)


def _of_pandas(frame: Any) -> pa.Table:
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"there are {names.count(name)} columns named {quoted(name)}", "rename all but one"
            )
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        for at, name in enumerate(names):
            column = frame.iloc[:, at]
            try:
                pa.array(column)
            except (pa.ArrowException, TypeError, ValueError) as reason:
                raise _unwritten(name, list(column), reason) from reason
        raise DataError(
            f"this DataFrame cannot be written as Parquet: {_reason(error)}",
            "make its columns texts or numbers",
        ) from error
    for field in table.schema:
        # Others would be read as the numbers that pandas stores them as.
        if str(getattr(field.type, "extension_name", "")).startswith("pandas."):
            kind = frame.iloc[:, table.schema.get_field_index(field.name)].dtype
            raise _unwritten(field.name, (), TypeError(f"its type is {kind}"))
    return table


def _unwritten(name: str, cells: Iterable[Any], error: Exception) -> DataError:
    """A column that Parquet has no type for."""
    kinds = sorted({type(cell).__name__ for cell in cells if not is_missing(cell)})
    reason = f"it has cells of {' and '.join(kinds)}" if len(kinds) > 1 else _reason(error)
    return DataError(
        f"the column {quoted(name)} cannot be written as Parquet: {reason}",
        "make all its cells texts (astype(str) of a DataFrame), or all numbers, or leave it out",
    )


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


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
