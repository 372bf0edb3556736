"""From a folder of runs back to its grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from calisr_engine.config.load import load
from calisr_engine.errors import NotFoundError
from calisr_engine.grid import plan_grid
from calisr_engine.grid.folders import plan_as_trained, write_record
from calisr_engine.grid.plan import identity
from calisr_engine.runs.create import create_run

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
    trained = plan_grid(file, tmp_path, sets=("training.epochs=9",))
    trained.folder.mkdir()
    write_record(trained)
    again = plan_as_trained(str(file), tmp_path)
    assert [cell.run_id for cell in again.cells] == [cell.run_id for cell in trained.cells]
    assert again.cells[0].resolved.config.training.epochs == 9


def test_the_record_of_another_file_does_not_count(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(GRID)
    trained = plan_grid(other, tmp_path, sets=("training.epochs=9",))
    trained.folder.mkdir()
    write_record(trained)
    plain = plan_as_trained(str(file), tmp_path)
    assert plain.cells[0].resolved.config.training.epochs != 9


def test_a_folder_of_runs_is_a_grid_by_itself(file: Path, tmp_path: Path) -> None:
    plan = plan_grid(file, tmp_path / "elsewhere")
    for cell in plan.cells:
        create_run(cell.resolved, plan.folder, name=cell.run_id)
    found = plan_as_trained(str(plan.folder), Path("unused"))
    assert {cell.run_id for cell in found.cells} == {cell.run_id for cell in plan.cells}


def test_an_empty_folder_is_no_grid(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no runs"):
        plan_as_trained(str(tmp_path), tmp_path)


def test_runs_of_other_settings_in_the_folder_of_a_shipped_grid(tmp_path: Path) -> None:
    """Such as those of a version whose defaults were others: they are shown as they are."""
    folder = tmp_path / "small-table2"
    for cell in plan_grid("small/table2", tmp_path, sets=("training.epochs=9",)).cells[:2]:
        create_run(cell.resolved, folder, name=cell.run_id)
    assert len(plan_as_trained(str(folder), tmp_path).cells) == 2


@pytest.mark.parametrize(("one", "other"), [("lora", "bitfit"), ("lora", "mpop")])
def test_methods_at_their_defaults_are_different_runs(one: str, other: str) -> None:
    first, second = (
        load(None, [f"method.name={name}", "calibration.variant=off"]) for name in (one, other)
    )
    assert identity({}, first) != identity({}, second)


def test_what_a_default_says_is_no_other_run() -> None:
    said = load(None, ["method.name=lora", "method.rank=8", "training.weight_decay=0.01"])
    assert identity({}, said) == identity({}, load(None, ["method.name=lora"]))
    assert identity({}, said) != identity({}, load(None, ["method.name=lora", "method.rank=4"]))
