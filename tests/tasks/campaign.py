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

from calisr_engine.errors import CalisrError
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.settings import TaskSettings
from tests.tasks.broken_files import BREAKS, OWN_BREAKS, TEXT_BREAKS
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
