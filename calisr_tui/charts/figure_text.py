"""A figure in the terminal: its panels one below the other, drawn by plotext."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.cells import cell_len

from calisr_engine.figures.data import Figure, Panel, Series
from calisr_engine.plain_words import one_line
from calisr_tui.charts.drawing import draw
from calisr_tui.charts.plot import Line, Plot
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.runs_text import fitted
from calisr_tui.verbatim import Text

RUN_ROLES = tuple(role for role in ROLES if role.startswith("run"))
GLYPHS = ("●", "▲", "■", "◆", "▼", "✚", "✖", "★")
HOLLOW = ("○", "△", "□", "◇", "▽", "+", "×", "☆")
SIGNS = 12
"""Glyphs along a curve."""

STYLES = {role: "" for role in ROLES} | {
    "axis": "dim",
    "dim": "dim",
    "mark": "bold",
    "run1": "blue",
    "run2": "yellow",
    "run3": "green",
    "run4": "magenta",
    "run5": "cyan",
    "run6": "red",
    "run7": "bright_blue",
    "run8": "bright_black",
}


def figure_text(figure: Figure, width: int, rows: int = 18) -> Text:
    """Title, all panels of `rows` lines each, and notes."""
    parts = [Text(figure.title, style="bold")]
    parts += [panel_text(panel, width, rows) for panel in figure.panels]
    if figure.notes:
        parts.append(Text("; ".join(figure.notes), style="dim"))
    return Text("\n\n").join(parts)


def panel_text(
    panel: Panel, width: int, rows: int, styles: Mapping[str, str] = STYLES, below: str = ""
) -> Text:
    """Title, legend, plot of `rows` lines, axis and notes of one panel.

    Args:
        below: a heading with the panel's name that it stands below; its words are not said again.
    """
    text = Text()
    number = f"({panel.name}) " if panel.name[-1].isalpha() and not below else ""
    title = panel.title
    if below and title.casefold().startswith(below.casefold()):
        title = title[len(below) :].lstrip(" ,:")
    text.append(f"{number}{title}: {panel.y_label}\n" if title else f"{panel.y_label}\n", "bold")
    alone = len(panel.series) == 1
    across, room = _columns(panel, width)
    for place, series in enumerate(panel.series):
        label = fitted(one_line(series.label), room - 4)
        text.append(f"  {_sign(series, alone)} ", styles[_role(series)])
        ends = place % across == across - 1 or series is panel.series[-1]
        text.append(f"{label.rstrip()}\n" if ends else label)
    if panel.marks:
        marks = ", ".join(f"{mark:g}" for mark in panel.marks)
        text.append(fitted(f"  │ {one_line(panel.mark_label)}: {marks}", width).rstrip() + "\n")
    drawn = _side_by_side(panel) if panel.x_names else panel.series
    lines = tuple(line for series in drawn for line in _lines(series, alone))
    plot = Plot(
        lines,
        marks=panel.marks,
        levels=panel.levels,
        x_names=panel.x_names,
        empty="nothing to draw",
    )
    text.append_text(draw(plot, width, rows, styles))
    text.append(f"\n{panel.x_label:^{width}}".rstrip())
    for note in panel.notes:
        text.append(f"\n  {note}", "dim")
    return text


def legend_lines(panel: Panel, width: int) -> int:
    """Lines of the legend of a panel."""
    across, _ = _columns(panel, width)
    return -(-len(panel.series) // across) + bool(panel.marks)


def _columns(panel: Panel, width: int) -> tuple[int, int]:
    """How many entries of the legend stand beside each other, and the cells of one."""
    longest = max((cell_len(one_line(series.label)) for series in panel.series), default=0)
    room = min(width, longest + 6)
    return max(1, width // room), room


def _side_by_side(panel: Panel) -> tuple[Series, ...]:
    """The series of a panel with named places, moved apart so that none hides another."""
    count = len(panel.series)
    moved = []
    for number, series in enumerate(panel.series):
        offset = 0.7 * (number - (count - 1) / 2) / count
        moved.append(replace(series, x=tuple(x + offset for x in series.x)))
    return tuple(moved)


def _role(series: Series) -> str:
    return RUN_ROLES[series.colour % len(RUN_ROLES)]


def _sign(series: Series, alone: bool) -> str:
    """How the legend shows it."""
    if series.style == "line" and alone:
        return "━"
    hollow = bool(series.hollow) and all(series.hollow)
    return (HOLLOW if hollow else GLYPHS)[series.sign % len(GLYPHS)]


def _lines(series: Series, alone: bool) -> list[Line]:
    """The curve, the ends of the spread, and the points, hollow ones apart."""
    role = _role(series)
    found = []
    if series.style != "points":
        found.append(Line(series.x, series.y, role, "line"))
    if series.style == "line":
        # Colour is not the only sign: a few glyphs say which curve this is.
        step = max(1, len(series.x) // SIGNS)
        glyph = GLYPHS[series.sign % len(GLYPHS)]
        if not alone:
            found.append(Line(series.x[::step], series.y[::step], role, "points", glyph))
        return found
    if series.spread:
        for sign in (1, -1):
            ends = tuple(y + sign * s for y, s in zip(series.y, series.spread, strict=True))
            found.append(Line(series.x, ends, role, "points", "-"))
    hollow = series.hollow or (False,) * len(series.x)
    for glyphs, wanted in ((HOLLOW, True), (GLYPHS, False)):
        points = [p for p in zip(series.x, series.y, hollow, strict=True) if p[2] is wanted]
        if points:
            glyph = glyphs[series.sign % len(glyphs)]
            x, y = tuple(p[0] for p in points), tuple(p[1] for p in points)
            found.append(Line(x, y, role, "points", glyph))
    return found
