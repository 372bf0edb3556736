"""Reading CSV, TSV, JSONL and Parquet files, with errors that name file, line and column.

CSV is read with CSV quoting (fields separated by commas, or by semicolons where the header has
no comma). TSV is read without: a quote is a plain character, as in the GLUE files, unless every
name in the header row is quoted. Text is UTF-8, with or without byte-order mark.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calisr_engine.errors import DataError

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


@dataclass(frozen=True)
class Table:
    """A file's rows.

    Attributes:
        header: column names.
        rows: cells in the order of the header; None where a row has no value.
        lines: 1-based line (row, for Parquet) where each row begins.
        place: what to call those numbers, "line" or "row".
        short: lines with too few or too many cells that were left out (only where allowed).
    """

    path: Path
    header: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    lines: Sequence[int]
    place: str = "line"
    short: tuple[int, ...] = ()

    def column(self, name: str) -> list[Any]:
        """Cells of a column.

        Raises:
            DataError: there is no such column, or more than one.
        """
        found = self.header.count(name)
        if found > 1:
            raise DataError(
                f"{self.path}: the header has {found} columns named {name!r}", "rename all but one"
            )
        if not found:
            near = difflib.get_close_matches(
                name.lower(), [each.lower() for each in self.header], n=1, cutoff=0.4
            )
            meant = next((h for h in self.header if near and h.lower() == near[0]), None)
            raise DataError(
                f"{self.path}: there is no column {name!r}",
                (f"did you mean {meant!r}? " if meant is not None else "")
                + f"columns: {', '.join(map(repr, self.header[:20]))}",
            )
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def at(self, row: int) -> str:
        """Where a row stands, for messages: "FILE, line 7"."""
        return f"{self.path}, {self.place} {self.lines[row]}"


def read_table(path: Path) -> Table:
    """Read one of the user's own files, by its ending.

    Raises:
        DataError: it cannot be read, is empty, or is not what its ending says.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise DataError(
            f"{path}: files ending in {path.suffix or 'nothing'} are not read",
            "use a CSV, TSV, JSONL or Parquet file (.csv, .tsv, .jsonl, .parquet)",
        )
    if form == "parquet":
        table = _read_parquet(path)
    else:
        text = read_text(path)
        readers = {"csv": _read_csv, "tsv": _read_tsv, "jsonl": _read_jsonl}
        table = readers[form](path, text)
    if not table.rows:
        raise DataError(f"{path}: there is no row of data below the header", "add rows to it")
    return table


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without byte-order mark.

    Raises:
        DataError: missing, a folder, unreadable, empty, not UTF-8, or with NUL bytes.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8"
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            hint = "it looks like UTF-16; save it as UTF-8"
        offset = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, offset) + 1
        column = offset - (data.rfind(b"\n", 0, offset) + 1) + 1
        raise DataError(
            f"{path}, line {line}: byte {column} (0x{data[offset]:02x}) is not UTF-8", hint
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}, line {line}: there is a NUL byte, so this is not a text file",
            "save it as UTF-8 text, or remove the byte",
        )
    if not text.strip():
        raise DataError(f"{path}: the file is empty", "give a file with data")
    return text


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; DataError where it is missing, a folder or unreadable."""
    check_file(path)
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise DataError(
            f"{path}: no permission to read it", f"make it readable (chmod u+r {path})"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: it cannot be read: {reason}", "check the disk") from error


def check_file(path: Path) -> None:
    """Refuse what is not there, and what is not a file."""
    try:
        if path.is_dir():
            raise DataError(f"{path}: this is a folder, not a file", "name a file in it")
        if path.exists():
            if not path.is_file():
                raise DataError(f"{path}: this is not a plain file", "copy its content to a file")
            return
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else None
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"{path}: it cannot be reached: {reason}", "check its name and the folder's permissions"
        ) from error
    if beside is None:
        hint = f"the folder {path.parent} does not exist either; check the path"
    else:
        near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else "check the path"
    raise DataError(f"{path}: there is no such file", hint)


def split_lines(text: str) -> list[str]:
    """Lines at \\n, \\r\\n or \\r only; str.splitlines would also cut at rarer characters."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\n" not in text:
            text = text.replace("\r", "\n")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines


