"""What is said of a row beside the one it is compared with, and the tests behind it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from calisr_engine.grid.cells import TableCell
from calisr_engine.grid.comparison import Comparison, comparison
from calisr_engine.grid.render import WIDTH, render, statements
from calisr_engine.grid.spread import mean_and_spread
from calisr_engine.grid.table import grid_table
from tests.tui.grids import make_grid

REFERENCE = {1: 80.0, 2: 82.0, 3: 81.0, 4: 79.0, 5: 80.5}


def cell(row: str, values: dict[int, float], **more: Any) -> TableCell:
    numbers = tuple(values.values())
    return TableCell(
        row, "MRPC", "f1", *mean_and_spread(numbers), tuple(values), numbers, 0, 0, **more
    )


def compared(shifts: dict[int, float], p_holm: float | None = 0.13, family: int = 6) -> Comparison:
    """A row whose seeds are so far from those of the reference."""
    own = {seed: REFERENCE.get(seed, 80.0) + shift for seed, shift in shifts.items()}
    return comparison(
        cell("LoRA", own, p_holm=p_holm, family=family), cell("FFT", REFERENCE), "FFT"
    )


def test_what_could_be_chance_is_said_with_the_seeds_that_would_tell() -> None:
    found = compared({1: 0.3, 2: 1.2, 3: -0.4, 4: 2.0, 5: 0.9})
    assert found.sentence == (
        "With 5 seeds the difference of +0.8 points (95 % interval -0.3 to 1.9) could be chance "
        "(p = 0.13 after Holm over 6 rows); about 29 seeds would be needed."
    )
    assert found.further == (
        "Effect size g +0.70; sign-flip test p = 0.19 (never below 0.062 with 5 seeds); bootstrap "
        "interval 0.1 to 1.5, too narrow with so few."
    )
    one = compared({1: 0.3, 2: 1.2, 3: -0.4, 4: 2.0, 5: 0.9}, family=1)
    assert "(p = 0.13); about 18 seeds would be needed." in one.sentence


def test_what_is_unlikely_to_be_chance_says_what_that_rests_on() -> None:
    few = compared({1: 2.0, 2: 2.2, 3: 1.9, 4: 2.1, 5: 2.0}, p_holm=0.0002)
    assert few.sentence.endswith(
        "is unlikely to be chance (p < 0.001 after Holm over 6 rows) if differences are normally "
        "distributed, which so few seeds cannot show."
    )
    many = {seed: 80.0 for seed in range(12)}
    own = {seed: 82.0 + 0.1 * (seed % 3) for seed in range(12)}
    found = comparison(cell("LoRA", own, p_holm=0.001, family=2), cell("FFT", many), "FFT").sentence
    assert found.endswith("is unlikely to be chance (p = 0.001 after Holm over 2 rows).")


def test_where_nothing_can_be_said_that_is_said() -> None:
    assert compared({1: 0.7, 2: 0.9}, None).sentence == (
        "With 2 seeds nothing can be said about the difference of +0.8 points; "
        "at least 3 are needed."
    )
    assert compared({8: 1.0}, None).sentence == (
        "No seed is shared with FFT, so nothing can be said."
    )
    assert compared({}, None).further == ""
    assert compared(dict.fromkeys(REFERENCE, 0.0), None).sentence == (
        "With 5 seeds the result is that of FFT in each."
    )
    assert compared(dict.fromkeys(REFERENCE, 0.5), None).sentence == (
        "With 5 seeds the difference is +0.5 points in each; without spread no test is possible."
    )


def test_seeds_that_do_not_pair_are_named(tmp_path: Path) -> None:
    assert compared({1: 1.0, 2: 2.0, 9: 0.0}).unpaired == (3, 4, 5, 9)
    table = grid_table(make_grid(tmp_path, ("completed",) * 11))
    assert "Seeds that LoRA or the row lacks: 3 (LoRA+CaliSr-S, RTE)." in render(table, "text")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    own=st.dictionaries(st.integers(1, 9), st.floats(0, 100), max_size=9),
    other=st.dictionaries(st.integers(1, 9), st.floats(0, 100), max_size=9),
    p_holm=st.floats(0, 1),
    family=st.integers(1, 9),
)
def test_any_two_rows_have_a_sentence_that_claims_no_more_than_the_test(
    own: dict[int, float], other: dict[int, float], p_holm: float, family: int
) -> None:
    found = comparison(cell("A", own, p_holm=p_holm, family=family), cell("B", other), "B")
    said = f"{found.sentence} {found.further}"
    assert found.sentence[0].isupper()
    assert found.sentence.endswith(".")
    assert not re.search(r"nan|inf|None|-0\.0\b|= \)", said)
    shared = own.keys() & other.keys()
    claims = "unlikely to be chance" in said
    assert claims == ("95 % interval" in said and p_holm < 0.05)
    assert claims <= (len(shared) >= 3)
    assert ("nothing can be said" in said) == (len(shared) < 3)


# In a table --------------------------------------------------------------------------------------


def test_tests_in_a_grid_are_corrected_over_the_rows_of_their_column(tmp_path: Path) -> None:
    table = grid_table(make_grid(tmp_path, ("completed",) * 24))
    values = {
        key: [v for _, v in sorted(zip(c.seeds, c.values, strict=True))]
        for key, c in table.cells.items()
    }
    rows = [row for row in table.rows if row != "LoRA"]
    for column in table.columns:
        p_values = {}
        for row in rows:
            differences = np.subtract(values[row, column], values["LoRA", column])
            if np.ptp(differences) > 1e-6:
                p_values[row] = ttest_rel(values[row, column], values["LoRA", column]).pvalue
        least = 0.0
        for rank, row in enumerate(sorted(p_values, key=lambda each: p_values[each])):
            least = max(least, min(1.0, (len(p_values) - rank) * p_values[row]))
            assert table.cells[row, column].p_value == pytest.approx(p_values[row])
            assert table.cells[row, column].p_holm == pytest.approx(least)
            assert table.cells[row, column].family == len(p_values)
    for each in table.by_row:
        means = [
            np.mean([values[row, c] for c in table.columns], axis=0) for row in (each.row, "LoRA")
        ]
        assert each.test is not None
        assert each.test.difference == pytest.approx(np.mean(means[0] - means[1]))
    assert [each.row for each in table.by_row] == rows


def test_all_forms_say_it(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed",) * 24)
    table = grid_table(grid)
    rows = len(table.rows) - 1
    brief, full = statements(table), statements(table, explain=True)
    assert (len(brief), len(full)) == (rows, rows * len(table.columns))
    for style in ("text", "markdown", "latex"):
        for explain, said in ((False, brief), (True, full)):
            text = " ".join(render(table, style, explain).replace("%  ", "").split())
            assert all(f"{about}: {sentence}" in text for about, sentence in said)
    body = render(table, "text").split("Against")[1].rpartition("\n\n")[0]
    assert all(len(line) <= WIDTH for line in body.splitlines())
    fields = json.loads(render(table, "json"))
    assert [each["sentence"] for each in fields["over_tasks"]] == [s for _, s in brief]
    read = csv.DictReader(io.StringIO(render(table, "csv")))
    lines = {(line["row"], line["column"]): line for line in read}
    for each in fields["comparisons"]:
        line = lines[each["row"], each["column"]]
        assert line["effect"] == ("" if each["effect"] is None else str(each["effect"]))
        assert line["needed"] == ("" if each["needed"] is None else str(each["needed"]))
    alone = grid_table(grid.with_head(against=None))
    assert statements(alone) == statements(alone, explain=True) == []


def test_columns_that_are_no_tasks_are_not_averaged(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed",) * 24).with_head(
        rows=("method.name", "task.name"), columns=("calibration.variant",), against="LoRA MRPC"
    )
    table = grid_table(grid)
    assert table.over_tasks == {}
    assert table.by_row == table.comparisons
    assert len(statements(table)) == 3 * 2
