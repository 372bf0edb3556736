"""The figures printed in the paper, for the runs that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from calisr_engine.config.toml_file import read
from calisr_engine.errors import NotFoundError
from calisr_engine.events.flat_settings import flatten
from calisr_engine.grid.labels import METHOD, MODELS, label
from calisr_engine.models import catalog
from calisr_engine.regularizers.catalog import OFF
from calisr_engine.tasks import glue

AVERAGE = "Avg"
"""Name of the column that holds the mean over a table's other columns."""


@cache
def _figures() -> Mapping[str, Any]:
    return read(Path(__file__).parent / "paper_figures.toml").data


def paper_tables() -> list[str]:
    """Names of the paper's tables whose figures are known."""
    return sorted(_figures())


def paper_table(table: str) -> Mapping[str, Mapping[str, Any]]:
    """Model -> {"columns": names, "rows": {row label: one figure a column}}; {} if unknown."""
    found: dict[str, Any] = _figures().get(table, {})
    return found


def model_beside(table: str, model: str) -> str | None:
    """The model of the paper's table whose figures stand beside runs of `model`.

    The same model; else the table's only one; else its first of the same architecture, so that
    the packaged BERT stands beside BERT-base. None where there is no such model.
    """
    models = list(paper_table(table))
    if model in models:
        return model
    if len(models) == 1:
        return models[0]
    kind = _architecture(model)
    return next((each for each in models if kind and _architecture(each) == kind), None)


def paper_figure(table: str, model: str, row: str, column: str) -> float | None:
    """A figure of the paper in percent, or None where it prints none.

    Args:
        model: what the runs train (see `model_beside`).
        row, column: labels as in `paper_figures.toml`; the row without the model's name.
    """
    beside = model_beside(table, model)
    if beside is None:
        return None
    found = paper_table(table)[beside]
    if row not in found["rows"] or column not in found["columns"]:
        return None
    return float(found["rows"][row][found["columns"].index(column)])


def figure_beside_run(config: Mapping[str, Any]) -> tuple[float, str] | None:
    """The paper's development figure for a run's settings, in percent, and the model it is of.

    Tables 1 to 3 are searched for the run's own model, then Table 3 for one of its architecture.
    None for methods and tasks that they do not have, for runs that switch on a schedule or have the
    light method on chosen components, and where settings are missing (a damaged log).

    Args:
        config: the run's settings as nested tables.
    """
    try:
        settings = flatten(config)
        model, column = settings["model.name"], glue.find(settings["task.name"]).title
        if (settings["schedule.switch_at"], settings["method.components"]) != (None, None):
            return None
        # Runs of before know no control and no regularizer.
        own = {"calibration.control": "off", "regularizer.name": OFF, **settings}
        row = label({key: own[key] for key in METHOD}, METHOD)
    except (KeyError, TypeError, AttributeError, NotFoundError):
        return None
    places = [(table, model) for table in ("table1", "table2", "table3")]
    places = [(table, each) for table, each in places if each in paper_table(table)]
    kin = model_beside("table3", model)
    for table, each in [*places, *([("table3", kin)] if kin else [])]:
        figure = paper_figure(table, each, row, column)
        if figure is not None:
            return figure, MODELS.get(each, each)
    return None


def beside(config: Mapping[str, Any]) -> str:
    """`figure_beside_run` in words, as a fraction ("0.924 BERT-base"); "" for none."""
    found = figure_beside_run(config)
    return "" if found is None else f"{found[0] / 100:.3f} {found[1]}"


def _architecture(model: str) -> str:
    entry = catalog.find(model) or catalog.from_folder(Path(model))
    return entry.model_type if entry is not None else ""
