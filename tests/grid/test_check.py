"""What a grid file says is done or refused, never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.grid import Grid, expand_grid
from calisr_engine.grid.check import MOST_RUNS
from tests.grid.odd_grids import odd_grid

AXIS = '[axes]\n"training.seed" = [1, 2]\n'
RULE = '[[when]]\nmatch = { "training.seed" = 1 }\nset = { "training.epochs" = 7 }\n'


def write(folder: Path, more: str = AXIS, head: str = "") -> Path:
    path = folder / "my.toml"
    path.write_text(f'[grid]\nname = "my"\n{head}{more}')
    return path


@pytest.mark.parametrize(
    ("head", "more", "words"),
    [
        ("", AXIS + RULE.replace("training.seed", "training.sed"), ("when.0.match", "mean seed?")),
        ('rows = ["training.sed"]\n', AXIS, ("grid.rows", "mean seed?")),
        ('columns = ["task.nam"]\n', AXIS, ("grid.columns", "mean name?")),
        ('paper = "table9"\n', AXIS, ("grid.paper", "table2")),
        ("", AXIS + '[settings]\n"output.name" = "x"\n', ("settings.output.name", "--output-dir")),
        ("", '[axes]\n"output.dir" = ["a", "b"]\n', ("axes.output.dir",)),
        ("", AXIS + RULE.replace("training.epochs", "output.name"), ("when.output.name",)),
        ("", AXIS + '[[zip]]\n"training.seed" = [3, 4]\n', ("training.seed", "on 2 axes")),
        ("", AXIS + "[[when]]\nmatch = {}\nexclude = true\n", ("no run",)),
        ("", AXIS + '[[when]]\nmatch = {}\nexclude = "yes"\n', ("when.0.exclude", "true or false")),
        ("average = 1\n", AXIS, ("grid.average", "true or false")),
        ("", '[[zip]]\n"training.seed" = []\n', ("no values",)),
        ("", AXIS + "[[zip]]\n", ("no values",)),
        ("axes = [1]\n", "", ("grid.axes", "unknown key")),
        ('extends = "nope"\n', AXIS, ("my.toml", "extends", "no preset 'nope'")),
        ("", f"[axes]\nx = {'[' * 200 + ']' * 200}\n", ("x=[[[", "unknown key")),
    ],
)
def test_nothing_of_a_file_is_passed_over(
    head: str, more: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        expand_grid(write(tmp_path, more, head), tmp_path)
    assert all(word in str(error.value) for word in words)
    assert all(len(line) < 600 for line in str(error.value).splitlines())


def test_more_runs_than_anyone_has_are_refused_before_they_are_made(tmp_path: Path) -> None:
    values = list(range(1, 1000))
    axes = "".join(f'"{key}" = {values}\n' for key in ("training.seed", "training.epochs"))
    with pytest.raises(ConfigError, match="998,001 combinations"):
        expand_grid(write(tmp_path, f"[axes]\n{axes}"), tmp_path)
    assert MOST_RUNS < 998_001


def test_sections_and_dotted_keys_mean_the_same_in_rules_and_zips(tmp_path: Path) -> None:
    nested = "[[when]]\n[when.match.training]\nseed = 1\n[when.set.training]\nepochs = 7\n"
    nested += "[[zip]]\n[zip.task]\nmax_length = [16, 32]\n"
    dotted = RULE + '[[zip]]\n"task.max_length" = [16, 32]\n'
    one, other = (
        expand_grid(write(tmp_path, AXIS + more), tmp_path).runs for more in (nested, dotted)
    )
    assert [run.run_id for run in one] == [run.run_id for run in other]
    epochs = [run.settings["training.epochs"] for run in one]
    assert epochs[0] == epochs[2] == 7
    assert epochs[1] == epochs[3] != 7


def test_true_is_no_number_in_a_rule(tmp_path: Path) -> None:
    rule = '[[when]]\nmatch = { "training.seed" = true }\nexclude = true\n'
    grid = expand_grid(write(tmp_path, AXIS + rule), tmp_path)
    assert len(grid.runs) == 2


def test_a_rule_for_no_run_is_noted(tmp_path: Path) -> None:
    grid = expand_grid(write(tmp_path, AXIS + RULE.replace("= 1 }", "= 99 }")), tmp_path)
    assert [len(grid.runs), len(grid.notes)] == [2, 1]
    assert "training.seed" in grid.notes[0]
    assert not expand_grid(write(tmp_path, AXIS + RULE), tmp_path).notes


def test_odd_grid_files(tmp_path: Path) -> None:
    """Runs that differ, or an error that names the file; nothing else."""
    accepted = 0
    for seed in range(1000):
        path = tmp_path / "odd.toml"
        path.write_text(odd_grid(seed), encoding="utf-8")
        grid, refused = expanded(path)
        if grid is None:
            assert "odd.toml" in refused, (seed, refused)
            continue
        accepted += 1
        assert grid.runs
        assert len({run.run_id for run in grid.runs}) == len(grid.runs)
    assert accepted > 20


def expanded(path: Path) -> tuple[Grid | None, str]:
    """The grid, or why it was refused; any other error is raised."""
    try:
        return expand_grid(path, path.parent), ""
    except CalisrError as error:
        return None, str(error)
