"""Rows of predictions as a Parquet file: numbers stay numbers, lists stay lists."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calisr_engine.tasks.prediction_table import PROBABILITY

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = 10_000
"""Rows that are held before they are written."""


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as `prediction_files.record` gives them, each class in a column of its own;
    returns how many.

    Raises:
        OSError: the file cannot be written.
    """
    from pyarrow import Table, parquet

    rest = map(_by_column, rows)
    first = next(rest, None)
    if first is None:
        raise ValueError("there are no rows, so their columns are not known")
    schema, count = _schema(first), 0
    with parquet.ParquetWriter(path, schema) as writer:
        for group in _groups(itertools.chain([first], rest)):
            writer.write_table(Table.from_pylist(group, schema))
            count += len(group)
    return count


def write_table(path: Path, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of which some lack some columns.

    Raises:
        OSError: the file cannot be written.
    """
    from pyarrow import parquet, table

    parquet.write_table(table({name: [row.get(name) for row in rows] for name in names}), path)


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while group := list(itertools.islice(rows, GROUP)):
        yield group


def _by_column(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = dict(row)
    if isinstance(shares := flat.get("probabilities"), dict):
        del flat["probabilities"]
        flat |= {f"{PROBABILITY}{name}": share for name, share in shares.items()}
    return flat


def _schema(row: Mapping[str, Any]) -> pa.Schema:
    """Types by name and first value: a list may be empty, or say nothing of its entries."""
    import pyarrow as pa

    entity = {"type": pa.string(), "start": pa.int64(), "end": pa.int64(), "text": pa.string()}
    lists = {
        "probabilities": pa.float64(),
        "entities": pa.struct({**entity, "probability": pa.float64()}),
    }

    def type_of(name: str, value: object) -> pa.DataType:
        if isinstance(value, list):
            return pa.list_(lists.get(name, pa.string()))
        return pa.float64() if isinstance(value, float) else pa.string()

    return pa.schema({name: type_of(name, value) for name, value in row.items()})
