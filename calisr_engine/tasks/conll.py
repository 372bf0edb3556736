"""Files in the format of CoNLL: one token a line, its columns beside it, blank lines between
sentences.

Columns stand with tabs between them where the first line has one, else with any blanks. They have
no names, and are called `column 1`, `column 2` and so on. Lines of `-DOCSTART-` are no tokens, nor
are lines before a sentence that begin with `#` and have other columns than tokens.
"""

from __future__ import annotations

from pathlib import Path

from calisr_engine.errors import DataError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks.files import split_lines
from calisr_engine.tasks.table import Table

DOCUMENT = "-DOCSTART-"

HEADER = "column {}"
FIRST_COLUMN = HEADER.format(1)
"""What the column of the words is called."""


PLAIN = "; whole texts belong into a CSV, TSV or JSONL file"
"""What is said of a .txt file beside that."""


def read_conll(path: Path, text: str, least: int = 2) -> Table:
    """Sentences as rows, each cell the list of a column's values.

    Args:
        least: columns that there must be; 1 for words without tags.

    Raises:
        DataError: a line has another number of columns, or all have one; or a column is empty.
    """
    lines = split_lines(text)
    tokens = (line for line in lines if line.strip() and not line.startswith((DOCUMENT, "#")))
    first = next(tokens, "")
    tab = "\t" if "\t" in first.rstrip() else None
    width = len(_fields(first, tab))
    if width < least:
        shown = f": {quoted(first.strip(), 60)}" if first.strip() else ""
        raise DataError(
            f"{path}: the first token has no second column{shown}",
            "write a token and its tag on each line, with a blank or a tab between them, and an "
            "empty line after each sentence" + (PLAIN if path.suffix.lower() == ".txt" else ""),
        )
    rows: list[list[list[str]]] = []
    starts: list[int] = []
    inside = False
    for number, line in enumerate(lines, 1):
        fields = _fields(line, tab)
        if not fields or line.startswith(DOCUMENT):
            inside = False
            continue
        if len(fields) != width:
            if line.startswith("#") and not inside:
                continue
            raise DataError(
                f"{path}, line {number}: {len(fields)} columns where the first token has {width}: "
                f"{quoted(line.strip(), 60)}",
                "give each token the same columns; an empty line ends a sentence"
                + (PLAIN if path.suffix.lower() == ".txt" else ""),
            )
        empty = next((place for place, value in enumerate(fields) if not value), None)
        if empty is not None:
            raise DataError(
                f"{path}, line {number}: column {empty + 1} is empty: {quoted(line.strip(), 60)}",
                "write a token and its tag on each line",
            )
        if not inside:
            rows.append([[] for _ in range(width)])
            starts.append(number)
            inside = True
        for column, value in zip(rows[-1], fields, strict=True):
            column.append(value)
    header = tuple(HEADER.format(place + 1) for place in range(width))
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return Table(path, header, columns, starts, separator="\t" if tab else " ", per_line=True)


def _fields(line: str, tab: str | None) -> list[str]:
    if tab is None:
        return line.split()
    return [each.strip() for each in line.rstrip("\r\n").split(tab)] if line.strip() else []
