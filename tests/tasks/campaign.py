"""Random data files, good and broken, through the reader: loaded to the cell, or refused by name.

    python -m tests.tasks.campaign 5000 [FIRST_SEED]

A file that loads must give exactly the cells that were written. A file that does not must be
refused by a `CalisrError` with the file's name, one line long and with a hint. Where bytes were
damaged at random, nobody wrote the cells: there a second reader, written here from the definition
of the format, says what the file holds.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from calisr_engine.config.schema import TaskSettings
from calisr_engine.errors import CalisrError
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.examples import Examples
from tests.tasks.random_files import FORMS, Rows, expected_label, rows_for, write

HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        did: what was done to the file ("good", or the name of the break).
        end: "loaded", "refused", or what went wrong.
        message: of the refusal or the failure.
        failed: the reader did what it must not do.
    """

    seed: int
    form: str
    did: str
    end: str
    message: str = ""
    failed: bool = False


def one_file(seed: int, folder: Path) -> Outcome:
    """Write the files of a seed, load them, judge."""
    draw = random.Random(seed)
    form = draw.choice(FORMS)
    chance = draw.random()
    if chance < 0.3:
        return _good(draw, seed, form, folder)
    if chance < 0.5:
        return _two_formats(draw, seed, folder)
    if chance < 0.75:
        return _damaged(draw, seed, form, folder)
    return _broken(draw, seed, form, folder)


def _good(draw: random.Random, seed: int, form: str, folder: Path) -> Outcome:
    rows = rows_for(draw, form)
    path = folder / f"train.{form}"
    write(draw, rows, form, path)
    base = Outcome(seed, form, "good", "loaded")
    return _must_load(base, rows, (path, path), form in ("jsonl", "parquet"))


def _two_formats(draw: random.Random, seed: int, folder: Path) -> Outcome:
    """The same rows in two formats: the same texts and classes, and the same fingerprints."""
    first, second = draw.sample(FORMS, 2)
    rows = rows_for(draw, "tsv")
    paths = folder / f"train.{first}", folder / f"validation.{second}"
    for form, path in zip((first, second), paths, strict=True):
        write(draw, rows, form, path)
    base = Outcome(seed, f"{first}+{second}", "two formats", "loaded")
    found = _must_load(base, rows, paths, bool({first, second} & {"jsonl", "parquet"}))
    if found.failed:
        return found
    data, swapped = load_task(_settings(rows, *paths)), load_task(_settings(rows, *paths[::-1]))
    if data.fingerprint != swapped.fingerprint:
        return replace(base, end="formats differ", failed=True)
    return found


def _must_load(base: Outcome, rows: Rows, paths: tuple[Path, Path], typed: bool) -> Outcome:
    try:
        data = load_task(_settings(rows, *paths))
    except CalisrError as error:
        return replace(base, end="refused though good", message=str(error), failed=True)
    except Exception:
        return replace(base, end="exception", message=traceback.format_exc(), failed=True)
    labels = [expected_label(rows, cell, typed) for cell in rows.cells[rows.label]]
    pair = None if rows.pair is None else rows.cells[rows.pair]
    for examples in (data.train, data.validation["validation"]):
        wrong = _difference(data, examples, rows.cells[rows.text], pair, labels)
        if wrong:
            return replace(base, end="cell changed", message=wrong, failed=True)
    return base


def _difference(
    data: TaskData,
    examples: Examples,
    text: list[str],
    pair: list[str] | None,
    labels: list[str] | list[str | float],
) -> str:
    """The first cell that is not as written; "" where all are."""
    assert examples.label is not None
    names = data.label_names
    found = [each if names is None else names[int(each)] for each in examples.label]
    columns = [("text", text, list(examples.text)), ("label", labels, found)]
    if pair is not None:
        columns.append(("pair", pair, list(examples.text_pair or ())))
    for what, wanted, got in columns:
        if len(wanted) != len(got):
            return f"{what}: {len(got)} rows for {len(wanted)}"
        for row, (left, right) in enumerate(zip(wanted, got, strict=True)):
            mended = HALF.sub("\ufffd", left) if isinstance(left, str) else left
            if mended != right:
                return f"{what} of row {row}: {left!r} became {right!r}"
    return ""


