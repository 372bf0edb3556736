"""Runs in an order, in groups, and as a table for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from calisr_engine.runs.columns import Column
from calisr_engine.runs.summary import RunSummary

Path = tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Runs that have a value in common.

    Attributes:
        path: the values of the groups around it and its own, as text.
        column: what the value is of.
        folded: whether its runs are left out of the rows.
    """

    path: Path
    column: Column
    runs: tuple[RunSummary, ...]
    folded: bool = False

    @property
    def level(self) -> int:
        return len(self.path) - 1

    @property
    def best(self) -> RunSummary | None:
        """The run with the highest metric; None where runs have different ones, or none."""
        scored = [run for run in self.runs if run.best is not None]
        if len({(run.task, run.metric) for run in scored}) != 1:
            return None
        return max(scored, key=lambda run: run.best or 0.0)


Row = RunSummary | Group


def ordered(runs: Iterable[RunSummary], by: Column, down: bool = False) -> list[RunSummary]:
    """By the values of a column, pinned runs before all others; runs without a value come last.

    Runs of equal value stay in the order they are given in.
    """
    known: list[tuple[Any, RunSummary]] = []
    rest = []
    for run in runs:
        value = by.value(run)
        if by.numeric and type(value) not in (int, float):
            value = None
        if value in (None, "", ()):
            rest.append(run)
        else:
            known.append((value if by.numeric else str(value).lower(), run))
    known.sort(key=lambda pair: pair[0], reverse=down)
    found = [run for _, run in known] + rest
    pinned = [run for run in found if run.pinned]
    return pinned + [run for run in found if not run.pinned] if pinned else found


def grouped(
    runs: Sequence[RunSummary], by: Sequence[Column], folded: Collection[Path] = ()
) -> list[Row]:
    """The runs in their order below headings, a level for each of `by`; `runs` where there is none.

    Args:
        folded: paths of groups whose rows are left out.
    """
    return _grouped(tuple(runs), tuple(by), (), folded)


def _grouped(
    runs: tuple[RunSummary, ...], by: tuple[Column, ...], path: Path, folded: Collection[Path]
) -> list[Row]:
    if not by:
        return list(runs)
    own, *rest = by
    parts: dict[Any, list[RunSummary]] = {}
    for run in runs:
        parts.setdefault(text_of(own.value(run)), []).append(run)
    order = sorted(parts, key=lambda text: _natural(own, parts[text][0], text))
    rows: list[Row] = []
    for text in order:
        here = (*path, text)
        group = Group(here, own, tuple(parts[text]), here in folded)
        rows.append(group)
        if not group.folded:
            rows += _grouped(group.runs, tuple(rest), here, folded)
    return rows


def _natural(by: Column, run: RunSummary, text: str) -> tuple[bool, float, str]:
    value = by.value(run)
    number = float(value) if by.numeric and type(value) in (int, float) else 0.0
    return value in (None, ""), number, text.lower()


def text_of(value: Any) -> str:
    """A value as one writes it in a filter: none, true, 3e-05, a word; words with commas."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_csv(runs: Iterable[RunSummary], columns: Sequence[Column]) -> str:
    """A CSV table with a heading; a value that a run does not have is an empty cell.

    Moments are Unix seconds, shares in [0, 1], tags separated by spaces.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for run in runs:
        writer.writerow([_cell(column.value(run)) for column in columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else value
