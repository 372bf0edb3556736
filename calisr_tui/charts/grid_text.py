"""What the grid screen writes: cells, totals, lines of runs. Pure: no widget, no screen.

Every state has a sign and a word or number beside its colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from calisr_engine.grid.cells import TableCell, TableRun
from calisr_engine.grid.comparison import comparison
from calisr_engine.grid.state import DIFFERENT, UNREADABLE, WAITING
from calisr_engine.grid.table import Table
from calisr_engine.plain_words import counted
from calisr_tui import words
from calisr_tui.charts.compare_plots import GLYPHS
from calisr_tui.choice import Choice
from calisr_tui.verbatim import Text

STATES = {state: (sign, role) for state, (sign, _, role) in words.STATES.items()} | {
    WAITING: ("·", "dim"),
    UNREADABLE: ("?", "bad"),
    DIFFERENT: ("≠", "bad"),
}
SIGNS = {state: sign for state, (sign, _) in STATES.items()}
ROLES = {state: role for state, (_, role) in STATES.items()}
ORDER = (
    *("running", "paused", "failed", UNREADABLE, DIFFERENT, "interrupted", "stopped", "created"),
    WAITING,
)
BAR = 5
"""Width of a cell's bar."""
MOST_LISTED = 12
"""Runs of a cell that stand beside the table; Enter lists all."""

NO_GRID = (
    "No grid is open. Press o to choose one: a grid that ships with calisr, a file of your own, or "
    "a folder of runs."
)


def bar(fraction: float, width: int, styles: Mapping[str, str]) -> Text:
    """A bar in eighths of a cell, its rest as a dotted line."""
    filled = words.eighths(fraction, width).rstrip()
    if not filled and fraction > 0:
        filled = "▏"
    return Text.assemble((filled, styles["lft"]), ("╌" * (width - len(filled)), styles["dim"]))


def _signs(counts: Counter[str], styles: Mapping[str, str], words_too: bool = False) -> list[Text]:
    found = []
    for state in ORDER:
        if counts[state]:
            text = f"{SIGNS[state]}{counts[state]}"
            if words_too:
                text = f"{SIGNS[state]} {counts[state]} {state}"
            found.append(Text(text, styles[ROLES[state]]))
    return found


def cell_text(cell: TableCell | None, styles: Mapping[str, str]) -> Text:
    """Two lines: the bar, complete of all and what the others do; the metric."""
    if cell is None:
        return Text("\n")
    style = "bold" if cell.mean is not None else styles["dim"]
    if not cell.runs:
        return Text.assemble("\n", (cell.result, style))
    counts = cell.counts
    first = Text.assemble(
        bar(cell.fraction, BAR, styles), f" {counts['completed']}/{len(cell.runs)}"
    )
    for sign in _signs(counts, styles):
        first.append(" ").append_text(sign)
    return Text.assemble(first, "\n", (cell.result, style))


def totals_text(
    table: Table, eta_seconds: float | None, styles: Mapping[str, str], width: int
) -> Text:
    """The whole grid in a line, or more where it is narrow: a bar, counts, the time left.

    A line ends between two of them, never in one.
    """
    counts = table.counts
    text = bar(table.fraction, 8 if width < 100 else 24, styles)
    text.append(f" {counts['completed']} of {len(table.runs)} complete", "bold")
    parts = _signs(counts, styles, words_too=True)
    if eta_seconds is not None:
        parts.append(Text(f"about {words.seconds(eta_seconds)} left"))
    used = text.cell_len
    for part in parts:
        fits = used + 2 + part.cell_len <= width - 2
        used = used + 2 + part.cell_len if fits else part.cell_len
        text.append("  " if fits else "\n").append_text(part)
    return text


def steps(run: TableRun) -> str:
    return f"{run.step}/{run.total_steps}" if run.total_steps else "–"


def value(run: TableRun) -> str:
    return "–" if run.value is None else f"{run.value:.1f}"


def state_text(state: str, styles: Mapping[str, str]) -> Text:
    return Text(f"{SIGNS.get(state, '?')} {state}", styles[ROLES.get(state, "dim")])


def name_of(run: TableRun) -> str:
    """Row, column and seed, which tell a run from all others."""
    return " · ".join(each for each in (run.row, run.column, f"seed {run.seed}") if each)


