"""Runs in a list, for the app and for the command line: the same words for the same values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len, set_cell_size

from calisr_engine.plain_words import one_line
from calisr_engine.runs.arrange import Group, text_of
from calisr_engine.runs.columns import Column
from calisr_engine.runs.summary import RunSummary
from calisr_tui import words
from calisr_tui.verbatim import Text

GAP = 2
LONGEST = 48
"""Cells of a column at most, on a terminal; the run's own name has as many as there are."""
NONE = "–"


def said(run: RunSummary, column: Column) -> str:
    """What a cell says, on one line; a dash for nothing."""
    value = column.value(run)
    if column.name == "steps":
        return f"{run.step}/{run.total_steps}" if run.total_steps else NONE
    if value in (None, "", ()):
        return NONE
    if column.name == "state":
        return run.state
    if column.name in ("best", "last"):
        return words.figure(value)
    if column.name == "model":
        return one_line(Path(str(value)).name or str(value))
    if column.kind == "share":
        return words.share(value)
    if column.kind == "seconds":
        return words.seconds(value)
    if column.kind == "moment":
        return words.moment(value)[5:]
    if column.kind == "flag":
        return "yes" if value is True else "no" if value is False else one_line(str(value))
    return one_line(text_of(value))


@dataclass(frozen=True)
class Layout:
    """Columns that fit beside each other, and their widths in cells."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]

    def line(self, texts: Iterable[str]) -> str:
        """One line of texts, cut where they are longer than their column."""
        cells = [fitted(t, w) for t, w in zip(texts, self.widths, strict=True)]
        return (" " * GAP).join(cells).rstrip()

    def heading(self) -> str:
        return self.line(column.title for column in self.columns)


def laid_out(
    runs: Sequence[RunSummary], columns: Sequence[Column], room: int | None, signs: bool = False
) -> Layout:
    """As many of the first columns as fit into `room` cells, each as wide as its texts.

    The last ones are left out first; the first one always stays, cut where it must be.

    Args:
        room: cells of a line; None for a line of any length.
        signs: whether a sign stands before each state.
    """
    kept: list[Column] = []
    widths: list[int] = []
    left = room
    for column in columns:
        width = _width(runs, column, room is None)
        width += 2 if signs and column.name == "state" else 0
        if left is not None:
            if kept and width > left:
                break
            width = min(width, max(left, 1))
            left -= width + GAP
        kept.append(column)
        widths.append(width)
    return Layout(tuple(kept), tuple(widths))


def _width(runs: Sequence[RunSummary], column: Column, any_length: bool) -> int:
    """Cells of the longest text of a column; equal values are put into words once."""
    longest = cell_len(column.title)
    if column.name in _WIDTHS:
        return max(longest, _WIDTHS[column.name])
    seen = set()
    for run in runs:
        value = (run.step, run.total_steps) if column.name == "steps" else column.value(run)
        if not isinstance(value, dict) and value not in seen:
            seen.add(value)
            longest = max(longest, cell_len(said(run, column)))
    return longest if any_length or column.name == "run" else min(longest, LONGEST)


_WIDTHS = {"state": 11, "best": 6, "last": 6, "share": 6, "time": 6, "created": 11, "updated": 11}
"""Of columns whose texts are of one length."""


def without_empty(runs: Sequence[RunSummary], columns: Iterable[Column]) -> list[Column]:
    """The columns in which some run has a value."""
    return [
        each
        for each in columns
        if each.name in _WIDTHS or any(each.value(r) not in (None, "", ()) for r in runs)
    ]


def fitted(text: str, width: int) -> str:
    """The text in exactly `width` cells; one that is longer ends with a dotted sign."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(0, width - 1)) + "…"


def lines_of(rows: Sequence[Sequence[str]], room: int | None) -> list[str]:
    """Rows of texts in columns, a line each; the last columns are left out where they do not fit.

    Args:
        room: cells of a line; None for a line of any length.
    """
    widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
    ends = [sum(widths[: n + 1]) + GAP * n for n in range(len(widths))]
    kept = max(1, sum(room is None or end <= room for end in ends))
    widths = [widths[0] if room is None else min(widths[0], room), *widths[1:]]
    return [(" " * GAP).join(map(fitted, row[:kept], widths[:kept])).rstrip() for row in rows]


def of_group(group: Group) -> str:
    """What a group's runs come to, in one line: how many, the best and the mean metric, states."""
    count, complete, states = len(group.runs), len(group.complete), dict(group.counts)
    parts = ["1 run" if count == 1 else f"{count:,} runs"]
    best = group.best
    if best is not None:
        parts.append(f"{one_line(best.metric)} best {words.figure(best.best)}")
        if complete:
            spread = f" ± {words.figure(group.deviation)}" if group.deviation is not None else ""
            parts[-1] += f", mean {words.figure(group.mean)}{spread} of {complete:,} complete"
    elif not group.comparable:
        parts.append("tasks or metrics differ")
    if states.get("completed") in (complete, count):  # which is said already, or goes without it
        del states["completed"]
    if states:
        parts.append(", ".join(f"{n:,} {state}" for state, n in states.items()))
    return " · ".join(parts)


def group_line(group: Group, room: int | None) -> str:
    """The heading of a group in a list, cut to `room` cells."""
    named = f"{one_line(group.column.title)} {one_line(group.path[-1])}"
    line = f"{'  ' * group.level}{named}  {of_group(group)}"
    return line if room is None else fitted(line, room).rstrip()


def group_in_words(group: Group) -> Text:
    """A group in a few lines: what its runs come to, which is the best, and keys."""
    best = group.best
    lines = [
        of_group(group),
        f"best: {best.name or best.run_id}" if best is not None else "",
        "Enter folds and unfolds it, G all · t tags its runs, p pins them · g other groups",
    ]
    return Text("\n".join(line for line in lines if line))


def in_words(run: RunSummary) -> Text:
    """A run in a few lines: what came of it, what it is, what was said of it, and keys."""
    calibration = words.calibration(run.variant, run.delta, run.control)
    lines = [
        f"{run.metric or 'metric'} best {words.figure(run.best)}, last {words.figure(run.last)}"
        f" · took {words.seconds(run.duration)} · trains {words.share(run.share)}",
        f"{run.task} · {run.model} · {run.method} · {calibration} · seed {words.seed(run.seed)}",
        " · ".join(filter(None, (" ".join(f"#{tag}" for tag in run.tags), one_line(run.notes)))),
        f"! {run.problem}" if run.problem else "",
        run.run_id if run.name else "",
        _switches(run.switched or {}),
        "Enter open · k columns · g groups · s sort · n name t tags i note p pin",
    ]
    return Text("\n".join(line for line in lines if line))


def _switches(switched: Mapping[str, int]) -> str:
    """When each group switched, those of one step together."""
    at: dict[int, list[str]] = {}
    for group, step in switched.items():
        at.setdefault(step, []).append(group)
    told = " · ".join(f"{step} {', '.join(at[step])}" for step in sorted(at))
    return f"switched at {told}" if told else "no group switched"
