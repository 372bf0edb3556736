"""Random data files of every format, with the cells that were written into them.

A table is rows of texts and labels; a writer puts it into a file in one of the many ways in which
programs do. What a reader finds must be what the table says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMS = ("csv", "tsv", "jsonl", "parquet")

PLAIN = (
    *("a", "fine day", "no", " spaces ", "0", "007", "1.50", "1e3", "nan", "None", "x" * 300),
    *(
        "Zoë",
        "cafe\u0301",
        "日本語",
        "🙂 smile",
        "\u202eto the left",
        "\ufeffmark",
        "a\u2028b\x85c",
    ),
    *('say "no"', '"open', "a,b", "a;b", "[bold]", "{}", "\\n", "\x1b[31mred", "=1+1", "\x0c", "#"),
)
BROKEN_UP = ("two\nlines", "old\rmac", "win\r\ndows", "tab\there", "\t", "\n")
ONLY_JSON = ("half \ud83d smile", "\udc00", "nul \0 byte", "a\\u0000")

LABELS: dict[str, tuple[Any, ...]] = {
    "names": ("pos", "neg", "Pos", "zoë", "a b", "neutral, so", "1x", "x" * 90),
    "codes": ("7", "007", "1_000", "1000", "1e3", "+7", "7.0", "٧", "-7", "0x7", "7e0"),
    "whole": (0, 1, 5, -3, 10, 2**60, 9),
    "real whole": (0.0, 1.0, 5.0, 10.0, 9.0, -3.0),
    "booleans": (True, False),
    "targets": (0.5, -2.0, 3, 1e17, -1e-30, 0.1, 1 / 3, 12345678.9),
}


@dataclass
class Rows:
    """A table as a person would describe it.

    Attributes:
        names: of the columns, in the order of the file.
        text, pair, label: which of them are what; `pair` may be None.
        cells: by column name; texts, and labels of the kind `labels`.
    """

    names: list[str]
    text: str
    pair: str | None
    label: str
    labels: str
    cells: dict[str, list[Any]]

    @property
    def count(self) -> int:
        return len(self.cells[self.text])


def rows_for(draw: random.Random, form: str) -> Rows:
    """Rows that can be written in a format (or in every format, for "any")."""
    pool = [*PLAIN]
    if form in ("csv", "jsonl", "parquet"):
        pool += BROKEN_UP
    if form == "jsonl":
        pool += ONLY_JSON
    names = ["text", "label", "other", "id", "a.b", "Text", "größe", "with space"]
    text, label, pair, *more = draw.sample(names, 6)
    kinds = [k for k in LABELS if k != "real whole" or form in ("jsonl", "parquet")]
    labels = draw.choice(kinds)
    count = draw.choice([2, 3, 5, 8, 20, 50, 300])
    values = draw.sample(LABELS[labels], draw.randint(2, len(LABELS[labels])))
    used = [text, label, *([pair] if draw.random() < 0.4 else []), *more[: draw.randrange(3)]]
    cells: dict[str, list[Any]] = {name: [_text(draw, pool) for _ in range(count)] for name in used}
    cells[label] = [*values[:2], *(draw.choice(values) for _ in range(count - 2))]
    draw.shuffle(cells[label])
    for name in used:
        if name != label:
            cells[name][draw.randrange(count)] = "a text"
    draw.shuffle(used)
    return Rows(used, text, pair if pair in used else None, label, labels, cells)


def _text(draw: random.Random, pool: list[str]) -> str:
    chance = draw.random()
    if chance < 0.02:
        return ""
    if chance < 0.03:
        return "long " * draw.choice([2000, 30_000])
    return "".join(draw.choice(pool) for _ in range(draw.choice([1, 1, 1, 2, 3])))


def expected_label(rows: Rows, cell: Any, typed: bool) -> str | float:
    """The class of a cell; `typed`: a file of the task has numbers and booleans, not only texts."""
    if rows.labels == "targets":
        return float(cell)
    if rows.labels == "real whole":
        return str(int(cell))
    if rows.labels == "booleans":
        return str(cell).lower() if typed else str(cell)
    return str(cell)


def write(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    WRITERS[form](draw, rows, path)


def _write_csv(draw: random.Random, rows: Rows, path: Path) -> None:
    comma = draw.choice([",", ";"])
    end = draw.choice(["\n", "\r\n"])
    always = draw.random() < 0.3

    def cell(value: str) -> str:
        if always or not value or any(each in value for each in ',;"\r\n\t'):
            return '"' + value.replace('"', '""') + '"'
        return value

    lines = [comma.join(map(cell, rows.names))]
    for row in range(rows.count):
        lines.append(comma.join(cell(str(rows.cells[name][row])) for name in rows.names))
        if draw.random() < 0.05:
            lines.append(draw.choice(["", "  "]))
    _write_text(draw, path, lines, end)


def _write_tsv(draw: random.Random, rows: Rows, path: Path) -> None:
    end = draw.choice(["\n", "\r\n"])
    lines = ["\t".join(rows.names)]
    for row in range(rows.count):
        lines.append("\t".join(str(rows.cells[name][row]) for name in rows.names))
        if draw.random() < 0.05:
            lines.append("")
    _write_text(draw, path, lines, end)


def _write_jsonl(draw: random.Random, rows: Rows, path: Path) -> None:
    ascii_only = draw.random() < 0.5
    lines = []
    for row in range(rows.count):
        names = draw.sample(rows.names, len(rows.names)) if draw.random() < 0.3 else rows.names
        line = json.dumps({name: rows.cells[name][row] for name in names})
        if not ascii_only:
            text = json.dumps({n: rows.cells[n][row] for n in names}, ensure_ascii=False)
            # Halves of characters have no UTF-8.
            line = text if text.isprintable() else line
        lines.append(line)
        if draw.random() < 0.05:
            lines.append(draw.choice(["", " "]))
    if draw.random() < 0.2:  # one list of objects
        rest = [each for each in lines if each.strip()]
        lines = ["[" + rest[0], *(f", {each}" for each in rest[1:]), "]"]
    _write_text(draw, path, lines, draw.choice(["\n", "\r\n", "\r"]))


def _write_text(draw: random.Random, path: Path, lines: list[str], end: str) -> None:
    text = end.join(lines) + (end if draw.random() < 0.8 else "")
    mark = b"\xef\xbb\xbf" if draw.random() < 0.2 else b""
    path.write_bytes(mark + text.encode())


def _write_parquet(draw: random.Random, rows: Rows, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    cells = dict(rows.cells)
    if rows.labels == "targets":  # a column of Parquet has one type
        cells[rows.label] = [float(cell) for cell in cells[rows.label]]
    columns = [pa.array(cells[name]) for name in rows.names]
    if rows.labels in ("names", "codes") and draw.random() < 0.3:
        position = rows.names.index(rows.label)
        columns[position] = columns[position].dictionary_encode()
    parquet.write_table(
        pa.table(columns, names=rows.names),
        path,
        compression=draw.choice(["snappy", "zstd", "none"]),
        row_group_size=draw.choice([1, 7, 1000]),
        use_dictionary=draw.random() < 0.5,
        write_page_checksum=True,
    )


WRITERS: dict[str, Callable[[random.Random, Rows, Path], None]] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
