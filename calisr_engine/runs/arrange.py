"""Runs in an order, in groups, and as a table for other programs."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from calisr_engine.runs.columns import Column
from calisr_engine.runs.summary import RunSummary
from calisr_engine.tasks.lines import csv_line

Path = tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Runs that have a value in common.

    Attributes:
        path: the values of the groups around it and its own, as text.
        within: what each of them is of.
        folded: whether its runs are left out of the rows.

    What its runs come to is computed once: a heading is drawn again and again.
    """

    path: Path
    within: tuple[Column, ...]
    runs: tuple[RunSummary, ...]
    folded: bool = False

    @property
    def column(self) -> Column:
        """What its own value is of."""
        return self.within[-1]

    @property
    def level(self) -> int:
        return len(self.path) - 1

    @cached_property
    def counts(self) -> Counter[str]:
        """How many runs are in each state, the most frequent first."""
        return Counter(dict(Counter(run.state for run in self.runs).most_common()))

    @cached_property
    def _scored(self) -> list[RunSummary]:
        """The runs with a metric; none where those of different ones are among them."""
        scored = [run for run in self.runs if run.best is not None]
        return scored if self.comparable else []

    @cached_property
    def comparable(self) -> bool:
        """Whether all runs that were evaluated were so by one metric on one task."""
        scored = (run for run in self.runs if run.best is not None)
        return len({(run.task, run.metric) for run in scored}) < 2

    @cached_property
    def best(self) -> RunSummary | None:
        """The run with the highest metric; None where runs have different ones, or none."""
        return max(self._scored, key=lambda run: run.best or 0.0, default=None)

    @cached_property
    def complete(self) -> tuple[float, ...]:
        """The best metrics of the complete runs; none where runs have different ones."""
        return tuple(r.best for r in self._scored if r.state == "completed" and r.best is not None)

    @cached_property
    def mean(self) -> float | None:
        """Of `complete`; None where those are none."""
        return statistics.fmean(self.complete) if self.complete else None

    @cached_property
    def deviation(self) -> float | None:
        """Standard deviation (n - 1) of `complete`; None where those are less than two."""
        return statistics.stdev(self.complete) if len(self.complete) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what the group is of, its runs, and what they come to."""
        best = self.best
        return {
            "group": dict(zip((column.name for column in self.within), self.path, strict=True)),
            "runs": [run.run_id for run in self.runs],
            "states": dict(self.counts),
            "comparable": self.comparable,
            "metric": best.metric if best is not None else None,
            "best": best.best if best is not None else None,
            "best_run": best.run_id if best is not None else None,
            "mean": self.mean,
            "deviation": self.deviation,
            "complete": len(self.complete),
        }


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
    return _grouped(tuple(runs), tuple(dict.fromkeys(by)), (), folded)


def innermost(runs: Sequence[RunSummary], by: Sequence[Column]) -> list[Group]:
    """The groups that hold runs and no further groups, in the order of the tree."""
    groups = (row for row in grouped(runs, by) if isinstance(row, Group))
    return [group for group in groups if len(group.path) == len(dict.fromkeys(by))]


def _grouped(
    runs: tuple[RunSummary, ...], by: tuple[Column, ...], path: Path, folded: Collection[Path]
) -> list[Row]:
    if len(path) == len(by):
        return list(runs)
    within = by[: len(path) + 1]
    parts: dict[str, list[RunSummary]] = {}
    for run in runs:
        parts.setdefault(_common(within[-1], run), []).append(run)
    order = sorted(parts, key=lambda text: _natural(within[-1], parts[text][0], text))
    rows: list[Row] = []
    for text in order:
        here = (*path, text)
        group = Group(here, within, tuple(parts[text]), here in folded)
        rows.append(group)
        if not group.folded:
            rows += _grouped(group.runs, by, here, folded)
    return rows


def _common(by: Column, run: RunSummary) -> str:
    """What the runs of a group have in common: a value; of moments the day; and what is measured
    counts as the same where a list shows it so."""
    value = by.value(run)
    if not by.numeric or type(value) not in (int, float):
        return text_of(value) or text_of(None)
    if by.kind == "moment":
        return time.strftime("%Y-%m-%d", time.localtime(value))
    if by.kind == "share":
        return f"{100 * value:.1f}%"
    if by.kind == "seconds":
        return f"{value:.0f}s"
    return f"{value:.4f}" if by.name in ("best", "last") else exact_text(value)


def _natural(by: Column, run: RunSummary, text: str) -> tuple[bool, float, str]:
    value = by.value(run)
    number = float(value) if by.numeric and type(value) in (int, float) else 0.0
    return value in (None, "", ()), number, text.lower()


def text_of(value: Any) -> str:
    """A value as one writes it in a filter: none, true, 3e-05, a word; words with commas."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def exact_text(value: Any) -> str:
    """As `text_of`, with as many digits as tell a number from all others."""
    short = text_of(value)
    return repr(value) if type(value) is float and float(short) != value else short


def as_csv(runs: Iterable[RunSummary], columns: Sequence[Column]) -> str:
    """A CSV table with a heading; a value that a run does not have is an empty cell.

    Moments are Unix seconds, shares in [0, 1], tags separated by spaces.
    """
    lines = [csv_line(column.name for column in columns)]
    lines += [csv_line(_cell(column.value(run)) for column in columns) for run in runs]
    return "".join(lines)


def groups_as_csv(runs: Sequence[RunSummary], by: Sequence[Column]) -> str:
    """A CSV table with a line for each of the innermost groups, as `Group.to_dict` has them.

    What they are grouped by stands first, in columns of its own: `group best` where the table has
    another `best`. Of the runs stands how many, of the states "completed=3 failed=1".
    """
    rows = []
    for group in innermost(runs, by):
        said = group.to_dict()
        own = said.pop("group")
        states = " ".join(f"{state}={count}" for state, count in said["states"].items())
        said |= {"runs": len(group.runs), "states": states}
        values = {f"group {name}" if name in said else name: own[name] for name in own}
        rows.append(values | {name: _cell(value) for name, value in said.items()})
    lines = [csv_line(rows[0]), *(csv_line(row.values()) for row in rows)] if rows else []
    return "".join(lines)


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else value
