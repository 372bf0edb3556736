"""A model's answer as text: its classes as bars, or the value."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size

from calisr_engine.plain_words import one_line
from calisr_tui.verbatim import Text

MOST = 12
BAR, REST = "█", "·"


def answer_bars(prediction: str | float, shares: Mapping[str, float] | None, width: int) -> Text:
    """A line a class in their order; of more than `MOST` the likeliest. A value alone else."""
    if shares is None:
        return Text(f"{prediction:.6g}", "bold")
    text = Text(no_wrap=True, overflow="ellipsis")
    likeliest = sorted(shares, key=lambda name: -shares[name])
    names = list(shares) if len(shares) <= MOST else likeliest[:MOST]
    column = max(4, min(24, max(cell_len(one_line(name)) for name in names)))
    room = max(8, width - column - 14)
    for name in names:
        chosen = name == prediction
        style = "bold" if chosen else ""
        text.append("▶ " if chosen else "  ", style)
        text.append(set_cell_size(one_line(name), column), style)
        text.append(f"  {shares[name]:.4f}  ", style)
        full = round(room * shares[name])
        text.append(BAR * full, style)
        text.append(REST * (room - full) + "\n", "dim")
    if len(shares) > MOST:
        text.append(f"and {len(shares) - MOST} less likely classes\n", "dim")
    return text
