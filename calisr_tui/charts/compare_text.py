"""Runs side by side in words, for the app and the command line: what differs, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calisr_engine.events.view import RunView
from calisr_engine.grid.cells import TableCell
from calisr_engine.grid.compare import (
    counted,
    differences,
    left_out,
    name_of,
    over_seeds,
    warnings,
)
from calisr_engine.grid.paper import beside
from calisr_engine.plain_words import one_line
from calisr_engine.runs.arrange import exact_text
from calisr_tui import words


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        names: of the runs, in order.
        warnings: why their numbers do not compare, a sentence each.
        differing: setting -> its value in each run.
        headings, results: of the table of results, a row a run, without its name; where little
            fits, the last columns are left out.
        seeds: cells of runs that differ in the seed alone.
        seed_headings, seed_rows: of their table, a row a cell, without its runs.
        left_out: run -> why it is part of none of these means.
    """

    names: tuple[str, ...]
    warnings: tuple[str, ...]
    differing: dict[str, tuple[str, ...]]
    headings: tuple[str, ...]
    results: tuple[tuple[str, ...], ...]
    seeds: tuple[TableCell, ...]
    seed_headings: tuple[str, ...]
    seed_rows: tuple[tuple[str, ...], ...]
    left_out: dict[str, str]

    @property
    def together(self) -> list[list[str]]:
        """The runs of each cell of two seeds or more."""
        return [names for cell in self.seeds if len(names := counted(cell)) > 1]

    @property
    def left_out_text(self) -> str:
        """The runs that are part of no mean, each with its reason; "" where there is none."""
        reasons = (f"{one_line(name)}: {one_line(why)}" for name, why in self.left_out.items())
        said = "; ".join(reasons)
        return f"left out: {said}" if said else ""


def comparison(views: Mapping[str, RunView]) -> Comparison:
    """What can be said of these runs side by side."""
    cells = tuple(over_seeds(views))
    printed = [beside(view.config) for view in views.values()]
    papers = any(printed)
    seeds_papers = [beside(views[counted(cell)[0]].config) for cell in cells]
    return Comparison(
        names=tuple(views),
        warnings=tuple(warnings(views)),
        differing={
            key: tuple(value_text(values[name]) for name in views)
            for key, values in differences(views).items()
        },
        headings=(
            *("best", "at", "last", "metric", "state", "trains", "time", "switched"),
            *(["paper"] * papers),
        ),
        results=tuple(
            (*_result(view), *([paper or "–"] * papers))
            for view, paper in zip(views.values(), printed, strict=True)
        ),
        seeds=cells,
        seed_headings=("settings", "metric", "mean", "± sd", "seeds", *(["paper"] * papers)),
        seed_rows=tuple(
            (*_spread(cell), *([paper or "–"] * papers))
            for cell, paper in zip(cells, seeds_papers, strict=True)
        ),
        left_out=left_out(views, cells),
    )


def _result(view: RunView) -> tuple[str, ...]:
    switched = len(view.switched or {})
    return (
        words.figure(view.best),
        str(view.best_step or "–"),
        words.figure(view.last),
        one_line(view.metric or "–"),
        view.state,
        words.share(view.share),
        words.seconds(view.duration),
        f"{switched} of {len(view.groups)}" if view.groups else "–",
    )


def _spread(cell: TableCell) -> tuple[str, ...]:
    return (
        one_line(name_of(cell)),
        one_line(cell.metric),
        words.figure(cell.mean),
        "one seed" if cell.deviation is None else words.figure(cell.deviation),
        ", ".join(map(str, cell.seeds)),
    )


def value_text(value: Any) -> str:
    """A setting as one writes it, so that others look different; a dash where a run has none."""
    if value is None:
        return "–"
    return exact_text(value) if isinstance(value, float) else one_line(str(value))
