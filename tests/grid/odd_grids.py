"""Grid files made at random from right, borderline and wrong parts."""

from __future__ import annotations

import datetime
import random
from typing import Any

import tomli_w

from calisr_engine.config.describe import SECTION_NAMES, by_key
from calisr_engine.methods.catalog import METHODS

KEYS = sorted({key for method in METHODS for key in by_key(method)})
ODD_KEYS = [
    "",
    "training",
    "training.sed",
    "a.b",
    "output.dir",
    "output.name",
    "x" * 300,
    "\x1b[2J",
]
ODD: list[Any] = [0, -1, 1, True, 1.0, 1.5, 2**63 - 1, float("nan"), float("inf"), "", "none"]
ODD += ["a\x1b[2Jb", "../..", "x" * 300, [], {}, [1], {"a": 1}, datetime.date(2024, 1, 1), [[[]]]]


def _value(draw: random.Random, key: str) -> Any:
    info = next((by_key(name)[key] for name in METHODS if key in by_key(name)), None)
    if info is None or draw.random() < 0.3:
        return draw.choice(ODD)
    if info.kind in ("choice", "list") and info.choices:
        word = draw.choice(info.choices)
        return [word] if info.kind == "list" else word
    kinds: dict[str, list[Any]] = {"int": [1, 2, 8, 10**6], "float": [0.1, 0.5, 1e-5, 1]}
    kinds |= {"flag": [True, False], "path": ["a.csv"], "text": ["word"]}
    kinds["list"] = [["word"], []]
    return draw.choice(kinds[info.kind])


def _key(draw: random.Random) -> str:
    return draw.choice(ODD_KEYS if draw.random() < 0.1 else KEYS)


def _table(draw: random.Random, most: int = 3) -> dict[str, Any]:
    keys = [_key(draw) for _ in range(draw.randint(0, most))]
    return {key: _value(draw, key) for key in keys}


def _axes(draw: random.Random) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    for key in [_key(draw) for _ in range(draw.randint(0, 2))]:
        axes[key] = [_value(draw, key) for _ in range(draw.choice([0, 1, 2, 3]))]
    if draw.random() < 0.6:
        axes["training.seed"] = draw.choice([[1, 2], [1, 1], list(range(3))])
    return axes


def _when(draw: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {"match": _table(draw, 2), "set": _table(draw, 2)}
    if draw.random() < 0.3:
        rule["match"] = draw.choice([{"training.seed": 1}, {"training": {"seed": 1}}, {}])
    if draw.random() < 0.2:
        rule["exclude"] = draw.choice([True, "yes", 1])
    if draw.random() < 0.1:
        rule["extends"] = draw.choice(["demo", "nope", 3])
    return rule


def odd_grid(seed: int) -> str:
    """The text of one grid file."""
    draw = random.Random(seed)
    head: dict[str, Any] = {"name": "odd"}
    for key, values in {
        "extends": ["demo", "nope", 3, "paper/table2"],
        "rows": [["method.name"], ["training.sed"], [], "method.name", [3]],
        "columns": [["task.name"], ["task.nme"]],
        "average": [True, "yes", 1],
        "policy": ["last", "worst"],
        "paper": ["table2", "table99"],
        "against": ["FFT", 3],
        "name": ["..", "x\n", 3, "x" * 100, "grid"],
        "nmae": ["x"],
    }.items():
        if draw.random() < 0.08:
            head[key] = draw.choice(values)
    content: dict[str, Any] = {"grid": head, "axes": _axes(draw)}
    if draw.random() < 0.5:
        content["settings"] = _table(draw)
    if draw.random() < 0.4:
        content["when"] = [_when(draw) for _ in range(draw.randint(1, 2))]
    if draw.random() < 0.3:
        keys = [_key(draw) for _ in range(draw.randint(0, 2))]
        content["zip"] = [{key: [1, 2][: draw.randint(0, 2)] for key in keys}]
    if draw.random() < 0.1:
        section = draw.choice(["grid", "axes", "settings", "when", "zip", "more", *SECTION_NAMES])
        content[section] = draw.choice(ODD)
    return tomli_w.dumps(content)
