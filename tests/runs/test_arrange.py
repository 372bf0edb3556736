"""Runs in an order and in groups, and as a table for other programs."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime

import pytest

from calisr_engine.runs.arrange import (
    Group,
    Row,
    as_csv,
    grouped,
    groups_as_csv,
    innermost,
    ordered,
)
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


def test_moments_are_grouped_by_day() -> None:
    days = [datetime(2026, 11, 30, 0, 5), datetime(2026, 11, 29, 23, 55), datetime(2026, 11, 29)]
    runs = [summary(str(n), created=day.timestamp()) for n, day in enumerate(days)]
    expected = "2026-11-29: 1 2 2026-11-30: 0 none: x"
    assert ids(grouped([*runs, summary("x", created=None)], [column("created")])) == expected


def test_what_is_measured_is_grouped_as_it_is_shown() -> None:
    values = {"best": (0.70001, 0.70002), "share": (0.0131, 0.0132), "updated": (1090.2, 1089.8)}
    first, second = (summary(n, **{k: v[i] for k, v in values.items()}) for i, n in enumerate("ab"))
    names = {"best": "0.7000", "share": "1.3%", "time": "90s"}
    for name, text in names.items():
        assert ids(grouped([first, second], [column(name)])) == f"{text}: a b"


def test_numbers_that_differ_in_a_late_digit_are_of_different_groups() -> None:
    rates = (1e-5, 1.0000001e-5, 1e-5)
    runs = [summary(str(n), settings={"training.learning_rate": r}) for n, r in enumerate(rates)]
    assert ids(grouped(runs, [column("lr")])) == "1e-05: 0 2 1.0000001e-05: 1"


def test_the_mean_of_a_group_is_of_its_complete_runs() -> None:
    states = ("completed", "completed", "failed", "interrupted", "completed")
    best = (0.5, 0.7, 0.9, None, None)
    runs = [summary(s + str(b), state=s, best=b) for s, b in zip(states, best, strict=True)]
    (group,) = innermost(runs, [column("task")])
    assert group.counts == {"completed": 3, "failed": 1, "interrupted": 1}
    assert group.complete == (0.5, 0.7)
    assert group.mean == pytest.approx(0.6)
    assert group.deviation == pytest.approx(0.1 * 2**0.5)
    assert group.best is runs[2]
    (one,) = innermost(runs[:1], [column("task")])
    assert (one.mean, one.deviation) == (0.5, None)
    (none,) = innermost(runs[3:], [column("task")])
    assert (none.mean, none.best, none.comparable) == (None, None, True)


def test_groups_of_mixed_metrics_have_neither_best_nor_mean() -> None:
    (group,) = innermost(RUNS, [column("method")])
    assert (group.comparable, group.best, group.mean, group.complete) == (False, None, None, ())
    assert len(group.runs) == 5


def test_groups_for_other_programs() -> None:
    by = [column("task"), column("rank")]
    found = [group.to_dict() for group in innermost(RUNS, by)]
    assert [each["group"] for each in found] == [
        {"task": "cola", "method.rank": "8"},
        {"task": "cola", "method.rank": "16"},
        {"task": "rte", "method.rank": "8"},
    ]
    assert sorted(name for each in found for name in each["runs"]) == list("abcde")
    assert json.loads(json.dumps(found)) == found
    rows = list(csv.DictReader(io.StringIO(groups_as_csv(RUNS, by))))
    assert [(row["runs"], row["states"], row["best_run"]) for row in rows] == [
        ("1", "completed=1", ""),
        ("1", "completed=1", "d"),
        ("3", "completed=3", "c"),
    ]
    assert float(rows[2]["mean"]) == pytest.approx(0.7)
    assert groups_as_csv([], by) == ""


def test_what_runs_are_grouped_by_stands_in_columns_of_its_own() -> None:
    """Also where the table has another column of that name, and where runs have no value."""
    runs = [summary("a", best=0.8, name="x"), summary("b", best=0.6), summary("c", name="")]
    by = [column("name"), column("best"), column("metric"), column("name")]
    rows = list(csv.DictReader(io.StringIO(groups_as_csv(runs, by))))
    assert list(rows[0])[:3] == ["name", "group best", "group metric"]
    assert sorted((row["name"], row["group best"], row["best_run"]) for row in rows) == [
        ("none", "0.6000", "b"),
        ("none", "0.7000", "c"),
        ("x", "0.8000", "a"),
    ]
    said = [group.to_dict()["group"] for group in innermost(runs, by)]
    assert {one["name"] for one in said} == {"x", "none"}
    assert {one["best"] for one in said} == {"0.8000", "0.6000", "0.7000"}
    mixed = list(csv.DictReader(io.StringIO(groups_as_csv(RUNS, [column("method")]))))
    assert [(row["comparable"], row["mean"]) for row in mixed] == [("false", "")]


def test_csv_reads_back() -> None:
    names = ["run", "best", "tags", "pinned", "notes", "method.rank", "delta"]
    runs = [
        *RUNS[1:3],
        summary("f", notes='two\nlines\rand, "quoted"', tags=("x", "y"), variant="off"),
    ]
    rows = list(csv.reader(io.StringIO(as_csv(runs, [column(name) for name in names]), newline="")))
    assert rows == [
        names,
        ["b", "", "", "false", "", "8", "0.5"],
        ["c", "0.9", "", "true", "", "8", "0.5"],
        ["f", "0.7", "x y", "false", 'two\nlines\rand, "quoted"', "8", ""],
    ]
