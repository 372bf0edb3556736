"""From a folder of runs back to its grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from calisr_engine.errors import NotFoundError
from calisr_engine.grid import Grid, expand_grid
from calisr_engine.grid.folders import grid_as_trained, write_record
from calisr_engine.runs.create import create_run
from tests.tui.grids import write_run

GRID = """\
[grid]
name = "two"
extends = "demo"

[axes]
"training.seed" = [1, 2]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.toml"
    path.write_text(GRID)
    return path


def test_values_set_for_the_training_count_afterwards_too(file: Path, tmp_path: Path) -> None:
    trained = expand_grid(file, tmp_path, sets=("training.epochs=9",))
    trained.folder.mkdir()
    write_record(trained)
    again = grid_as_trained(str(file), tmp_path)
    assert [run.run_id for run in again.runs] == [run.run_id for run in trained.runs]
    assert again.runs[0].resolved.config.training.epochs == 9


def complete(grid: Grid) -> None:
    grid.folder.mkdir(exist_ok=True)
    write_record(grid)
    for run in grid.runs:
        write_run(grid.folder, run, "completed")


def test_seeds_of_an_earlier_training_count_too(file: Path, tmp_path: Path) -> None:
    """Those of them that are complete, where no other setting differs."""
    epochs = "training.epochs=9"
    first = expand_grid(file, tmp_path, sets=(epochs,))
    third, fourth = (
        expand_grid(file, tmp_path, sets=(f"training.seed=[{seed}]", epochs)) for seed in (3, 4)
    )
    for grid in (first, third):
        complete(grid)
    write_record(fourth)
    found = grid_as_trained(str(file), tmp_path)
    assert {run.seed for run in found.runs} == {1, 2, 3, 4}
    assert (found.earlier, found.sets) == (3, fourth.sets)
    assert grid_as_trained(str(first.folder), tmp_path).runs == found.runs
    write_record(first)  # trained again: one line for it, and the fourth seed never began
    assert {run.seed for run in grid_as_trained(str(file), tmp_path).runs} == {1, 2, 3}
    write_record(expand_grid(file, tmp_path, sets=("training.epochs=8",)))
    other = grid_as_trained(str(file), tmp_path)
    assert (len(other.runs), other.earlier) == (2, 0)


def test_the_record_of_another_file_does_not_count(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(GRID)
    trained = expand_grid(other, tmp_path, sets=("training.epochs=9",))
    trained.folder.mkdir()
    write_record(trained)
    plain = grid_as_trained(str(file), tmp_path)
    assert plain.runs[0].resolved.config.training.epochs != 9


def test_a_folder_of_runs_is_a_grid_by_itself(file: Path, tmp_path: Path) -> None:
    grid = expand_grid(file, tmp_path / "elsewhere")
    for run in grid.runs:
        create_run(run.resolved, grid.folder, name=run.run_id)
    found = grid_as_trained(str(grid.folder), Path("unused"))
    assert {run.run_id for run in found.runs} == {run.run_id for run in grid.runs}


def test_an_empty_folder_is_no_grid(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no runs"):
        grid_as_trained(str(tmp_path), tmp_path)


def test_runs_of_other_settings_in_the_folder_of_a_shipped_grid(tmp_path: Path) -> None:
    """Such as those of a version whose defaults were others: they are shown as they are."""
    folder = tmp_path / "small-table2"
    for run in expand_grid("small/table2", tmp_path, sets=("training.epochs=9",)).runs[:2]:
        create_run(run.resolved, folder, name=run.run_id)
    assert len(grid_as_trained(str(folder), tmp_path).runs) == 2