def cell_detail(key: tuple[str, str], cell: TableCell | None, metric: str) -> Text:
    """A cell in words: its seeds by state."""
    where = " · ".join(each for each in key if each)
    if cell is None:
        return Text(f"{where}: the grid has no run here")
    if not cell.runs:
        return Text(f"{where}: {cell.result}, mean over the columns")
    seeds: dict[str, list[str]] = {}
    for run in cell.runs:
        seeds.setdefault(run.state, []).append(str(run.seed))
    said = "; ".join(
        f"{SIGNS.get(state, '?')} {state}: seed {', '.join(each)}" for state, each in seeds.items()
    )
    found = f"{metric} {cell.result}, " if cell.mean is not None else ""
    return Text(f"{where}: {found}{said}")


def drawn(cell: TableCell | None) -> list[TableRun]:
    """The runs of a cell whose curves are drawn: those that have begun, as far as signs go."""
    begun = [run for run in (cell.runs if cell is not None else ()) if run.total_steps]
    return begun[: len(GLYPHS)]


def cell_in_full(
    key: tuple[str, str], cell: TableCell | None, table: Table, styles: Mapping[str, str]
) -> Text:
    """A cell where there is room: its result, its runs with the signs of their curves, why those
    that failed did, and what the comparison with the row `against` tells."""
    if cell is None:
        return Text("The grid has no run here.")
    metric = table.metrics.get(key[1], "result")
    said = [f"{metric} {cell.result}"]
    if cell.seeds:
        said.append(f"over {counted(len(cell.seeds), 'seed')}")
    if cell.paper is not None:
        said.append(f"· the paper has {cell.paper:.1f}")
    if cell.switched:
        said.append(f"· went over to the light method in {cell.switched} of {len(cell.runs)}")
    text = Text(" ".join(said), "bold")
    if cell.runs:
        text.append("\n\n").append_text(_listed(cell, metric, styles))
    for run in cell.runs[:MOST_LISTED]:
        if why := run.message or run.left_out:
            text.append(f"\nseed {run.seed}: {why}")
    if table.against is not None and key[0] != table.against:
        found = comparison(cell, table.cells.get((table.against, key[1])), table.against)
        text.append(f"\n\nAgainst {table.against}: ", "bold")
        text.append(f"{found.sentence} {found.further}".strip())
    return text


def _listed(cell: TableCell, metric: str, styles: Mapping[str, str]) -> Text:
    signs = {run.run_id: (GLYPHS[at], styles[f"run{at + 1}"]) for at, run in enumerate(drawn(cell))}
    lines = [("seed", "state", "steps", metric, "took")]
    lines += [
        (
            str(run.seed),
            f"{SIGNS.get(run.state, '?')} {run.state}",
            steps(run),
            value(run),
            words.seconds(run.seconds or None),
        )
        for run in cell.runs[:MOST_LISTED]
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = Text()
    for number, line in enumerate(lines):
        run = cell.runs[number - 1] if number else None
        glyph, role = signs.get(run.run_id if run else "", (" ", ""))
        text.append("\n" if number else "").append(glyph, role)
        for place, (word, width) in enumerate(zip(line, widths, strict=True)):
            coloured = run is not None and place == 1
            style = "dim" if run is None else ROLES.get(run.state, "dim") if coloured else ""
            fit = word.rjust(width) if place in (0, 2, 3, 4) else word.ljust(width)
            text.append("  ").append(fit, styles.get(style, ""))
    if len(cell.runs) > MOST_LISTED:
        text.append(f"\n   and {len(cell.runs) - MOST_LISTED} more: Enter lists all", "dim")
    return text


def run_detail(run: TableRun) -> Text:
    """A run in words, with the message of its failure."""
    text = Text(f"{name_of(run)}: {run.state}, step {steps(run)}")
    if run.value is not None:
        text.append(f", {run.metric} {value(run)}")
    if run.message:
        text.append(f"\n{run.message}")
    elif run.left_out:
        text.append(f"\nleft out: {run.left_out}")
    elif run.state == "failed":
        text.append("\nThe log does not say why; log.txt in its folder may.")
    return text


def run_choices(cell: TableCell) -> list[Choice]:
    """The runs of a cell, to choose one from."""
    return [
        Choice(
            run.run_id,
            f"{SIGNS.get(run.state, '?')} seed {run.seed}  {run.state}  "
            f"step {steps(run)}  {run.metric} {value(run)}",
            run.message or run.left_out,
        )
        for run in cell.runs
    ]
