"""The table of a grid: what makes a cell, which runs count, and that all who show it agree."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from calisr_engine.errors import ConfigError
from calisr_engine.grid import Grid, expand_grid
from calisr_engine.grid.folders import grid_of_runs
from calisr_engine.grid.render import cell_text, render
from calisr_engine.grid.settings import SEED, told_apart
from calisr_engine.grid.spread import mean_and_spread, paired
from calisr_engine.grid.table import Table, grid_table
from calisr_engine.runs.layout import RunPaths
from calisr_tui.charts import grid_text
from calisr_tui.themes import colours
from tests.tui.grids import make_grid, write_grid, write_run

STYLES = colours("calisr-dark")


def trained(folder: Path, more: str) -> Grid:
    """The study of two methods and two tasks with one axis more, all runs complete."""
    file = write_grid(folder)
    file.write_text(file.read_text() + more)
    grid = expand_grid(file, folder / "runs")
    grid.folder.mkdir(parents=True)
    for number, run in enumerate(grid.runs):
        write_run(grid.folder, run, "completed", number)
    return grid


def copy_run(folder: Path, name: str, copied: str, later: float = 0.0, **changes: Any) -> None:
    """A copy of a run's directory under another name, its events so many seconds later."""
    shutil.copytree(folder / name, folder / copied)
    log = RunPaths(folder / copied).events
    records = [json.loads(line) for line in log.read_text().splitlines()]
    records[-1]["summary"] |= changes
    lines = [json.dumps(record | {"time": record["time"] + later}) for record in records]
    log.write_text("\n".join(lines) + "\n")


