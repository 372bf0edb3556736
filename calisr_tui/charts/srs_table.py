"""The stable rank score of each group as text: phase, difference, counter, bar with delta.

Where a line has no room for all columns, whole columns are left out: see `LEFT_OUT`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calisr_engine.analysis.outlook import is_above, next_decision, outlook, planned_samples
from calisr_engine.analysis.score import coin_chance
from calisr_engine.events.view import GroupView, RunView
from calisr_tui import happening, words
from calisr_tui.charts.drawing import append_cells
from calisr_tui.charts.plot import Piece
from calisr_tui.verbatim import Text

_SIGNS = {"●": "good", "○": "bad"}
HIT, MISS, SWITCH = "▼", "△", "◆"
LEFT_OUT = ("rank", "coin", "score", "hits", "needs")
"""Columns in the order in which they are left out as the table gets narrower.

The others stay: group, now, Δ rank (light - full), the samples of the window (dots, or hits of
samples where there are too many for dots) and the bar. After all that, names are shortened.
"""
NAME, SHORTEST_NAME = 16, 6
LEAST_BAR, MOST_BAR = 5, 40


@dataclass(frozen=True)
class Row:
    """What one row shows.

    Attributes:
        rank: stable rank with the full step, in the newest sample.
        difference: SR_LFT - SR_FFT of that sample, and whether it was a hit.
        pips: one sign a sample of the window, hits filled; None where there would be too many.
        score: hits / samples of this window, or of the one that decided.
        waits: hits that it still needs of the samples to come; above: whether the score is above
            delta.
        coin: probability that a fair coin had switched it by now; None where none is defined.
    """

    name: str
    phase: str
    rank: float | None
    difference: float | None
    hit: bool
    hits: float
    samples: int
    pips: str | None
    score: float | None
    above: bool
    waits: str
    coin: float | None
    switched_at: int | None
    fresh: bool


def rows(view: RunView, seen: Mapping[str, int] | None = None) -> list[Row]:
    """The table of a run; `seen` is how many samples each group had when last drawn."""
    step = next_decision(view)
    return [_row(view, group, step, seen) for group in view.groups.values()]


def row_of(view: RunView, group: GroupView) -> Row:
    """One group's row without what it waits for."""
    return _row(view, group, None, None)


def caption(name: str, said: Sequence[str], width: int, lines: int) -> list[tuple[str, str]]:
    """What stands under the table, in `lines` lines of `width` cells at most, and its role.

    Args:
        name: of the group that it is about.
        said: the sentence on what happens, the same in short, and what may be said besides; each
            of these is said whole or not at all.
    """
    now, short, *notes = said
    found = textwrap.wrap(now, width)
    if len(found) > lines:
        named = f"{name}: {short}"
        found = [named if len(named) <= width else short[:width]]
    told = [(line, "strong") for line in found]
    for note in notes:
        more = textwrap.wrap(note, width)
        if len(told) + len(more) <= lines:
            told += [(line, "dim") for line in more]
    return told


def title(delta: float | None, width: int, votes: bool = False) -> str:
    """The table's title in at most `width` cells: what the score is, and when it switches."""
    if delta is None:
        return "Groups"
    share = "share of votes" if votes else "share of hits"
    hit = f"{share}: {HIT} light below full, lower is better"
    forms = (
        f"Stable rank score (SRS) = {hit} · above δ {delta:g} it switches",
        f"Score = {share} ({HIT} light lower: better) · above δ {delta:g} it switches",
        f"Stable rank score · {HIT} lower is better · δ {delta:g}",
        f"Score · {HIT} lower is better · δ {delta:g}",
    )
    return next((form for form in forms if len(form) <= width), forms[-1])


def _row(view: RunView, group: GroupView, step: int | None, seen: Mapping[str, int] | None) -> Row:
    latest = group.latest
    hits, samples, score = group.hits, group.samples, group.srs
    window = list(group.counted[-samples:]) if samples else []
    if group.switch is not None or (not samples and group.decisions):
        decision = group.decisions[-1] if group.decisions else None
        if decision is not None:
            hits, samples, score = decision.hits, decision.samples, decision.srs
            past = [s for s in group.counted if s.step <= decision.step]
            window = past[-samples:] if samples else []
    planned = planned_samples(view) or samples
    pips = None
    if 0 < max(planned, samples) <= 8 and len(window) == samples and not view.votes:
        pips = "".join("●" if s.hit else "○" for s in window).ljust(max(planned, samples), "·")
    fresh = seen is not None and len(group.history) > seen.get(group.name, 0)
    return Row(
        name=group.name,
        phase=group.phase,
        rank=latest.sr_fft if latest else None,
        difference=latest.difference if latest else None,
        hit=latest is not None and latest.difference < 0,
        hits=hits,
        samples=samples,
        pips=pips,
        score=score,
        above=is_above(view, hits, samples),
        waits=happening.waits_for(outlook(view, group, step)),
        coin=coin_chance(view, group),
        switched_at=group.switch.step if group.switch is not None else None,
        fresh=fresh,
    )


def bar(score: float | None, delta: float, width: int) -> tuple[str, int]:
    """(bar of the score in `width` cells, cell of the delta mark)."""
    mark = max(0, min(width - 1, round(delta * (width - 1))))
    filled = round((score or 0.0) * width)
    cells = ["━" if i < filled else "╌" for i in range(width)]
    cells[mark] = "┃"
    return "".join(cells), mark


