"""The grids of the paper's tables: every printed figure beside the runs that it belongs to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tomli

from calisr_engine.config.load import load
from calisr_engine.grid import Grid, GridRun, expand_grid, paper
from calisr_engine.grid.labels import label
from calisr_engine.grid.paper import figure_beside_run
from calisr_engine.grid.render import cell_text
from calisr_engine.grid.state import RunState
from calisr_engine.grid.table import Table, grid_table
from calisr_engine.runs.store import summarise
from calisr_engine.tasks import glue
from calisr_tui.feed import EXAMPLE

FIGURES = tomli.loads(
    (Path(paper.__file__).parent / "paper_figures.toml").read_text(encoding="utf-8")
)
ROWS_ABOVE = {"bert-base-uncased": "BERT-base ", "roberta-base": "RoBERTa-base "}
"""How rows of Table 3 begin, whose models stand above them in the paper."""


def check(found: Table, table: str, above: dict[str, str]) -> set[tuple[str, str]]:
    """Each figure of the paper is where it belongs; returns the cells that have one."""
    cells = set()
    for model, beginning in above.items():
        printed = FIGURES[table][model]
        for row, figures in printed["rows"].items():
            for column, figure in zip(printed["columns"], figures, strict=True):
                assert found.cells[beginning + row, column].paper == figure
                cells.add((beginning + row, column))
    return cells


@pytest.mark.parametrize("table", FIGURES)
def test_every_figure_of_the_paper_has_its_cell_and_every_cell_a_figure(
    table: str, tmp_path: Path
) -> None:
    grid = expand_grid(f"paper/{table}", tmp_path)
    found = grid_table(grid)
    above = ROWS_ABOVE if table == "table3" else dict.fromkeys(FIGURES[table], "")
    assert check(found, table, above) == set(found.cells)
    assert found.averaged == (paper.AVERAGE in next(iter(FIGURES[table].values()))["columns"])
    models = {run.resolved.config.model.name for run in grid.runs}
    assert models == set(FIGURES[table])
    count = len(found.cells) - (len(found.rows) if found.averaged else 0)
    assert len(grid.runs) == found.missing == 5 * count
    for cell in found.cells.values():
        assert cell.missing == (0 if cell.column == paper.AVERAGE else 5)


def test_rows_and_columns_stand_in_the_order_of_the_paper(tmp_path: Path) -> None:
    for table in ("table1", "table2", "table6"):
        found = grid_table(expand_grid(f"paper/{table}", tmp_path))
        printed = next(iter(FIGURES[table].values()))
        assert list(found.rows) == list(printed["rows"])
        assert list(found.columns) == printed["columns"]


@pytest.mark.parametrize("table", FIGURES)
def test_small_twins_stand_beside_the_same_figures(table: str, tmp_path: Path) -> None:
    found = grid_table(expand_grid(f"small/{table}", tmp_path))
    model = next(iter(FIGURES[table]))
    beginning = "demo-bert " if table == "table3" else ""
    bare = set(found.cells) - check(found, table, {model: beginning})
    more = {"table2": {"FFT"}, "table6": {"3e-4", "1e-3"}}.get(table, set())
    assert {row if table == "table2" else column for row, column in bare} == more
    assert found.beside == (model,)


def test_metrics_are_those_of_the_paper() -> None:
    expected = {"CoLA": "matthews", "STS-B": "spearman", "MRPC": "f1", "QQP": "f1"}
    for task in ("SST-2", "MRPC", "CoLA", "QNLI", "RTE", "MNLI", "QQP", "STS-B"):
        assert glue.find(task).metrics[0] == expected.get(task, "accuracy")


def test_tables_of_one_method_differ_in_what_they_compare_only(tmp_path: Path) -> None:
    """The MPOP rows of Tables 1, 2, 4 and 5 are one run, and so are their FFT rows."""

    def key(run: GridRun) -> str:
        config = run.resolved.config.model_dump(mode="json", exclude={"output"})
        method = config["method"]
        if method["name"] == "mpop":
            method["elsewhere"], config["schedule"]["switch_at"] = "frozen", None
            if len(method["components"] or ()) == 6:
                method["components"] = None
        if method["name"] == "fft":
            method["elsewhere"] = "frozen"
        return json.dumps(config, sort_keys=True)

    def found(table: str, row: str) -> str:
        grid = expand_grid(f"paper/{table}", tmp_path)
        return next(
            key(run)
            for run in grid.runs
            if label(run.settings, grid.head.rows) == row and run.values["task.name"] == "MRPC"
        )

    mpop = {"table1": "MPOP", "table2": "MPOP", "table4": "MPOP all", "table5": "MPOP 0.0"}
    assert len({found(table, row) for table, row in mpop.items()}) == 1
    fft = {"table1": "FFT", "table4": "FFT", "table5": "FFT 1.0"}
    assert len({found(table, row) for table, row in fft.items()}) == 1


def complete(grid: Grid, values: dict[str, float]) -> dict[str, RunState]:
    """Complete runs with these metrics, by run id; the others wait."""
    summary = summarise(EXAMPLE)
    return {
        run.run_id: RunState("completed", replace(summary, best=value, last=value))
        if (value := values.get(run.run_id)) is not None
        else RunState()
        for run in grid.runs
    }


def test_the_average_is_that_of_the_seeds_which_all_columns_have(tmp_path: Path) -> None:
    grid = expand_grid("paper/table1", tmp_path)
    chosen = [run for run in grid.runs if run.values["method.name"] in ("adapter", "lora")]
    values = {run.run_id: 0.5 + 0.001 * i for i, run in enumerate(chosen)}
    lora = [run.run_id for run in chosen if run.values["method.name"] == "lora"]
    for name in lora[:4]:  # four seeds of one column
        del values[name]
    for name in lora[5:10]:  # all of another
        del values[name]
    found = grid_table(grid, complete(grid, values))
    row = [found.cells["Adapters", column].mean for column in found.columns[:-1]]
    average = found.cells["Adapters", paper.AVERAGE]
    assert average.mean == pytest.approx(sum(row) / 8)  # type: ignore[arg-type]
    assert len(average.seeds) == 5
    assert cell_text(average).endswith("[80.8]")
    assert found.cells["LoRA", paper.AVERAGE].mean is None
    assert cell_text(found.cells["LoRA", paper.AVERAGE]) == "– [80.6]"
    assert found.missing == len(grid.runs) - len(values)


def test_a_model_of_ones_own_stands_beside_its_kin(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "model_type": "roberta",
                "hidden_size": 8,
                "num_hidden_layers": 1,
                "intermediate_size": 16,
                "num_attention_heads": 1,
                "vocab_size": 99,
            }
        )
    )
    assert paper.model_beside("table3", "demo-bert") == "bert-base-uncased"
    assert paper.model_beside("table3", str(tmp_path)) == "roberta-base"
    assert paper.model_beside("table3", "no/such-model") is None
    assert paper.model_beside("table1", "no/such-model") == "bert-large-uncased"
    assert paper.model_beside("table9", "demo-bert") is None


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["model.name=bert-large-uncased", "task.name=RTE"], (71.1, "BERT-large")),
        (["model.name=roberta-base", "calibration.variant=off"], (94.2, "RoBERTa-base")),
        (["method.name=mpop", "calibration.variant=S"], (92.4, "BERT-base")),
        (["schedule.switch_at=0.4", "calibration.variant=off"], None),
        (["method.name=mask_bert"], None),
        (["task.name=demo"], None),
    ],
)
def test_the_figure_beside_a_single_run(
    sets: list[str], expected: tuple[float, str] | None
) -> None:
    usual = ["task.name=SST-2", "method.name=lora", "calibration.variant=D"]
    kept = [each for each in usual if each.split("=")[0] not in {s.split("=")[0] for s in sets}]
    config = load(None, [*kept, *sets]).config
    assert figure_beside_run(config.model_dump(mode="json")) == expected


@pytest.mark.parametrize("lost", ["method", "model", "calibration", "schedule", "task"])
def test_a_run_whose_log_lost_its_settings_has_no_figure(lost: str) -> None:
    config = load(None, ["task.name=SST-2", "method.name=lora", "calibration.variant=off"]).config
    settings = config.model_dump(mode="json")
    assert figure_beside_run(settings) is not None
    del settings[lost]
    assert figure_beside_run(settings) is None
