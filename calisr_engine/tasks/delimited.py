"""CSV and TSV files.

CSV is read with CSV quoting. Its separator is the first of comma, semicolon, bar and tab that the
first line has outside quotes; where that one does not fit the lines below and another does, it is
the other. With tabs a file is read as TSV, without quoting: a quote is a plain
character, as in the GLUE files, unless every name in the header row is quoted. Blank lines are no
rows, and neither are lines of separators alone. A first line `sep=;`, which spreadsheets write,
is no row either and names the separator.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from calisr_engine.errors import DataError
from calisr_engine.plain_words import counted
from calisr_engine.tasks.files import split_lines
from calisr_engine.tasks.table import Table

LONGEST_CELL = 2**31 - 1
"""Characters; the default of the csv module, 131,072, is less than a long document."""

_SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?[ \t]*(?=[\r\n])', re.IGNORECASE)

_FIRST_LINE = re.compile(r"[^\r\n]*\S[^\r\n]*")


def read_csv(path: Path, text: str, header: bool = True) -> Table:
    """Fields separated by commas, semicolons, bars or tabs.

    Args:
        header: whether the first row names the columns; if not they are "column 1" and so on.

    Raises:
        DataError: broken quoting, a line with too few or too many fields.
    """
    named = _SEPARATOR_LINE.match(text)
    if named:
        text, found = text[named.end() :], [named.group(1)]  # its line end stays: lines count on
    else:
        first = re.sub('"[^"]*"', "", _first_line(text))
        found = [separator for separator in ",;|\t" if separator in first] or [","]
    refusal: DataError | None = None
    for separator in found:
        try:
            if separator == "\t":
                table = read_tsv(path, text, header)
            else:
                table = _read_quoted(path, text, separator, header)
        except DataError as error:
            refusal = refusal or error
        else:
            if refusal is None or len(table):
                return table
    assert refusal is not None
    raise refusal


def read_tsv(path: Path, text: str, header: bool = True) -> Table:
    """Fields separated by tabs.

    Args:
        header: as for `read_csv`.

    Raises:
        DataError: a line with too few or too many fields, or (in a quoted file) broken quoting.
    """
    names = _first_line(text).split("\t")
    if all(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
        return _read_quoted(path, text, "\t", header)
    return read_plain_tsv(path, text, None if header else unnamed(len(names)))


def unnamed(count: int) -> tuple[str, ...]:
    """Names for the columns of a file without a header row."""
    return tuple(f"column {number}" for number in range(1, count + 1))


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
    blank: list[int] = []
    width = len(header)
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip() and (width > 1 or not line):
            # In a file of one column, a blank line between rows may have been an empty text.
            if "\t" in line or (width == 1 and number < len(lines)):
                blank.append(number)
            continue
        cells = _cut(line.split("\t"), width)
        if len(cells) == width:
            rows.append(cells)
            numbers.append(number)
        elif tolerant:
            short.append(number)
        else:
            raise _ragged(path, number, len(cells), width, "tabs")
    return _table(path, header, rows, numbers, short, blank, "\t")


def _read_quoted(path: Path, text: str, delimiter: str, named: bool) -> Table:
    """Fields with CSV quoting; a quoted field may hold line breaks and doubled quotes."""
    # One number for the whole process, and nothing wants it lower.
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: tuple[str, ...] | None = None
    rows: list[list[str]] = []
    numbers: list[int] = []
    blank: list[int] = []
    name = {",": "commas", ";": "semicolons", "|": "bars", "\t": "tabs"}[delimiter]
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
        if header is None:
            if not any(cell.strip() for cell in cells):
                continue
            if named:
                header = tuple(cell.strip() for cell in cells)
                continue
            header = unnamed(len(cells))
        width = len(header)
        if not any(cell.strip() for cell in cells) and (width > 1 or not cells):
            if len(cells) > 1:
                blank.append(begins)
            continue
        cells = _cut(cells, width)
        if len(cells) != width:
            raise _ragged(path, begins, len(cells), width, name)
        rows.append(cells)
        numbers.append(begins)
    return _table(path, header or (), rows, numbers, (), blank, delimiter)


def _table(
    path: Path,
    header: tuple[str, ...],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[int],
    short: Sequence[int],
    blank: Sequence[int],
    separator: str,
) -> Table:
    columns = zip(*rows, strict=True) if rows else (() for _ in header)
    return Table(
        path,
        header,
        dict(zip(header, columns, strict=True)),
        numbers,
        short=tuple(short),
        blank=tuple(blank),
        separator=separator,
    )


def _cut(cells: list[str], width: int) -> list[str]:
    """Without the empty cells that spreadsheets write beyond the last column."""
    surplus = len(cells) > width and not any(cell.strip() for cell in cells[width:])
    return cells[:width] if surplus else cells


def _first_line(text: str) -> str:
    found = _FIRST_LINE.search(text)
    return found.group() if found else ""


def _ragged(path: Path, line: int, found: int, expected: int, separators: str) -> DataError:
    return DataError(
        f"{path}, line {line}: {counted(found, 'field')} where the header has {expected}",
        f"look for missing or extra {separators}, and for line breaks inside a text; "
        "texts that hold separators need quotes, in a CSV file",
    )
