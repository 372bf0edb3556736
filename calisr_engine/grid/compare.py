"""Setting runs side by side: what differs in their settings, mean and spread over seeds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from calisr_engine.events.flat_settings import flatten
from calisr_engine.events.view import RunView
from calisr_engine.grid.cells import TableCell, TableRun, place, tabulate
from calisr_engine.grid.labels import METHOD, TASK, task_title

IGNORED = ("output.", "notes")


def names_of(run_dirs: Iterable[Path]) -> dict[Path, str]:
    """Run directory -> its name; with as many folders above it as tell it from the others."""
    dirs = list(dict.fromkeys(run_dirs))
    names = {each: each.name for each in dirs}
    for depth in range(2, max((len(each.absolute().parts) for each in dirs), default=0) + 1):
        taken = Counter(names.values())
        for each in dirs:
            if taken[names[each]] > 1:
                names[each] = "/".join(each.absolute().parts[-depth:])
    return names


def differences(views: Mapping[str, RunView]) -> dict[str, dict[str, Any]]:
    """Dotted key -> run -> value, for the settings in which the runs differ."""
    flat = {name: flatten(view.config) for name, view in views.items()}
    result = {}
    for key in sorted({key for values in flat.values() for key in values}):
        values = {name: settings.get(key) for name, settings in flat.items()}
        if not key.startswith(IGNORED) and len(set(map(_text, values.values()))) > 1:
            result[key] = values
    return result


def over_seeds(views: Mapping[str, RunView]) -> list[TableCell]:
    """Cells of runs that are equal but for the seed: mean and spread of the best metric so far.

    The rules are those of a grid's table. Runs that were never evaluated, or of which no settings
    are known, are left out, and those of different metrics are in different cells.
    """
    runs = [
        TableRun(
            run_id=name,
            row="",
            column="",
            seed=int(view.seed or 0),
            state=view.state,
            metric=view.metric,
            value=view.best,
            counts=True,
            updated=view.updated or 0.0,
        )
        for name, view in views.items()
        if view.best is not None and view.config
    ]
    settings = {name: {**flatten(v.config), "metric": v.metric} for name, v in views.items()}
    return list(tabulate(place(runs, settings, METHOD, TASK)[0]).values())


def left_out(views: Mapping[str, RunView], cells: Iterable[TableCell]) -> dict[str, str]:
    """Run -> why it is part of no mean.

    Args:
        cells: those of `over_seeds`.
    """
    why = {run.run_id: run.left_out for cell in cells for run in cell.runs if not run.counts}
    for name, view in views.items():
        if not view.config:
            why[name] = "its log does not say its settings"
        elif view.best is None:
            why[name] = "it was not evaluated yet"
    return {name: why[name] for name in views if name in why}


def warnings(views: Mapping[str, RunView]) -> list[str]:
    """Why the numbers of these runs do not compare, a sentence each."""
    said = []
    named = {flatten(view.config).get("task.name") for view in views.values()}
    tasks = sorted({task_title(str(name)) for name in named if name})
    metrics = sorted({view.metric for view in views.values() if view.metric})
    if len(tasks) > 1:
        said.append(f"The runs are of different tasks ({', '.join(tasks)}): compare within each.")
    if len(metrics) > 1:
        said.append(f"Their metrics differ ({', '.join(metrics)}), so the numbers do not compare.")
    said += [
        f"The log of {name} does not say its settings." for name, v in views.items() if not v.config
    ]
    for cell in over_seeds(views):
        said += [f"{run.run_id} is left out: {run.left_out}." for run in cell.runs if run.left_out]
        early = [run.run_id for run in cell.runs if run.counts and run.state != "completed"]
        if early and len(cell.seeds) > 1:
            verb = "is" if len(early) == 1 else "are"
            said.append(f"{', '.join(early)} {verb} not complete, and part of a mean so far.")
    return said


def fields(cell: TableCell) -> dict[str, Any]:
    """A cell of `over_seeds` as plain JSON values."""
    return {
        "label": name_of(cell),
        "runs": counted(cell),
        "seeds": list(cell.seeds),
        "metric": cell.metric,
        "mean": cell.mean,
        "deviation": cell.deviation,
    }


def name_of(cell: TableCell) -> str:
    """Task and method of a cell."""
    return f"{cell.column} {cell.row}".strip()


def counted(cell: TableCell) -> list[str]:
    """The runs of a cell that count."""
    return [run.run_id for run in cell.runs if run.counts]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
