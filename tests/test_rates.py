"""The searches of learning rates begin at the defaults, and their page tells what follows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from calisr_engine.methods.catalog import METHODS

ROOT = Path(__file__).parents[1]
Pair = tuple[float, float]

TOO_FEW_STEPS = {"lora", "bitfit"}
"""Whose defaults lose more than a point in a search this short, but not in runs of usual length."""


def defaults() -> dict[str, Pair]:
    """Of encoders like MiniLM-L6, for each method that the search has."""
    found = {name: method.rates["small"] for name, method in METHODS.items() if name != "peft"}
    return {name: (rate.rate, rate.core or rate.rate) for name, rate in found.items()}


def pair(text: str) -> Pair:
    """`1e-3 / 2e-4`, or one number for both."""
    both = [float(each) for each in text.split("/")]
    return both[0], both[-1]


def searched() -> dict[str, list[Pair]]:
    path = ROOT / "benchmarks" / "rates" / "minilm-l6.toml"
    (zipped,) = tomllib.loads(path.read_text())["zip"]
    found: dict[str, list[Pair]] = {}
    for name, *rates in zip(*zipped.values(), strict=True):
        found.setdefault(name, []).append((rates[0], rates[1]))
    return found


def table(head: str) -> Iterator[tuple[str, Pair, list[tuple[dict[Pair, float], float]]]]:
    """Each row of a table of MiniLM-L6: method, default, and for a task all points and the loss."""
    page = (ROOT / "benchmarks" / "results" / "rates.md").read_text()
    page = page[page.index("## MiniLM-L6") :]
    body = page[page.index(head) :].partition("\n\n")[0]
    for line in re.findall(r"^\| (\w+ \| \d.*) \|$", body, re.M):
        name, default, *cells = line.split(" | ")
        tasks = []
        for at, others, loses in (cells[:3], cells[3:]):
            points = {pair(default): float(at)}
            for point in others.split(", "):
                rate, value = point.split(": ")
                points[pair(rate)] = float(value)
            tasks.append((points, float(loses)))
        yield name, pair(default), tasks


def test_the_first_pair_of_a_method_is_its_default() -> None:
    assert {name: pairs[0] for name, pairs in searched().items()} == defaults()


def test_the_page_has_the_defaults_all_points_and_what_they_lose() -> None:
    rows, longer = list(table("| method | default")), list(table("| method, 512 steps"))
    assert {name: default for name, default, _ in rows} == defaults()
    assert {name for name, *_ in longer} == TOO_FEW_STEPS
    for name, _, tasks in rows:
        assert all(set(searched()[name]) <= set(points) for points, _ in tasks)
        worst = max(loses for _, loses in tasks)
        assert (worst >= 1) == (name in TOO_FEW_STEPS), name
    for name, default, tasks in longer:
        assert default == defaults()[name]
        assert max(loses for _, loses in tasks) < 1
    for _, default, tasks in (*rows, *longer):
        for points, loses in tasks:
            assert loses == pytest.approx(max(points.values()) - points[default], abs=0.051)
