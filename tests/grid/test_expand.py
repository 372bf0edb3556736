"""Grid files: combinations, ids, mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError, NotFoundError
from calisr_engine.grid import expand_grid, read_grid
from calisr_engine.grid.expand import identity
from calisr_engine.grid.spec import grid_names
from tests.grid.tiny_grid import METHODS, write_grid

AXES = f'{METHODS}\n"calibration.variant" = ["off", "S"]'


def test_every_combination_is_a_run_and_ids_do_not_change(tmp_path: Path) -> None:
    path = write_grid(tmp_path, axes=AXES)
    one, two = expand_grid(path, tmp_path / "a"), expand_grid(path, tmp_path / "b")
    assert len(one.runs) == 8
    assert [run.run_id for run in one.runs] == [run.run_id for run in two.runs]
    assert len({run.run_id for run in one.runs}) == 8
    other = expand_grid(path, tmp_path / "a", sets=("training.learning_rate=1e-4",))
    assert not {run.run_id for run in one.runs} & {run.run_id for run in other.runs}


def test_ids_are_those_of_the_version_before() -> None:
    """Runs of today are found by them."""
    assert [run.run_id for run in expand_grid("small/table2").runs[:2]] == [
        "SST_2-fft-off-42-c81aa0b6",
        "SST_2-fft-off-43-7997abc0",
    ]


def test_where_the_data_lies_does_not_change_an_id(tmp_path: Path) -> None:
    path = write_grid(tmp_path)
    here, there = (expand_grid(path, tmp_path, data_dir=tmp_path / d) for d in ("x", "y"))
    assert [run.run_id for run in here.runs] == [run.run_id for run in there.runs]


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


def test_rules_zips_and_exclusions(tmp_path: Path) -> None:
    more = (
        AXES
        + """
[[zip]]
"task.max_length" = [16, 32]
"training.batch_size" = [8, 4]

[[when]]
match = { "method.name" = "bitfit", "calibration.variant" = "S" }
exclude = true

[[when]]
match = { "method.name" = "lora" }
set = { "method.rank" = 2 }
"""
    )
    grid = expand_grid(write_grid(tmp_path, axes=more), tmp_path)
    assert len(grid.runs) == 12
    assert grid.excluded == 4
    pairs = {
        (run.settings["task.max_length"], run.settings["training.batch_size"]) for run in grid.runs
    }
    assert pairs == {(16, 8), (32, 4)}
    lora = [run.settings for run in grid.runs if run.settings["method.name"] == "lora"]
    assert all(settings["method.rank"] == 2 for settings in lora)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "[grid]"),
        ('[grid]\nname = "x"\n', "at least one axis"),
        ('[grid]\nname = "x y"\n[axes]\na = [1]\n', "name"),
        ('[grid]\nname = "x"\nnmae = 1\n[axes]\na = [1]\n', "nmae"),
        ('[grid]\nname = "x"\n[axes]\n"training.seed" = []\n', "no values"),
        ('[grid]\nname = "x"\n[axes]\n"training.seeed" = [1]\n', "seeed"),
        ('[grid]\nname = "x"\n[axes]\n"training.seed" = ["a"]\n', "training.seed"),
        ('[grid]\nname = "x"\n[axes]\n"training.seed" = [1, 1]\n', "the same run"),
        ('[grid]\nname = "x"\n[[zip]]\na = [1]\nb = [1, 2]\n', "equally long"),
        ("[grid\n", "not valid TOML"),
    ],
)
def test_mistakes_name_the_file_and_the_mend(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        expand_grid(path, tmp_path)
    assert "bad.toml" in str(error.value)
    assert words in str(error.value) or any(words in str(each) for each in error.value.problems)


def test_values_that_a_rule_makes_equal_are_refused(tmp_path: Path) -> None:
    """They would be trained twice, under two names."""
    more = '"training.epochs" = [2, 3]\n[[when]]\nmatch = {}\nset = { "training.epochs" = 3 }\n'
    path = write_grid(tmp_path, axes=more)
    path.write_text(path.read_text().replace('"training.epochs" = 2\n', ""))
    with pytest.raises(ConfigError, match=r"epochs=2 and .*epochs=3 are the same run"):
        expand_grid(path, tmp_path)


def test_an_unknown_grid_lists_the_shipped_ones() -> None:
    with pytest.raises(NotFoundError, match="small/table2"):
        read_grid("no-such-grid")


@pytest.mark.parametrize("name", grid_names())
def test_every_shipped_grid_is_valid(name: str, tmp_path: Path) -> None:
    assert expand_grid(name, tmp_path).runs


def test_set_is_above_what_the_file_says(tmp_path: Path) -> None:
    grid = expand_grid("small/table2", tmp_path, sets=("training.epochs=9",))
    assert {run.settings["training.epochs"] for run in grid.runs} == {9}


def test_set_does_not_touch_an_axis(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="differ in it"):
        expand_grid("small/table2", tmp_path, sets=("training.seed=1",))


def test_a_list_given_for_an_axis_takes_its_place(tmp_path: Path) -> None:
    file = write_grid(tmp_path, axes='"task.max_length" = [48, 64]')
    grid = expand_grid(file, tmp_path, None, ("training.seed=[7]", "training.epochs=1"))
    assert [tuple(run.values.values()) for run in grid.runs] == [(7, 48), (7, 64)]
    assert {run.resolved.config.training.epochs for run in grid.runs} == {1}


@pytest.mark.parametrize("given", ["training.seed=7", "training.seed=[]", "training.seed=[7"])
def test_one_value_for_an_axis_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(ConfigError, match="differ in it") as caught:
        expand_grid(write_grid(tmp_path), tmp_path, None, (given,))
    assert "training.seed=[...]" in caught.value.hint


def test_own_data_that_nobody_named_is_called_after_its_file(tmp_path: Path) -> None:
    """And not as the task that a run has by default."""
    own = {
        "train_file": "reviews.csv",
        "text_column": "t",
        "label_column": "l",
        "kind": "regression",
    }
    settings = "".join(f'"task.{key}" = "{value}"\n' for key, value in own.items())
    path = tmp_path / "g.toml"
    path.write_text(f'[grid]\nname = "g"\n[settings]\n{settings}[axes]\n"training.seed" = [1, 2]\n')
    names = [run.resolved.config.task.name for run in expand_grid(path).runs]
    assert names == ["reviews", "reviews"]
