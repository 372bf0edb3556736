"""Damage to run directories: by the grammar of the log, by bytes, and to the files beside it."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calisr_engine.events.types import EVENT_TYPES
from tests.events.cases import CASES, record

RAW = "\x01raw:"
"""Marks text that shall stand in the log without quotes."""

HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        0.0,
        -0.5,
        2**31,
        2**53,
        2**53 + 1,
        2**63,
        -(2**63),
        1e300,
        -1e300,
    ),
    *(
        "",
        "5",
        "NaN",
        "inf",
        "null",
        "x" * 20_000,
        "[bold]x[/]",
        "[/nothing]",
        "\x1b[31mred",
        "\x00",
    ),
    *("\u202eabc", "a\nb", "../../etc/passwd", "off", "S", "fft", "completed", "😀" * 300),
    *([], {}, [[]], [1, "a", None], {"a": {"b": []}}, {"": None}, {"name": []}, [0] * 3000),
    *(RAW + text for text in ("NaN", "Infinity", "-Infinity", "1e400", "1e-400", "9" * 5000, "-0")),
    *(RAW + text for text in ("[" * 900 + "]" * 900, "[" * 100_000, '{"a":' * 40 + "1" + "}" * 40)),
    *(RAW + text for text in ('"\\ud800"', "'a'", "undefined", "0x10", "01", '{"a":1,"a":"b"}')),
)


def dumped(said: dict[str, Any]) -> bytes:
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
    while (start := text.find('"\\u0001raw:')) >= 0:
        end = start + 1
        while text[end] != '"' or (text[end - 1] == "\\" and text[end - 2] != "\\"):
            end += 1
        text = text[:start] + json.loads(text[start : end + 1])[len(RAW) :] + text[end + 1 :]
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in a record."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        found.append((value, key))
        if isinstance(each, dict | list):
            found += _places(each)
    return found


# By the grammar: a list of records (or of lines that are none) is changed --------------------

Lines = list[dict[str, Any] | bytes]


def _records(draw: random.Random, lines: Lines) -> list[dict[str, Any]]:
    found = [each for each in lines if isinstance(each, dict)]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in found:  # the rare kinds as often as the frequent ones
        kinds.setdefault(str(each.get("type")), []).append(each)
    names = draw.choices(sorted(kinds), k=draw.randint(1, 4)) if kinds else []
    return [draw.choice(kinds[name]) for name in names]


def replace_values(draw: random.Random, lines: Lines) -> None:
    for said in _records(draw, lines):
        for _ in range(draw.randint(1, 3)):
            places = _places(said)
            if places:
                container, key = draw.choice(places)
                container[key] = json.loads(json.dumps(draw.choice(HOSTILE)))


def drop_keys(draw: random.Random, lines: Lines) -> None:
    for said in _records(draw, lines):
        places = [each for each in _places(said) if isinstance(each[0], dict)]
        if places:
            container, key = draw.choice(places)
            del container[key]


def repeat_keys(draw: random.Random, lines: Lines) -> None:
    for said in _records(draw, lines):
        if said and said in lines:
            key, value = draw.choice(sorted(said)), json.dumps(draw.choice(HOSTILE[:20]))
            lines[lines.index(said)] = dumped(said)[:-1] + f',"{key}":{value}}}'.encode()


def null_numbers(draw: random.Random, lines: Lines) -> None:
    """What the writer makes of figures that are not finite."""
    for said in _records(draw, lines):
        floats = [(box, key) for box, key in _places(said) if isinstance(box[key], float)]
        for box, key in floats if draw.random() < 0.5 else floats[:1]:
            box[key] = None


def zero_totals(draw: random.Random, lines: Lines) -> None:
    names = ("total", "total_steps", "steps_per_epoch", "epochs", "samples", "trainable", "seconds")
    for said in lines:
        for name in names if isinstance(said, dict) else ():
            if name in said and draw.random() < 0.7:
                said[name] = 0


def odd_steps(draw: random.Random, lines: Lines) -> None:
    for said in _records(draw, lines):
        said["step"] = draw.choice((-1, 0, 10**6, 2**40, 2**53, 2**70))
        said["resumed_from"] = draw.choice((-1, None, 0, 5, 2**53))


def odd_times(draw: random.Random, lines: Lines) -> None:
    for said in _records(draw, lines):
        said["time"] = draw.choice((-1, 0, None, "now", 1e18, 2**70, 253402300800, -1e300))


def out_of_order(draw: random.Random, lines: Lines) -> None:
    if draw.random() < 0.5:
        draw.shuffle(lines)
    else:
        lines.reverse()


def again(draw: random.Random, lines: Lines) -> None:
    """Something is said twice: a start, a switch, a whole stretch."""
    for said in _records(draw, lines):
        lines.insert(draw.randrange(len(lines) + 1), json.loads(json.dumps(said)))
    at = draw.randrange(len(lines))
    lines[at:at] = json.loads(json.dumps(lines[at : at + 30], default=lambda _: {}))


def glued(draw: random.Random, lines: Lines) -> None:
    lines += [json.loads(json.dumps(each)) for each in lines if isinstance(each, dict)]


def foreign(draw: random.Random, lines: Lines) -> None:
    """Kinds and groups that nobody announced, and formats of the future."""
    for said in _records(draw, lines):
        said["v"] = draw.choice((0, 3, 99, "2", None, 2**70))
        if draw.random() < 0.4:
            said["type"] = draw.choice(("", "later", "Progress", "run", "\x00"))
    name = draw.choice(("", "new", "x" * 500, "[red]", "a\nb", "\x1b[2J", "😀"))
    for kind in ("stable_rank_sampled", "srs_evaluated"):
        said = record(CASES[kind])
        said["groups"] = dict.fromkeys([name], said["groups"]["query"])
        lines.insert(draw.randrange(len(lines) + 1), said)
    lines.insert(draw.randrange(len(lines) + 1), {**record(CASES["group_switched"]), "group": name})


def every_kind(draw: random.Random, lines: Lines) -> None:
    kinds = draw.sample(sorted(EVENT_TYPES), k=4)
    for kind in kinds:
        lines.insert(draw.randrange(len(lines) + 1), record(CASES[kind], draw.randint(0, 300)))


def lost_lines(draw: random.Random, lines: Lines) -> None:
    begin = draw.choice((0, 0, draw.randrange(len(lines))))
    del lines[begin : begin + draw.randint(1, len(lines))]


GRAMMAR: tuple[Callable[[random.Random, Lines], None], ...] = (
    *(replace_values, replace_values, replace_values, drop_keys, repeat_keys, null_numbers),
    *(
        zero_totals,
        odd_steps,
        odd_times,
        out_of_order,
        again,
        glued,
        foreign,
        every_kind,
        lost_lines,
    ),
)


# By bytes ------------------------------------------------------------------------------------


def by_bytes(draw: random.Random, data: bytes) -> bytes:
    at = draw.randrange(len(data) + 1)
    end = min(len(data), at + draw.choice((1, 3, 100, 5000)))
    junk = draw.randbytes(draw.choice((1, 7, 300)))
    choices: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: data[at:],
        lambda: data[:at] + junk + data[end:],
        lambda: data[:at] + junk + data[at:],
        lambda: data[:at] + bytes(end - at) + data[end:],
        lambda: data[:at] + data[end:],
        lambda: data[:end] + data[at:],
        lambda: data.replace(b"\n", b"\r\n"),
        lambda: data.replace(b"\n", b"\r"),
        lambda: data.replace(b"\n", b"\n\n"),
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode(errors="replace").encode("utf-16"),
        lambda: data.replace(b"a", "é".encode()[:1], 20),
        lambda: data.rstrip(b"\n"),
        lambda: data.replace(b'"', b"'"),
        lambda: bytes(len(data)),
        lambda: b"\n" * 500 + data,
        lambda: b"",
        lambda: (
            data[:at] + b'{"v":2,"seq":' + b"9" * draw.choice((400, 200_000)) + b"\n" + data[at:]
        ),
        lambda: data[:at] + b"x" * draw.choice((70_000, 2_000_000)) + data[at:],
    ]
    flipped = bytearray(data)
    for _ in range(draw.randint(1, 30)):
        if flipped:
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    return bytes(flipped) if draw.random() < 0.3 else draw.choice(choices)()


def damaged_log(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """(what was done, the log with it)."""
    lines: Lines = [json.loads(line) for line in data.splitlines()]
    done = []
    if draw.random() < 0.7:
        for _ in range(draw.randint(1, 3)):
            change = draw.choice(GRAMMAR)
            if lines:
                change(draw, lines)
                done.append(change.__name__)
        each = (line if isinstance(line, bytes) else dumped(line) for line in lines)
        data = b"".join(line + b"\n" for line in each)
    if not done or draw.random() < 0.2:
        data = by_bytes(draw, data)
        done.append("bytes")
    return "+".join(done), data


# Things that are no plain file, and the files beside the log ----------------------------------


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


STRANGE: dict[str, Callable[[Path], object]] = {
    "folder": _folder,
    "pipe": os.mkfifo,
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),
    "empty": lambda path: path.touch(),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 50),
    "text": lambda path: path.write_text("this is not what you are looking for\n"),
    "list": lambda path: path.write_text("[1, 2, 3]"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "wrong types": lambda path: path.write_text('{"version": 3, "runs": [], "file": 3, "pid": {}}'),
    "numbers": lambda path: path.write_text('{"version": 1e400, "id": ' + "9" * 5000 + "}"),
}

NEIGHBOURS = (
    *("config.toml", "environment.json", "lock", "control", "checkpoints", "best", "model"),
    *("predictions", "log.txt", "slurm", "samples", "../.calisr-index.json", "../grid.json"),
)


def make_strange(draw: random.Random, path: Path) -> str:
    """Put something else in the place of a file or folder; what it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    what = draw.choice(sorted(STRANGE))
    STRANGE[what](path)
    return what