@dataclass(frozen=True)
class Layout:
    """Columns of a table, left to right, with their widths; `bar` is the last of them."""

    widths: Mapping[str, int]

    @property
    def total(self) -> int:
        """Cells of a line: the mark of the chosen row, and a space before each further column."""
        return 2 + sum(self.widths.values()) + len(self.widths) - 1


def layout(table: list[Row], width: int, scored: bool = True) -> Layout:
    """The columns that fit into `width` cells; few where no score decides in this run."""
    dots = max((len(row.pips) for row in table if row.pips), default=0)
    count = max((len(_hits(row)) for row in table), default=1)
    name = min(NAME, max((len(row.name) for row in table), default=1))
    waits = max(7, *(len(_word(row, "needs")) for row in table)) if table else 7
    if not scored:
        measured = any(row.difference is not None for row in table)
        known = {"Δ rank": 9} if measured else {}
        return Layout({"group": max(name, 5), "now": 5, **known, "needs": waits})
    widths = {
        "group": max(name, 5),
        "now": 5,
        "Δ rank": 9,
        "dots": max(6, dots),
        "hits": max(4, count),
        "score": 5,
        "needs": waits,
        "coin": 4,
        "rank": 6,
        "bar": LEAST_BAR,
    }
    dropped = [each for each in LEFT_OUT if dots or each != "hits"]
    if not dots:
        del widths["dots"]
    found = Layout(widths)
    for each in dropped:
        if found.total <= width:
            break
        del widths[each]
    spare = width - found.total
    if spare < 0:
        shorter = max(SHORTEST_NAME, widths["group"] + spare)
        widths["group"] = min(widths["group"], shorter)
        spare = width - found.total
    widths["bar"] = max(3, min(MOST_BAR, LEAST_BAR + spare))
    return found


def table_text(
    table: list[Row],
    delta: float | None,
    width: int,
    cursor: int | None,
    chosen: int,
    flash: Mapping[str, int],
    styles: Mapping[str, str],
) -> Text:
    """The whole table as text of `width` cells a line; `delta` is None where no score decides."""
    columns = layout(table, width, delta is not None).widths
    heads = [
        " " * bar(None, delta or 0.0, wide)[1] + "δ"
        if column == "bar"
        else f"{'switch' if delta is None and column == 'needs' else _head(column):<{wide}}"
        for column, wide in columns.items()
    ]
    text = Text(no_wrap=True, overflow="crop")
    text.append(("  " + " ".join(heads))[:width], styles["dim"])
    for index, row in enumerate(table):
        line = Text(no_wrap=True)
        line.append("▸ " if index == chosen else "  ", styles["strong"])
        for place, (column, wide) in enumerate(columns.items()):
            append_cells(
                line, [(" " if place else "", ""), *_cell(row, column, wide, delta or 0.0, styles)]
            )
        line.truncate(width, pad=True)
        if row.name in flash:
            line.stylize("bold")
        if index == cursor:
            line.stylize(styles["row"])
        text.append("\n")
        text.append_text(line)
    return text


def _head(column: str) -> str:
    return "window" if column == "dots" else column


def _cell(row: Row, column: str, wide: int, delta: float, styles: Mapping[str, str]) -> list[Piece]:
    """What stands in one cell of the table, `wide` cells in all."""
    light = row.phase != "fft"
    if column == "group":
        name = row.name if len(row.name) <= wide else f"{row.name[: wide - 1]}…"
        return [(f"{name:<{wide}}", "")]
    if column == "now":
        word = "light" if light else "full"
        return [(f"{word:<{wide}}", f"bold {styles['lft' if light else 'fft']}")]
    if column == "Δ rank":
        if row.difference is None:
            return [(f"{'–':<{wide}}", styles["dim"])]
        style = styles["dim"] if light else styles["good" if row.hit else "bad"]
        sign = HIT if row.hit else MISS
        return [(f"{sign} {_difference(row.difference):<{wide - 2}}", style)]
    if column == "dots":
        signs = (row.pips or "").ljust(wide)
        return [(sign, styles[_SIGNS.get(sign, "dim")]) for sign in signs]
    if column == "bar":
        drawn, _ = bar(row.score, delta, wide)
        filled = styles["good" if row.above else "fft"]
        parts = {"╌": styles["dim"], "┃": f"bold {styles['strong']}"}
        return [(sign, parts.get(sign, filled)) for sign in drawn]
    return [(f"{_word(row, column):<{wide}}", "")]


def _word(row: Row, column: str) -> str:
    if column == "hits":
        return _hits(row)
    if column == "score":
        return "–" if row.score is None else f"{row.score:.2f}"
    if column == "needs":
        return row.waits if row.switched_at is None else f"{SWITCH}{row.switched_at}"
    if column == "coin":
        return "–" if row.coin is None else f"{row.coin:.2f}"
    return "–" if row.rank is None else f"{row.rank:.4g}"[:6]


def _hits(row: Row) -> str:
    return f"{words.hits(row.hits)}/{row.samples}" if row.samples else "–"


def _difference(value: float) -> str:
    """A signed difference in seven cells: +0.023, −3.1e-6, +3e-10, 0."""
    if value == 0:
        return "0"
    small = f"{abs(value):.1e}" if abs(value) >= 1e-9 else f"{abs(value):.0e}"
    text = f"{abs(value):.2g}" if abs(value) >= 1e-3 else small
    base, _, exponent = text.partition("e")
    sign = "−" if value < 0 else "+"
    return sign + (f"{base}e{int(exponent)}" if exponent else base)