def test_a_run_of_another_metric_is_no_part_of_a_mean(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed",) * 3)
    first = grid.runs[0].run_id
    copy_run(grid.folder, first, "other", metric="f1")
    shutil.rmtree(grid.folder / first)
    (grid.folder / "other").rename(grid.folder / first)
    table = grid_table(grid)
    cell = table.cells["LoRA", "MRPC"]
    assert (cell.metric, cell.seeds, cell.missing) == ("accuracy", (2, 3), 1)
    assert table.left_out[first] == "its metric is f1, not accuracy"


def test_light_from_the_first_step_is_no_switch(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed",) * 3)
    for run, switched in zip(
        grid.runs, ({"model": 0}, {"query": 4}, {"query": None}), strict=False
    ):
        copy_run(grid.folder, run.run_id, "other", switched=switched)
        shutil.rmtree(grid.folder / run.run_id)
        (grid.folder / "other").rename(grid.folder / run.run_id)
    table = grid_table(grid)
    cell = table.cells["LoRA", "MRPC"]
    assert [run.switched for run in cell.runs] == [False, True, False]
    said = grid_text.cell_in_full(("LoRA", "MRPC"), cell, table, STYLES).plain
    assert "went over to the light method in 1 of 3" in said
    plain = replace(cell, switched=0)
    assert "went over" not in grid_text.cell_in_full(("LoRA", "MRPC"), plain, table, STYLES).plain


# What makes a cell -------------------------------------------------------------------------------


def test_a_setting_in_neither_rows_nor_columns_makes_rows(tmp_path: Path) -> None:
    grid = trained(tmp_path, '"training.learning_rate" = [1e-3, 1e-4]\n')
    table = grid_table(grid)
    assert table.rows == tuple(
        f"{row} learning_rate={rate}"
        for row in ("LoRA", "LoRA+CaliSr-S", "BitFit", "BitFit+CaliSr-S")
        for rate in ("0.001", "0.0001")
    )
    assert all(len(cell.runs) == len(cell.seeds) == 3 for cell in table.cells.values())
    assert table.missing == 0
    assert len(table.runs) == len(grid.runs) == 48


def test_only_rows_in_which_it_varies_are_split(tmp_path: Path) -> None:
    more = '[[when]]\nmatch = { "method.name" = "bitfit" }\nset = { "training.epochs" = 3 }\n'
    more = '"training.batch_size" = [8, 4]\n' + more
    more += '[[when]]\nmatch = { "method.name" = "bitfit", "training.batch_size" = 4 }\n'
    table = grid_table(trained(tmp_path, more + "exclude = true\n"))
    assert table.rows[:3] == (
        "LoRA batch_size=8",
        "LoRA batch_size=4",
        "LoRA+CaliSr-S batch_size=8",
    )
    assert table.rows[4:] == ("BitFit", "BitFit+CaliSr-S")


def test_a_setting_that_goes_with_the_seed_is_not_averaged_away(tmp_path: Path) -> None:
    more = '[[when]]\nmatch = { "training.seed" = 3 }\nset = { "training.epochs" = 9 }\n'
    table = grid_table(trained(tmp_path, more))
    assert table.rows[:2] == ("LoRA epochs=1", "LoRA epochs=9")
    assert table.cells["LoRA epochs=1", "MRPC"].seeds == (1, 2)
    assert table.cells["LoRA epochs=9", "MRPC"].seeds == (3,)


def test_a_row_to_compare_with_that_was_split_is_said(tmp_path: Path) -> None:
    grid = trained(tmp_path, '"training.batch_size" = [8, 4]\n')
    table = grid_table(grid)
    assert table.against is None
    assert table.remarks == ("There is no row 'LoRA' to compare with.",)
    assert table.remarks[0] in render(table, "text")
    chosen = grid_table(grid, against="LoRA batch_size=4")
    assert chosen.cells["BitFit batch_size=4", "MRPC"].paired == 3
    with pytest.raises(ConfigError, match="no row 'LoRA'"):
        grid_table(grid, against="LoRA")


def test_the_least_settings_tell_runs_apart() -> None:
    runs = [
        {"method.name": "lora", "method.rank": 4, "training.epochs": 1, SEED: 1},
        {"method.name": "lora", "method.rank": 8, "training.epochs": 2, SEED: 1},
        {"method.name": "bitfit", "training.epochs": 1, "output.dir": "x", SEED: 2},
    ]
    assert told_apart(runs) == ["method.name", "method.rank"]
    assert told_apart(runs, first=["training.epochs"]) == ["training.epochs", "method.name"]
    assert told_apart(runs[:1] * 2) == []


# Which runs count --------------------------------------------------------------------------------


def test_a_seed_counts_once_and_the_newest_complete_run_is_it(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed",) * 2)
    first = grid.runs[0].run_id
    copy_run(grid.folder, first, "newer", later=60, best=0.5)
    copy_run(grid.folder, first, "older", later=-60, best=0.1)
    table = grid_table(grid_of_runs(grid.folder))
    (cell,) = table.cells.values()
    assert cell.seeds == (2, 1)
    assert dict(zip(cell.seeds, cell.values, strict=True))[1] == 50.0
    assert table.left_out == {
        name: "newer has the same settings and seed, and is newer" for name in (first, "older")
    }
    assert f"Left out: older: {table.left_out['older']}." in render(table, "markdown")


def test_of_a_complete_run_and_one_that_is_not_the_complete_one_counts(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed", "stopped"))
    run, other = grid.runs[:2]
    shutil.rmtree(grid.folder / other.run_id)
    shutil.copytree(write_run(grid.folder, other, "stopped"), grid.folder / "again")
    shutil.rmtree(grid.folder / other.run_id)
    config = (grid.folder / run.run_id / "config.toml").read_text()
    (grid.folder / "again" / "config.toml").write_text(config)
    log = RunPaths(grid.folder / "again").events
    log.write_text(log.read_text().replace('"seed": 2', '"seed": 1'))
    table = grid_table(grid_of_runs(grid.folder))
    (cell,) = table.cells.values()
    assert (cell.seeds, cell.missing) == ((1,), 0)
    assert table.left_out == {"again": f"{run.run_id} has the same settings and seed"}


def test_damaged_runs_are_named_and_the_others_count(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed",) * 3)
    first, second, third = (grid.folder / run.run_id for run in grid.runs[:3])
    RunPaths(first).events.write_bytes(b"\xff\xfe garbage\n{\n")
    RunPaths(second).config.write_text("[model")
    table = grid_table(grid)
    assert table.cells["LoRA", "MRPC"].seeds == (3,)
    assert table.cells["LoRA", "MRPC"].counts == {"unreadable": 2, "completed": 1}
    assert set(table.left_out) == {first.name, second.name}
    assert "events.jsonl" in table.left_out[first.name]
    alone = grid_table(grid_of_runs(grid.folder))
    assert set(alone.left_out) == {first.name, second.name}
    assert "config.toml" in alone.left_out[second.name]
    assert [run.run_id for run in alone.runs if run.counts] == [third.name]


def test_a_run_of_other_settings_is_named_with_them(tmp_path: Path) -> None:
    grid = make_grid(tmp_path, ("completed",) * 3)
    first = grid.folder / grid.runs[0].run_id
    config = RunPaths(first).config
    config.write_text(config.read_text().replace("weight_decay = 0.01", "weight_decay = 0.0"))
    table = grid_table(grid)
    assert table.cells["LoRA", "MRPC"].seeds == (2, 3)
    assert table.left_out == {first.name: "training.weight_decay is 0.0, planned 0.01"}


def test_last_instead_of_best(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    best, last = (grid_table(grid.with_head(policy=p)) for p in ("best", "last"))
    one, other = (each.cells["LoRA", "MRPC"].mean for each in (best, last))
    assert one is not None
    assert other == pytest.approx(one - 1.0)


# Statistics --------------------------------------------------------------------------------------


def test_mean_spread_and_the_pairs_against_their_definitions() -> None:
    assert mean_and_spread([]) == (None, None)
    assert mean_and_spread([3.0]) == (3.0, None)
    assert mean_and_spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    own, other = {1: 5.0, 2: 7.0, 3: 9.0, 9: 0.0}, {1: 4.0, 2: 5.0, 3: 6.0, 8: 0.0}
    assert paired(own, other) == (1.0, 2.0, 3.0)
    assert paired({1: 1.0}, {2: 1.0}) == ()


# Any grid ----------------------------------------------------------------------------------------

AXES: dict[str, list[Any]] = {
    "method.name": ["lora", "bitfit"],
    "calibration.variant": ["off", "S"],
    "task.name": ["MRPC", "RTE"],
    "training.epochs": [2, 3],
    "training.batch_size": [8, 4],
}
KEYS = st.lists(st.sampled_from(sorted(AXES)), unique=True, max_size=3)
STATES = ("completed", "completed", "completed", "running", "failed", "stopped", "waiting", "torn")


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    axes=KEYS,
    rows=KEYS,
    columns=KEYS,
    seeds=st.integers(1, 3),
    average=st.booleans(),
    copies=st.integers(0, 2),
    states=st.lists(st.sampled_from(STATES), min_size=4, max_size=12),
    by_file=st.booleans(),
)
def test_every_run_is_in_one_cell_or_named_and_all_forms_agree(
    axes: list[str],
    rows: list[str],
    columns: list[str],
    seeds: int,
    average: bool,
    copies: int,
    states: list[str],
    by_file: bool,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = any_grid(folder, axes, rows, columns, seeds, average)
        complete = {}
        for number, run in enumerate(grid.runs):
            state = states[number % len(states)]
            if state == "waiting":
                continue
            run_dir = write_run(grid.folder, run, "completed" if state == "torn" else state, number)
            if state == "torn":
                RunPaths(run_dir).events.write_text('{"torn": ')
            elif state == "completed":
                complete[run.run_id] = 100.0 * (0.80 + 0.01 * (number % 7))
        for number, original in enumerate(list(complete)[:copies]):
            copy_run(grid.folder, original, f"copy-{number}", later=number - 0.5)
            if not by_file:
                complete[f"copy-{number}"] = complete[original]
        if not by_file:
            if not any(grid.folder.iterdir()):
                return
            head = grid.head
            grid = grid_of_runs(grid.folder)
            grid = replace(grid, file=grid.file.model_copy(update={"grid": head}))
        check(grid, grid_table(grid), complete)


def any_grid(
    folder: Path, axes: list[str], rows: list[str], columns: list[str], seeds: int, average: bool
) -> Grid:
    lines = [
        *("[grid]", 'name = "any"', 'extends = "demo"', f"rows = {rows}", f"columns = {columns}"),
        *(f"average = {str(average).lower()}", "[axes]"),
        *(f'"{key}" = {AXES[key]}' for key in axes),
        f'"{SEED}" = {list(range(seeds))}',
    ]
    (folder / "any.toml").write_text("\n".join(lines))
    grid = expand_grid(folder / "any.toml", folder / "runs")
    grid.folder.mkdir(parents=True)
    return grid


def check(grid: Grid, table: Table, complete: dict[str, float]) -> None:
    placed = [run.run_id for run in table.runs]
    assert sorted([*placed, *grid.unreadable]) == sorted(
        [r.run_id for r in grid.runs] + [*grid.unreadable]
    )
    assert len(set(placed)) == len(placed)
    own = {run.run_id: run.settings for run in grid.runs}
    for run in table.runs:
        assert run.counts == (run.run_id in complete and run.run_id not in table.left_out)
    for cell in table.cells.values():
        counted = [run.run_id for run in cell.runs if run.counts]
        assert told_apart([own[run.run_id] for run in cell.runs]) == []
        assert len(set(cell.seeds)) == len(cell.seeds)
        if cell.runs:
            assert cell.values == pytest.approx([complete[name] for name in counted])
            assert len(cell.seeds) + cell.missing == len({run.seed for run in cell.runs})
        if cell.values:
            assert cell.mean == pytest.approx(sum(cell.values) / len(cell.values))
    text, latex = (render(table, style) for style in ("text", "latex"))
    by_csv = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    by_json = json.loads(render(table, "json"))
    assert set(by_json["left_out"]) == set(table.left_out)
    for cell, line, entry in zip(table.cells.values(), by_csv, by_json["entries"], strict=True):
        assert (line["row"], line["column"]) == (entry["row"], entry["column"])
        assert line["mean"] == ("" if cell.mean is None else str(entry["mean"]))
        assert entry["values"] == list(cell.values)
        assert entry["runs"] == line["runs"].split() == [r.run_id for r in cell.runs if r.counts]
        assert cell.result in grid_text.cell_text(cell, STYLES).plain
        assert cell_text(cell) in text
        assert cell_text(cell).replace("±", r"$\pm$").replace("Δ", r"$\Delta$") in latex
    assert all(name in text for name in table.left_out)


def test_names_of_others_are_no_latex_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calisr_engine.grid.render.notes", lambda _: ["one", "two\n\\input{x}"])
    table = Table("title", "best", ("\\input{x} $y$\n#~^",), ("a_b & c",), {})
    lines = render(table, "latex").splitlines()
    assert lines[0] == r"% one two \input{x}"
    assert lines[3] == r" & a\_b \& c \\"
    name = r"\textbackslash{}input\{x\} \$y\$ \#\textasciitilde{}\textasciicircum{}"
    assert lines[5].startswith(name + " & ")


@given(st.text("ab|\\`*_[]<>!()\n\r\x0b\u2028 ", max_size=12))
@example("![x](http://example.org)<b>")
@settings(max_examples=50)
def test_names_of_others_are_no_markdown(name: str) -> None:
    with mock.patch("calisr_engine.grid.render.notes", return_value=[]):
        text = render(Table(name, "best", (name,), (name, "b"), {}), "markdown")
    title, _, head, _, row, *_ = text.splitlines()
    bare = re.compile(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|]")
    assert not bare.search(title)
    for line, cells in ((head, 3), (row, 3)):
        assert [each[-1] for each in bare.findall(line)] == ["|"] * (cells + 1)
