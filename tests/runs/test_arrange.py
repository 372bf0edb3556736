"""Runs in an order and in groups, and as a table for other programs."""

from __future__ import annotations

import csv
import io

import pytest

from calisr_engine.runs.arrange import Group, Row, as_csv, grouped, ordered
from calisr_engine.runs.columns import column
from tests.runs.summaries import summary

RUNS = [
    summary("a", best=0.5, task="rte"),
    summary("b", best=None, task="cola", metric="matthews"),
    summary("c", best=0.9, task="rte", pinned=True),
    summary("d", best=0.7, task="cola", metric="matthews", settings={"method.rank": 16}),
    summary("e", best=0.7, task="rte", tags=("x", "y")),
]


def ids(rows: list[Row]) -> str:
    return " ".join(
        f"{'.'.join(each.path)}:" if isinstance(each, Group) else each.run_id for each in rows
    )


@pytest.mark.parametrize(
    ("by", "down", "expected"),
    [
        ("best", True, "c d e a b"),
        ("best", False, "c a d e b"),
        ("task", False, "c b d a e"),
        ("run", True, "c e d b a"),
        ("rank", True, "c d a b e"),
        ("tags", False, "c e a b d"),
        ("name", False, "c a b d e"),
    ],
)
def test_order(by: str, down: bool, expected: str) -> None:
    """Pinned ones first, those without a value last, equal ones as they were."""
    assert ids(list(ordered(RUNS, column(by), down))) == expected


def test_groups_are_a_tree_and_can_be_folded() -> None:
    by = [column("task"), column("rank")]
    expected = "cola: cola.8: b cola.16: d rte: rte.8: a c e"
    assert ids(grouped(RUNS, by)) == expected
    assert ids(grouped(RUNS, by, {("cola",)})) == "cola: rte: rte.8: a c e"
    assert ids(grouped(RUNS, by, {("rte", "8")})) == "cola: cola.8: b cola.16: d rte: rte.8:"
    assert grouped(RUNS, []) == RUNS


def test_numbers_are_grouped_in_their_order() -> None:
    runs = [summary(str(n), settings={"method.rank": n}) for n in (16, 8, 128)]
    assert ids(grouped(runs, [column("rank")])) == "8: 8 16: 16 128: 128"


def test_a_group_knows_its_best_where_the_metrics_compare() -> None:
    cola, rte = (row for row in grouped(RUNS, [column("task")]) if isinstance(row, Group))
    assert cola.best is RUNS[3]
    assert rte.best is RUNS[2]
    (both,) = (row for row in grouped(RUNS, [column("method")]) if isinstance(row, Group))
    assert both.best is None


def test_csv_reads_back() -> None:
    names = ["run", "best", "tags", "pinned", "notes", "method.rank", "delta"]
    runs = [*RUNS[1:3], summary("f", notes='two\nlines, "quoted"', tags=("x", "y"), variant="off")]
    rows = list(csv.reader(io.StringIO(as_csv(runs, [column(name) for name in names]))))
    assert rows == [
        names,
        ["b", "", "", "false", "", "8", "0.5"],
        ["c", "0.9", "", "true", "", "8", "0.5"],
        ["f", "0.7", "x y", "false", 'two\nlines, "quoted"', "8", ""],
    ]
