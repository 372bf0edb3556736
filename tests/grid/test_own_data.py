"""Grids on data of one's own: what nobody said of it is found as for a single run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from calisr_engine.config.load import load
from calisr_engine.config.own_data import resolve
from calisr_engine.errors import ConfigError, DataError
from calisr_engine.grid.expand import Grid, expand_grid
from calisr_engine.grid.folders import grid_as_trained, write_record
from calisr_engine.preview import guess
from calisr_engine.runs.create import create_run

ROWS = [f"the film number {at} was long,{'good' if at % 2 else 'bad'}" for at in range(40)]


def reviews(path: Path, header: str = "review,verdict") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *ROWS]))
    return path


def grid(path: Path, sets: tuple[str, ...] = (), **settings: Any) -> Grid:
    named = {f"task.{key}": value for key, value in settings.items()}
    content = {
        "grid": {"name": "g", "extends": "demo"},
        "settings": named,
        "axes": {"training.seed": [1, 2]},
    }
    path.write_text(tomli_w.dumps(content))
    return expand_grid(path, path.parent / "runs", sets=sets)


def test_the_runs_are_those_that_a_single_run_would_be(tmp_path: Path) -> None:
    file = reviews(tmp_path / "films.csv")
    found = grid(tmp_path / "g.toml", train_file=str(file)).runs[0].resolved.config.task
    single, _ = resolve("demo", [], {"task.train_file": file})
    assert found == single.config.task
    assert (found.name, found.text_column, found.label_column) == ("films", "review", "verdict")


def test_what_is_said_stays_and_other_columns_are_other_runs(tmp_path: Path) -> None:
    file = reviews(tmp_path / "films.csv")
    guessed = grid(tmp_path / "g.toml", train_file=str(file))
    turned = grid(
        tmp_path / "g.toml",
        train_file=str(file),
        name="mine",
        text_column="verdict",
        label_column="review",
        kind="classification",
    )
    task = turned.runs[0].resolved.config.task
    assert (task.name, task.text_column) == ("mine", "verdict")
    assert {run.run_id for run in guessed.runs}.isdisjoint(run.run_id for run in turned.runs)


def test_a_path_is_sought_beside_the_grid_file_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    reviews(here / "films.csv", "of_the_folder,verdict")
    reviews(tmp_path / "a" / "films.csv", "of_the_file,verdict")
    monkeypatch.chdir(here)
    beside = grid(tmp_path / "a" / "g.toml", train_file="films.csv").runs[0]
    assert beside.resolved.config.task.text_column == "of_the_file"
    (tmp_path / "b").mkdir()
    away = grid(tmp_path / "b" / "g.toml", train_file="films.csv").runs[0]
    assert away.resolved.config.task.text_column == "of_the_folder"


def test_a_folder_stands_for_its_files_whoever_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    reviews(folder / "train.csv")
    reviews(folder / "dev.csv")
    said = f"task.train_file={folder}"
    single = [
        resolve("demo", [said], {})[0].config.task,
        resolve("demo", [], {"task.train_file": folder})[0].config.task,
    ]
    of_grid = [
        grid(tmp_path / "g.toml", train_file="films").runs[0].resolved.config.task,
        grid(tmp_path / "g.toml", sets=(said,)).runs[0].resolved.config.task,
    ]
    for task in (*single, *of_grid):
        assert task.train_file == folder / "train.csv"
        assert task.validation_file == folder / "dev.csv"
        assert task.name == "films"


def test_data_of_the_command_is_found_too_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = reviews(tmp_path / "films.csv")
    reads = []
    monkeypatch.setattr(guess, "read_table", _counted(guess.read_table, reads))
    runs = grid(tmp_path / "g.toml", sets=(f"task.train_file={file}",)).runs
    assert [run.resolved.config.task.label_column for run in runs] == ["verdict", "verdict"]
    assert len(reads) == 1


def _counted(read: Any, reads: list[Path]) -> Any:
    def counted(path: Path, *args: Any) -> Any:
        reads.append(path)
        return read(path, *args)

    return counted


def test_mistakes_speak_of_settings(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(DataError) as lacking:
        grid(tmp_path / "g.toml", train_file="n.csv")
    assert lacking.value.hint.startswith("name it with task.text_column; columns")
    with pytest.raises(ConfigError, match=r"task\.train_file and task\.dataset exclude"):
        grid(tmp_path / "g.toml", train_file="n.csv", dataset="imdb")
    with pytest.raises(DataError, match=r"gone\.csv"):
        grid(tmp_path / "g.toml", train_file="gone.csv")


def test_a_name_below_the_data_is_that_of_another_task(tmp_path: Path) -> None:
    columns = 'text_column = "review"\nlabel_column = "verdict"\nkind = "classification"\n'
    reviews(tmp_path / "films.csv")
    (tmp_path / "below.toml").write_text('extends = "demo"\n[task]\nname = "RTE"\n')
    own = f'extends = "below.toml"\n[task]\ntrain_file = "films.csv"\n{columns}'
    (tmp_path / "own.toml").write_text(own)
    assert load(tmp_path / "own.toml").config.task.name == "films"
    (tmp_path / "named.toml").write_text(own + 'name = "verdicts"\n')
    assert load(tmp_path / "named.toml").config.task.name == "verdicts"
    above = {"task.train_file": reviews(tmp_path / "more.csv")}
    assert load(tmp_path / "named.toml", overrides=above).config.task.name == "verdicts"


def test_a_report_needs_no_data(tmp_path: Path) -> None:
    file = reviews(tmp_path / "films.csv")
    planned = grid(tmp_path / "g.toml", train_file="films.csv")
    for run in planned.runs:
        create_run(run.resolved, planned.folder, run.run_id)
    write_record(planned)
    file.unlink()
    names = {run.run_id for run in planned.runs}
    for of in (str(planned.folder), str(tmp_path / "g.toml")):
        assert {run.run_id for run in grid_as_trained(of, tmp_path / "runs").runs} == names
