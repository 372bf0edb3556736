"""Controls in a grid: which run each is matched to, and that this one is trained first."""

from __future__ import annotations

import pytest

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import ConfigError
from calisr_engine.grid.executors import Ending
from calisr_engine.grid.render import render
from calisr_engine.grid.state import chosen, read_states
from calisr_engine.grid.table import grid_table
from calisr_engine.grid.train import train_grid
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.filter import parse
from tests.grid.tiny_grid import Scripted, dirs, tiny_grid
from tests.training.tiny_run import save_model

LORA = '"method.name" = "lora"\n"calibration.variant" = "S"\n"calibration.samples_per_epoch" = 3\n'
CONTROLS = '"calibration.control" = ["matched", "shuffled", "coin", "off"]'


@pytest.mark.parametrize("name", ["grid", "LoRA + S", "LoRA+CaliSr-S"])
def test_each_control_is_matched_to_the_calibrated_run_of_its_task_and_seed(tmp_path, name):
    settings = LORA + f'"calibration.matched_to" = "{name}"'
    axes = CONTROLS + '\n"task.max_length" = [48, 64]'
    head = 'columns = ["task.max_length"]'
    grid = tiny_grid(tmp_path, settings=settings, axes=axes, head=head)
    by_id = {run.run_id: run for run in grid.runs}
    followed = 0
    for run in grid.runs:
        if run.values["calibration.control"] in ("off", "coin"):
            assert run.source is None
            continue
        followed += 1
        source = by_id[run.source]
        assert source.values == run.values | {"calibration.control": "off"}
        assert run.resolved.config.calibration.matched_to == run.source
    assert followed == 8


def test_matched_to_makes_no_other_runs_of_those_that_follow_none(tmp_path):
    axes = '"method.name" = ["lora"]\n"calibration.variant" = ["S"]'
    plain = tiny_grid(tmp_path, axes=axes)
    named = tiny_grid(tmp_path, axes=axes, settings='"calibration.matched_to" = "grid"')
    assert [run.run_id for run in plain.runs] == [run.run_id for run in named.runs]


def test_ids_do_not_depend_on_where_the_grid_lies(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    settings = LORA + '"calibration.matched_to" = "grid"'
    one, other = (
        tiny_grid(folder, settings=settings, axes=CONTROLS)
        for folder in (tmp_path, tmp_path / "elsewhere")
    )
    assert [run.run_id for run in one.runs] == [run.run_id for run in other.runs]


@pytest.mark.parametrize(
    ("name", "controls", "why"),
    [
        ("MPOP + S", CONTROLS, "calibrated rows are: LoRA"),
        ("grid", '"calibration.control" = ["matched"]', "no calibrated run"),
        ("LoRA + S", '"calibration.control" = ["matched"]', "calibrated rows are: none"),
    ],
)
def test_a_control_without_its_run_is_refused_with_words(tmp_path, name, controls, why):
    settings = LORA + f'"calibration.matched_to" = "{name}"'
    with pytest.raises(ConfigError) as caught:
        tiny_grid(tmp_path, settings=settings, axes=controls)
    assert why in f"{caught.value.message} {caught.value.hint}"


def test_the_calibrated_run_is_trained_first_and_the_report_has_a_row_each(tmp_path):
    model = save_model(tmp_path / "model")
    settings = LORA + '"calibration.matched_to" = "grid"\n"training.learning_rate" = 1e-2'
    grid = tiny_grid(tmp_path, model, settings=settings, axes=CONTROLS, seeds=1)
    executor = Scripted(*[Ending.COMPLETED] * 4, writes=lambda run: execute(run, raise_errors=True))
    assert train_grid(grid, executor) == 0
    order = [from_resolved(run / "config.toml").calibration.control for run in executor.submitted]
    assert order == ["coin", "off", "matched", "shuffled"]
    matched, _, _, source = map(load_view, dirs(grid))
    assert matched.switched == source.switched
    table = grid_table(grid)
    row = "LoRA+CaliSr-S"
    assert table.rows == (f"{row} matched", f"{row} shuffled", f"{row} coin", row)
    assert all(cell.counts == {"completed": 1} for cell in table.cells.values())
    assert f"{row} matched" in render(table, "text")


def test_a_control_whose_run_failed_is_left_and_says_so(tmp_path):
    settings = LORA + '"calibration.matched_to" = "grid"'
    controls = '"calibration.control" = ["matched", "off"]'
    grid = tiny_grid(tmp_path, settings=settings, axes=controls, seeds=1)
    executor = Scripted(Ending.FAILED)
    said = []
    assert train_grid(grid, executor, on_change=lambda run, what: said.append((run, what))) == 1
    assert executor.submitted == dirs(grid)[1:]
    run, what = said[-1]
    assert run is grid.runs[0]
    assert what == f"cannot begin before {grid.runs[1].run_id}, which is not complete"


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        ("", ["coin", "off", "matched", "shuffled"]),
        ("control=coin,off", ["coin", "off"]),
        ("control=shuffled seed=1", ["off", "shuffled"]),
        ("-control=shuffled state=waiting method=lora", ["coin", "off", "matched"]),
        ("lr>1e-3", ["coin", "off", "matched", "shuffled"]),
        ("lr>0.1", []),
    ],
)
def test_a_part_of_a_grid_is_chosen_with_what_it_follows(tmp_path, only, wanted):
    settings = LORA + '"calibration.matched_to" = "grid"\n"training.learning_rate" = 1e-2'
    grid = tiny_grid(tmp_path, settings=settings, axes=CONTROLS, seeds=1)
    ids = chosen(grid, read_states(grid), parse(only))
    found = [run.settings["calibration.control"] for run in grid.runs if run.run_id in ids]
    assert sorted(found) == sorted(wanted)


def test_a_part_of_a_grid_is_trained_and_is_all_that_counts(tmp_path):
    model = save_model(tmp_path / "model")
    settings = LORA + '"calibration.matched_to" = "grid"\n"training.learning_rate" = 1e-2'
    grid = tiny_grid(tmp_path, model, settings=settings, axes=CONTROLS, seeds=1)
    ids = chosen(grid, read_states(grid), parse("control=shuffled"))
    executor = Scripted(*[Ending.COMPLETED] * 2, writes=lambda run: execute(run, raise_errors=True))
    assert train_grid(grid, executor, only=ids) == 0
    order = [from_resolved(run / "config.toml").calibration.control for run in executor.submitted]
    assert order == ["off", "shuffled"]
    states = read_states(grid)
    assert chosen(grid, states, parse("state=completed control=off,shuffled")) == ids
    assert len(chosen(grid, states, parse("state=waiting -control=matched"))) == 1