def read_plain_tsv(
    path: Path, text: str, header: tuple[str, ...] | None, tolerant: bool = False
) -> Table:
    """Tab-separated lines in which quotes are plain characters.

    Args:
        header: names of the columns where the file has no header row.
        tolerant: leave out lines with too few or too many cells (and list them in `short`)
            instead of refusing the file.
    """
    lines = split_lines(text)
    start = 0
    if header is None:
        start = next(number for number, line in enumerate(lines, 1) if line.strip())
        header = tuple(cell.strip() for cell in lines[start - 1].split("\t"))
    rows: list[list[str]] = []
    numbers: list[int] = []
    short: list[int] = []
    width = len(header)
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]
        if len(cells) == width:
            rows.append(cells)
            numbers.append(number)
        elif tolerant:
            short.append(number)
        else:
            raise _ragged(path, number, len(cells), width, "tabs")
    return Table(path, header, rows, numbers, short=tuple(short))


def _read_tsv(path: Path, text: str) -> Table:
    names = split_lines(text.lstrip("\r\n"))[0].split("\t")
    if all(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
        return _read_quoted(path, text, "\t")
    return read_plain_tsv(path, text, None)


def _read_csv(path: Path, text: str) -> Table:
    first = split_lines(text.lstrip("\r\n"))[0]
    return _read_quoted(path, text, ";" if "," not in first and ";" in first else ",")


def _read_quoted(path: Path, text: str, delimiter: str) -> Table:
    """Fields with CSV quoting; a quoted field may hold line breaks and doubled quotes."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: tuple[str, ...] | None = None
    rows: list[list[str]] = []
    numbers: list[int] = []
    begins = 1
    name = {",": "commas", ";": "semicolons", "\t": "tabs"}[delimiter]
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise DataError(
                f"{path}, line {begins}: the quoting is broken ({error})",
                'close each opened quote, and write a quote inside a quoted field as ""',
            ) from error
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = tuple(cell.strip() for cell in cells)
            continue
        if len(cells) > len(header) and not any(cell.strip() for cell in cells[len(header) :]):
            cells = cells[: len(header)]
        if len(cells) != len(header):
            raise _ragged(path, begins, len(cells), len(header), name)
        rows.append(cells)
        numbers.append(begins)
    return Table(path, header or (), rows, numbers)


def _ragged(path: Path, line: int, found: int, expected: int, separators: str) -> DataError:
    return DataError(
        f"{path}, line {line}: {found} fields where the header has {expected}",
        f"look for missing or extra {separators}, and for line breaks inside a text; "
        "texts that hold separators need quotes, in a CSV file",
    )


def _read_jsonl(path: Path, text: str) -> Table:
    objects: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            whole = number == 1 and line.strip() in ("[", "{")
            hint = (
                "this looks like one JSON document; write one object a line instead"
                if whole
                else "write one JSON object a line"
            )
            raise DataError(f"{path}, line {number}: not valid JSON ({error})", hint) from error
        if not isinstance(value, dict):
            raise DataError(
                f"{path}, line {number}: {_json_word(value)} where an object is expected",
                'write one object a line, such as {"text": "...", "label": "..."}',
            )
        objects.append(value)
        numbers.append(number)
    header = tuple(dict.fromkeys(key for each in objects for key in each))
    return Table(path, header, [[each.get(key) for key in header] for each in objects], numbers)


def _json_word(value: object) -> str:
    words = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")


def _read_parquet(path: Path) -> Table:
    check_file(path)
    import pyarrow as pa
    from pyarrow import parquet

    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty", "give a file with data")
    try:
        table = parquet.read_table(path, partitioning=None)
        columns = [column.to_pylist() for column in table.columns]
    except PermissionError as error:
        raise DataError(
            f"{path}: no permission to read it", f"make it readable (chmod u+r {path})"
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(
            f"{path}: not a readable Parquet file ({reason})", "write the file anew"
        ) from error
    rows = list(zip(*columns, strict=True))
    return Table(path, tuple(table.column_names), rows, range(1, len(rows) + 1), "row")