def _settings(rows: Rows, train: Path, validation: Path, test: Path | None = None) -> TaskSettings:
    return TaskSettings(
        name="mine",
        train_file=train,
        validation_file=validation,
        test_file=test,
        text_column=rows.text,
        text_pair_column=rows.pair,
        label_column=rows.label,
        kind="regression" if rows.labels == "targets" else "classification",
    )


def _load_or_refuse(base: Outcome, rows: Rows, path: Path) -> tuple[Outcome, TaskData | None]:
    """Loaded, or refused as a refusal must be."""
    try:
        return base, load_task(_settings(rows, path, path))
    except CalisrError as error:
        refused = replace(base, end="refused", message=error.message)
        if str(path) not in error.message:
            return replace(refused, end="refused without the file", failed=True), None
        if "\n" in error.message or len(error.message) > 600 or not error.hint:
            return replace(refused, end="refused at length or without hint", failed=True), None
        return refused, None
    except Exception:
        return replace(base, end="exception", message=traceback.format_exc(), failed=True), None


# Damage at random


def _damaged(draw: random.Random, seed: int, form: str, folder: Path) -> Outcome:
    rows = rows_for(draw, form)
    path = folder / f"train.{form}"
    write(draw, rows, form, path)
    content = bytearray(path.read_bytes())
    did = draw.choice(["cut", "flip", "delete", "double", "insert"])
    at = draw.randrange(len(content))
    stop = min(len(content), at + draw.choice([1, 2, 10, 500]))
    if did == "cut":
        del content[at:]
    elif did == "flip":
        content[at] ^= 1 << draw.randrange(8)
    elif did == "delete":
        del content[at:stop]
    elif did == "double":
        content[at:at] = content[at:stop]
    else:
        content[at:at] = draw.choice([b"\r", b"\n", b'"', b",", b"\t", b"{", b"\0", b"\xff", b" "])
    path.write_bytes(bytes(content))
    outcome, data = _load_or_refuse(Outcome(seed, form, did, "loaded"), rows, path)
    if data is None:
        return outcome
    if form == "parquet":
        labels = [expected_label(rows, cell, True) for cell in rows.cells[rows.label]]
        pair = None if rows.pair is None else rows.cells[rows.pair]
        wrong = _difference(data, data.train, rows.cells[rows.text], pair, labels)
    else:
        wrong = _read_otherwise(rows, form, bytes(content), data)
    if wrong:
        return replace(outcome, end="cell changed", message=wrong, failed=True)
    return outcome


def _read_otherwise(rows: Rows, form: str, content: bytes, data: TaskData) -> str:
    """How `data` differs from what the second reader finds; "" where it does not."""
    text = content.decode("utf-8-sig")
    if form == "jsonl":
        lines = [line for line in re.split("\r\n|\n", text) if line.strip()]
        if "\n" not in text:
            lines = [line for line in text.split("\r") if line.strip()]
        objects = [json.loads(line) for line in lines]
        found = {name: [each.get(name) for each in objects] for name in rows.names}
    else:
        records = SECOND[form](text)
        header = [cell.strip() for cell in records[0]]
        body = [record for record in records[1:] if any(cell.strip() for cell in record)]
        body = [record + [""] * (len(header) - len(record)) for record in body]
        found = {name: [r[header.index(name)] for r in body] for name in header}
    labels: list[str | float] = []
    typed = any(isinstance(cell, bool) for cell in found[rows.label])
    for cell in found[rows.label]:
        if data.kind == "regression":
            labels.append(float(cell))
        else:
            word = str(cell).strip()
            labels.append(word.lower() if typed and word.lower() in ("true", "false") else word)
    if rows.labels == "real whole" and all(type(c) in (int, float) for c in found[rows.label]):
        labels = [str(int(cell)) for cell in found[rows.label]]
    texts = [cell if isinstance(cell, str) else str(cell) for cell in found[rows.text]]
    pair = None if rows.pair is None else [str(cell) for cell in found[rows.pair]]
    return _difference(data, data.train, texts, pair, labels)


