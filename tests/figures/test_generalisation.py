"""Stable rank and gap over the runs of a grid: which count, and what is said."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import rankdata
from typer.testing import CliRunner

from calisr_engine.errors import NotFoundError
from calisr_engine.figures.generalisation import Study, curves, study
from calisr_engine.grid import Grid
from calisr_engine.runs.layout import RunPaths
from calisr_tui.cli.app import app
from tests.tui.grids import make_grid, write_run

Figures = Callable[[int, str], tuple[float, float]]
"""(number of the row, seed and task in words) -> (stable rank, gap)."""


def measured(folder: Path, figures: Figures, states: tuple[str, ...] = ("completed",) * 24) -> Grid:
    """The study of four rows, two tasks and three seeds, with two measurements a run."""
    folder.mkdir(exist_ok=True)
    grid = make_grid(folder, states)
    rows: dict[str, int] = {}
    for run in grid.runs:
        log = RunPaths(grid.folder / run.run_id).events
        if not log.is_file():
            continue
        method, variant = run.settings["method.name"], run.settings["calibration.variant"]
        number = rows.setdefault(f"{method} {variant}", len(rows))
        rank, gap = figures(number, f"{run.seed} {run.settings['task.name']}")
        lines = log.read_text().splitlines()
        end = json.loads(lines.pop()) if '"completed"' in lines[-1] else None
        for step, share in ((50, 0.5), (100, 1.0)):
            losses = {"train_loss": 0.5, "validation_loss": 0.5 + share * gap}
            terms = {"stable_rank": rank, "log_norms": 3.0, "train_examples": 20}
            head = json.loads(lines[0]) | {"seq": len(lines), "step": step, "epoch": step / 25}
            for key in ("run_id", "config", "synthetic_data"):
                head.pop(key, None)
            lines.append(json.dumps(head | {"type": "generalisation_measured"} | losses | terms))
        if end is not None:
            lines.append(json.dumps(end | {"seq": len(lines)}))
        log.write_text("\n".join(lines) + "\n")
    return grid


def together(row: int, where: str) -> tuple[float, float]:
    return 100.0 - row, 0.4 - 0.1 * row


def found(grid: Grid) -> Study:
    return study([str(grid.folder)], grid.folder.parent)


def test_rows_are_means_of_the_last_measurements_and_correlated(tmp_path: Path) -> None:
    said = found(measured(tmp_path, together))
    assert [(row.task, row.row, sorted(row.seeds)) for row in said.rows] == [
        (task, name, [1, 2, 3])
        for task in ("MRPC", "RTE")
        for name in ("BitFit", "BitFit+CaliSr-S", "LoRA", "LoRA+CaliSr-S")
    ]
    gaps = rankdata([row.means["gap"] for row in said.rows if row.task == "MRPC"])
    assert list(gaps) == [2.0, 1.0, 4.0, 3.0]
    rank = said.correlations["stable_rank"]
    assert (rank.rho, rank.tasks, rank.rows, rank.strata) == (1.0, 2, 8, 6)
    assert rank.p_value is not None
    # Of 4! orders in each of two tasks, all as they are or all turned round.
    assert rank.p_value == pytest.approx(2 / 24**2)
    assert said.sentence.startswith("A lower total stable rank goes with a smaller gap, which is")
    assert "does not say that the one makes the other" in said.sentence
    assert said.correlations["log_norms"].rho is None


def test_what_could_be_chance_is_called_so(tmp_path: Path) -> None:
    def mixed(row: int, where: str) -> tuple[float, float]:
        return 100.0 - row, (0.2, 0.4, 0.1, 0.3)[row]

    said = found(measured(tmp_path, mixed))
    assert said.sentence.startswith(
        "That stable rank and gap go together could be chance (Spearman"
    )

    def apart(row: int, where: str) -> tuple[float, float]:
        return 100.0 + row, 0.4 - 0.1 * row

    other = found(measured(tmp_path / "apart", apart))
    assert "goes with a larger gap" in other.sentence


def test_runs_that_do_not_count_are_named(tmp_path: Path) -> None:
    grid = measured(tmp_path, together, ("completed",) * 5 + ("running",))
    assert "never" not in found(grid).sentence
    (name,) = found(grid).left_out
    assert (name, found(grid).left_out[name]) == (grid.runs[5].run_id, "it is not complete")
    write_run(grid.folder, grid.runs[10], "completed")
    assert found(grid).left_out[grid.runs[10].run_id] == "its generalisation was not logged"
    assert found(grid).sentence.startswith("Nothing can be said of stable rank and gap")


def test_without_a_log_of_it_the_setting_is_named(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    with pytest.raises(NotFoundError, match="has logged its generalisation") as error:
        found(grid)
    assert "diagnostics.generalisation=true" in error.value.hint


def test_curves_are_means_over_seeds(tmp_path: Path) -> None:
    figure = curves(found(measured(tmp_path, together)))
    gap = next(panel for panel in figure.panels if panel.title == "Gap")
    assert len(gap.series) == 8
    lora = next(each for each in gap.series if each.label == "MRPC LoRA")
    assert lora.x == (50.0, 100.0)
    assert lora.y == pytest.approx((0.2, 0.4))


def test_the_command_prints_table_json_and_csv(tmp_path: Path) -> None:
    grid = measured(tmp_path, together)
    words = ["analyze", "generalisation", str(grid.folder), "--output-dir", str(tmp_path)]
    text = CliRunner().invoke(app, words)
    assert text.exit_code == 0, text.output
    assert "SR and gap" in text.output
    by_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    lines = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, [*words, "--csv"]).stdout)))
    assert len(lines) == len(by_json["measurements"]) == 24 * 2
    for line, each in zip(lines, by_json["measurements"], strict=True):
        assert line == {key: "" if value is None else str(value) for key, value in each.items()}
    assert by_json["sentence"] == found(grid).sentence
