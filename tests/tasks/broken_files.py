"""Ways to break a data file such that no reader may load it."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.tasks.random_files import Rows, rows_for, write

Break = Callable[[random.Random, Rows, str, Path], None]


def _lost_column(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    lost = draw.choice([rows.text, rows.label])
    names = [name + "s" if name == lost else name for name in rows.names]
    cells = {new: rows.cells[old] for new, old in zip(names, rows.names, strict=True)}
    label = rows.label + "s" if lost == rows.label else rows.label
    text = rows.text + "s" if lost == rows.text else rows.text
    write(draw, replace(rows, names=names, cells=cells, label=label, text=text), form, path)


def _twice(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    name = draw.choice([rows.text, rows.label])
    if form == "jsonl":
        row = json.dumps(dict.fromkeys(rows.names, "a"))
        lines = re.split("[\r\n]+", path.read_bytes().decode("utf-8-sig"))
        lines.insert(draw.randint(0, 1), f'{row[:-1]}, "{name}": "b"}}')
        path.write_bytes("\n".join(lines).encode())
    else:
        write(draw, replace(rows, names=[*rows.names, name]), form, path)


def _bad_label(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    bad = draw.choice(["", "nan", "NaN"])
    if rows.labels == "targets":
        bad = draw.choice(["", "nan", "inf", "-Infinity", "1e300", "1_000", "x", "1,5", "9" * 500])
    cells = [str(cell) for cell in rows.cells[rows.label]]
    row = draw.randrange(rows.count)
    cells[row] = bad
    rows.cells[rows.text][row] = "not a row without any cell"
    bad_rows = replace(rows, labels="names", cells={**rows.cells, rows.label: cells})
    write(draw, bad_rows, form, path)


def _one_class(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    value = draw.choice(rows.cells[rows.label])
    same = replace(rows, cells={**rows.cells, rows.label: [value] * rows.count})
    write(draw, same, form, path)


def _no_label_mark(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    rows.labels = "whole"
    cells = [0, 1, 2, -1, *(draw.choice([0, 1, 2, -1]) for _ in range(rows.count))]
    columns = {name: [*cells4, *["a"] * 4] for name, cells4 in rows.cells.items()}
    write(draw, replace(rows, labels="whole", cells={**columns, rows.label: cells}), form, path)


def _empty(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    path.write_bytes(draw.choice([b"", b"\xef\xbb\xbf", b"\n\n", b" "]))


def _not_a_file(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    path.unlink()
    what = draw.choice(["missing", "folder", "pipe", "link"])
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(path.name)


def _other_format(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    others = {"csv": "jsonl", "tsv": "csv", "jsonl": "csv", "parquet": "jsonl"}
    other = draw.choice([others[form], "parquet" if form != "parquet" else "csv"])
    tame = rows_for(draw, "tsv")
    names = dict(zip(tame.names, [rows.text, rows.label, "x", "y", "z"], strict=False))
    cells = {new: ["1", "0"] for new in names.values()}
    plain = Rows(list(cells), rows.text, None, rows.label, "codes", cells)
    write(draw, plain, other, path)


def _nul(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    content = path.read_bytes()
    at = draw.randrange(len(content))
    path.write_bytes(content[:at] + b"\0" + content[at:])


def _not_utf8(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    text = path.read_bytes().decode("utf-8-sig")
    at = draw.randrange(len(text))
    bad = draw.choice([b"\xff", b"\xe9", b"\xed\xa0\x80", b"\xc0\xaf"])
    path.write_bytes(text[:at].encode() + bad + text[at:].encode())


def _utf16(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    text = path.read_bytes().decode("utf-8-sig")
    path.write_bytes(text.encode(draw.choice(["utf-16-le", "utf-16-be", "utf-32"])))


def _appended(line: Callable[[Rows], str]) -> Break:
    def add(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
        content = path.read_bytes()
        end = b"\r" if b"\n" not in content and b"\r" in content else b"\n"
        path.write_bytes(content + end + line(rows).encode() + end)

    return add


def _array_file(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    objects = [{name: rows.cells[name][row] for name in rows.names} for row in range(rows.count)]
    text = json.dumps(objects, indent=draw.choice([None, 1]))
    path.write_text(draw.choice([text[:-1], text + "]", f"{text} 1", text[1:]]), encoding="utf-8")


def _json_row(**cells: object) -> Callable[[Rows], str]:
    """A row of JSON with other cells for "text" and "label"."""

    def line(rows: Rows) -> str:
        row: dict[str, object] = dict.fromkeys(rows.names, "a")
        row[rows.label] = rows.cells[rows.label][0]
        row |= {getattr(rows, name): cell for name, cell in cells.items()}
        return json.dumps(row)

    return line


BREAKS: dict[str, Break] = {
    "lost column": _lost_column,
    "column twice": _twice,
    "bad label": _bad_label,
    "one class": _one_class,
    "-1 as no label": _no_label_mark,
    "empty": _empty,
    "not a file": _not_a_file,
    "other format": _other_format,
}
TEXT_BREAKS: dict[str, Break] = {"nul": _nul, "not utf-8": _not_utf8, "utf-16": _utf16}
OWN_BREAKS: dict[str, dict[str, Break]] = {
    "csv": {
        "open quote": _appended(lambda rows: '"never closed,' * len(rows.names)),
        "behind a quote": _appended(lambda rows: ",".join(['"a"b'] * len(rows.names))),
        "too many fields": _appended(lambda rows: "a,a;a;a" * (len(rows.names) + 1)),
        "too few fields": _appended(lambda rows: "alone"),
    },
    "tsv": {
        "too many fields": _appended(lambda rows: "a\t" * len(rows.names) + "a"),
        "too few fields": _appended(lambda rows: "alone"),
    },
    "jsonl": {
        "broken list": _array_file,
        "not JSON": _appended(lambda rows: '{"te'),
        "a list": _appended(lambda rows: '["a", 1]'),
        "a number": _appended(lambda rows: "7"),
        "deep": _appended(lambda rows: "[" * 100_000),
        "nested text": _appended(_json_row(text={"a": [1]})),
        "true as text": _appended(_json_row(text=True)),
        "null text": _appended(_json_row(text=None)),
        "infinite text": _appended(_json_row(text=float("inf"))),
        "nested label": _appended(_json_row(label=[1])),
        "null label": _appended(_json_row(label=None)),
        "endless label": _appended(lambda rows: _json_row(label=5)(rows).replace("5", "5" * 5000)),
    },
    "parquet": {},
}