def _csv_records(text: str) -> list[list[str]]:
    """RFC 4180, one character after another."""
    first = re.sub('"[^"]*"', "", next(x for x in re.split("[\r\n]", text) if x.strip()))
    comma = ";" if "," not in first and ";" in first else ","
    records: list[list[str]] = []
    cells: list[str] = []
    cell, at = "", 0
    while at < len(text):
        if text[at] == '"' and not cell:
            at += 1
            while text[at : at + 1] != '"' or text[at : at + 2] == '""':
                cell += text[at]
                at += 2 if text[at] == '"' else 1
            at += 1
            assert text[at : at + 1] in ("", comma, "\r", "\n"), "text behind a quote"
        if text[at : at + 1] == comma:
            cells.append(cell)
            cell = ""
        elif text[at : at + 1] in ("\r", "\n"):
            records.append([*cells, cell])
            cells, cell = [], ""
        else:
            cell += text[at : at + 1]
        at += 1
    return [*records, [*cells, cell]]


def _tsv_records(text: str) -> list[list[str]]:
    end = "\n" if "\n" in text else "\r"
    return [line.split("\t") for line in text.replace("\r\n", "\n").split(end)]


SECOND: dict[str, Callable[[str], list[list[str]]]] = {"csv": _csv_records, "tsv": _tsv_records}


# Files that must be refused


def _broken(draw: random.Random, seed: int, form: str, folder: Path) -> Outcome:
    rows = rows_for(draw, form)
    path = folder / f"train.{form}"
    write(draw, rows, form, path)
    breaks = {**BREAKS, **({} if form == "parquet" else TEXT_BREAKS), **OWN_BREAKS.get(form, {})}
    did = draw.choice(list(breaks))
    breaks[did](draw, rows, form, path)
    outcome, data = _load_or_refuse(Outcome(seed, form, did, "loaded"), rows, path)
    if data is not None:
        return replace(outcome, end="loaded though broken", failed=True)
    return outcome


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
        import os

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
    path.write_bytes(text.encode(draw.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32"])))


def _appended(line: Callable[[Rows], str]) -> Break:
    def add(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
        content = path.read_bytes()
        end = b"\r" if b"\n" not in content and b"\r" in content else b"\n"
        path.write_bytes(content + end + line(rows).encode() + end)

    return add


def _tabs(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    tame = rows_for(draw, "tsv")
    tame.names = [rows.text, rows.label]
    tame.cells = {rows.text: tame.cells[tame.text], rows.label: tame.cells[tame.label]}
    tame.text, tame.label, rows.pair = rows.text, rows.label, None
    write(draw, tame, "tsv", path)


def _array_file(draw: random.Random, rows: Rows, form: str, path: Path) -> None:
    objects = [{name: rows.cells[name][row] for name in rows.names} for row in range(rows.count)]
    path.write_text(json.dumps(objects, indent=draw.choice([None, 1])), encoding="utf-8")


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
        "tabs": _tabs,
    },
    "tsv": {
        "too many fields": _appended(lambda rows: "a\t" * len(rows.names) + "a"),
        "too few fields": _appended(lambda rows: "alone"),
    },
    "jsonl": {
        "one document": _array_file,
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


def main(count: int, first: int) -> int:
    """Run a campaign and print its figures; the number of failures."""
    ends: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    failures: list[Outcome] = []
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as name:
            outcome = one_file(seed, Path(name))
            ends[outcome.end] += 1
            if outcome.end == "refused":
                kinds[_kind(outcome.message, name)] += 1
            if outcome.failed:
                failures.append(outcome)
    print(f"{count:,} files: " + ", ".join(f"{n:,} {end}" for end, n in ends.most_common()))
    for kind, number in kinds.most_common():
        print(f"  {number:6,}  {kind}")
    for what, number in Counter(f"{each.end}: {each.did}" for each in failures).most_common():
        print(f"  {number:6,}  FAILED {what}")
    for each in failures[:20]:
        print(f"FAILED seed {each.seed} {each.form} {each.did}: {each.end}\n{each.message}")
    return len(failures)


def _kind(message: str, folder: str) -> str:
    """A refusal without its file, place, quoted words and numbers."""
    message = message.replace(folder, "")
    message = re.sub(r"^\S+?\.(csv|tsv|jsonl|parquet)", "FILE", message)
    message = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "'...'", message)
    message = re.sub(r"not valid JSON \(.*", "not valid JSON", message)
    message = re.sub(r"Parquet file \(.*", "Parquet file", message)
    return re.sub(r"-?\d[\d,.e+]*|0x..", "N", message)[:110]


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
