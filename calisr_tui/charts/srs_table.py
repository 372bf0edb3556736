"""The stable rank score of each group as text: phase, stable ranks, counter, bar with delta."""

from __future__ import annotations

from dataclasses import dataclass

from calisr_engine.config.schema import DEFAULT_SAMPLES
from calisr_engine.events.view import GroupView, RunView
from calisr_tui.charts.drawing import append_cells
from calisr_tui.verbatim import Text

_SIGNS = {"●": "good", "○": "bad"}


@dataclass(frozen=True)
class Row:
    """What one row shows.

    Attributes:
        pips: one sign a sample of the window, hits filled; None where there would be too many.
        score: hits / samples of this window, or of the one that decided.
    """

    name: str
    phase: str
    sr_lft: float | None
    sr_fft: float | None
    hits: float
    samples: int
    pips: str | None
    score: float | None
    switched_at: int | None
    fresh: bool


def rows(view: RunView, seen: dict[str, int] | None = None) -> list[Row]:
    """The table of a run; `seen` is how many samples each group had when last drawn."""
    return [_row(view, group, seen) for group in view.groups.values()]


def _planned(view: RunView) -> int | None:
    """Samples of a window; None where they are taken every so many steps, or nothing is said."""
    named = view.setting("calibration", "samples_per_epoch")
    every = view.setting("calibration", "every_steps")
    if every is not None or view.variant == "off":
        return None
    return named if type(named) is int else DEFAULT_SAMPLES


def _row(view: RunView, group: GroupView, seen: dict[str, int] | None) -> Row:
    latest = group.latest
    hits, samples, score = group.hits, group.samples, group.srs
    window = list(group.counted[-samples:]) if samples else []
    if group.switch is not None or (not samples and group.decisions):
        decision = group.decisions[-1] if group.decisions else None
        if decision is not None:
            hits, samples, score = decision.hits, decision.samples, decision.srs
            past = [s for s in group.counted if s.step <= decision.step]
            window = past[-samples:] if samples else []
    planned = _planned(view) or samples
    pips = None
    if (
        0 < max(planned, samples) <= 8
        and len(window) == samples
        and all(s.hit in (0, 1) for s in window)
    ):
        pips = "".join("●" if s.hit else "○" for s in window).ljust(max(planned, samples), "·")
    fresh = seen is not None and len(group.history) > seen.get(group.name, 0)
    return Row(
        name=group.name,
        phase=group.phase,
        sr_lft=latest.sr_lft if latest else None,
        sr_fft=latest.sr_fft if latest else None,
        hits=hits,
        samples=samples,
        pips=pips,
        score=score,
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


def table_text(
    table: list[Row],
    delta: float,
    width: int,
    cursor: int | None,
    chosen: int,
    flash: dict[str, int],
    styles: dict[str, str],
) -> Text:
    """The whole table as text of `width` cells a line."""
    pips = max((len(r.pips) for r in table if r.pips), default=0)
    name = min(16, max(5, *(len(r.name) for r in table)))
    fixed = 2 + name + 1 + 3 + 1 + 8 + 1 + 8 + 1 + (pips + 1 if pips else 6) + 4 + 1
    counted = not pips or width - fixed - 6 >= 9
    if pips and counted:
        fixed += 6
    bar_width = max(4, width - fixed)
    hits_head = f"{'hits':<{pips + 1 if pips else 6}}" + (" " * 6 if pips and counted else "")
    head = f"  {'group':<{name}} now {'SR light':>8} {'SR full':>8} {hits_head}{'SRS':>4} "
    mark = bar(None, delta, bar_width)[1]
    head += " " * mark + "δ"
    text = Text(no_wrap=True, overflow="crop")
    text.append(head[:width], styles["dim"])
    for index, row in enumerate(table):
        line = Text(no_wrap=True)
        line.append("▸ " if index == chosen else "  ", styles["strong"])
        line.append(f"{row.name[:name]:<{name}} ", "bold" if row.name in flash else "")
        role = "fft" if row.phase == "fft" else "lft"
        line.append(f"{'FFT' if role == 'fft' else 'LFT'} ", f"bold {styles[role]}")
        for value in (row.sr_lft, row.sr_fft):
            line.append(f"{_rank(value):>8} ", styles["dim"] if role == "lft" else "")
        hits = f"{row.hits:g}/{row.samples}" if row.samples else "–"
        if pips:
            signs = (row.pips or "·" * pips).ljust(pips)
            append_cells(line, ((sign, styles[_SIGNS.get(sign, "dim")]) for sign in signs))
            line.append(" ")
        if counted:
            line.append(f"{hits:<6}")
        line.append(f"{row.score:4.2f} " if row.score is not None else "   – ")
        drawn, _ = bar(row.score, delta, bar_width)
        above = row.score is not None and row.score > delta
        filled = styles["good" if above else "fft"]
        parts = {"╌": styles["dim"], "┃": f"bold {styles['strong']}"}
        append_cells(line, ((sign, parts.get(sign, filled)) for sign in drawn))
        line.truncate(width, pad=True)
        if row.name in flash:
            line.stylize("bold")
        if index == cursor:
            line.stylize(styles["row"])
        text.append("\n")
        text.append_text(line)
    return text


def _rank(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.5f}" if value < 100 else f"{value:.4f}" if value < 1000 else f"{value:.5g}"
