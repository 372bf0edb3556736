"""Drawing a figure to an SVG or PNG file with matplotlib (extra: figures)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.figures.data import Figure, Panel, Series
from calisr_engine.plain_words import shown
from calisr_engine.storage.whole import whole_file

FORMATS = (".svg", ".png")
# Okabe and Ito's colours, which colour-blind eyes tell apart; black stands for their yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")


def check_out(out: Path) -> None:
    """Say early that a file cannot be drawn, before anything is computed.

    Raises:
        ConfigError: its ending is neither .svg nor .png, or its folder does not exist.
        UnavailableError: matplotlib is not installed.
    """
    if out.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"--out: {out} must end in {' or '.join(FORMATS)}",
            f"such as {out.stem or 'figure'}.svg",
        )
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out: the folder {out.parent} does not exist", "make it first")
    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError(
            "--out draws with matplotlib, which is not installed",
            "install it with: pip install 'calisr[figures]', or leave --out out",
        )


def draw(figure: Figure, out: Path) -> None:
    """Write the figure; equal figures give equal SVG files.

    Raises:
        ConfigError, UnavailableError: as `check_out`.
        StorageError: the file cannot be written.
    """
    check_out(out)
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    style: Any = {
        "svg.hashsalt": "calisr",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "text.parse_math": False,  # a label between dollar signs is a label
    }
    with matplotlib.rc_context(style):
        columns = 3 if len(figure.panels) == 3 else min(2, len(figure.panels))
        rows = -(-len(figure.panels) // columns)
        canvas = Canvas(figsize=(4.8 * columns, 3.8 * rows), layout="constrained")
        axes = canvas.subplots(rows, columns, squeeze=False).ravel()
        for panel, place in zip(figure.panels, axes, strict=False):
            _draw_panel(panel, place)
        for place in axes[len(figure.panels) :]:
            place.set_axis_off()
        kind = out.suffix.lower().removeprefix(".")
        metadata: Any = {"Date": None} if kind == "svg" else {}
        with whole_file(out, "the figure", "or choose another place with --out") as part:
            canvas.savefig(part, format=kind, dpi=150, facecolor="white", metadata=metadata)


def _draw_panel(panel: Panel, place: Any) -> None:
    for level in panel.levels:
        place.axhline(level, color="#999999", linewidth=0.8)
    for number, mark in enumerate(panel.marks):
        label = shown(panel.mark_label) if number == 0 else None
        place.axvline(mark, color="#666666", linewidth=1, linestyle=":", label=label)
    shift = 0.6 / max(1, len(panel.series)) if panel.x_names else 0.0
    for number, series in enumerate(panel.series):
        offset = (number - (len(panel.series) - 1) / 2) * shift
        x = [each + offset for each in series.x]
        if any(series.hollow):
            _draw_points(series, place, x)
        else:
            _draw_series(series, place, x)
    if panel.x_names:
        names = [shown(name).replace("_", "\n") for name in panel.x_names]
        turned = {"rotation": 90} if len(names) > 16 and max(map(len, names)) > 2 else {}
        place.set_xticks(range(len(names)), names, fontsize=8 if len(names) < 6 else 7, **turned)
        place.set_xlim(-0.5, len(names) - 0.5)
    letter = f"({panel.name}) " if panel.name[-1].isalpha() else ""
    place.set_title(shown(f"{letter}{panel.title}"), loc="left", fontsize=10)
    place.set_xlabel(shown(panel.x_label))
    place.set_ylabel(shown(panel.y_label))
    if panel.series:
        place.legend(fontsize=7)


def _draw_series(series: Series, place: Any, x: list[float]) -> None:
    """A curve or points, with their spread as bars (points) or as a band (curves)."""
    look: Any = {
        "color": COLOURS[series.colour % len(COLOURS)],
        "linestyle": "" if series.style == "points" else DASHES[series.sign % len(DASHES)],
        "marker": "" if series.style == "line" else MARKERS[series.sign % len(MARKERS)],
        "markersize": 4,
        "linewidth": 1.2,
        "label": shown(series.label),
    }
    if series.spread and series.style != "line":
        place.errorbar(x, series.y, yerr=series.spread, capsize=2, **look)
        return
    place.plot(x, series.y, **look)
    if series.spread:
        low = [y - s for y, s in zip(series.y, series.spread, strict=True)]
        high = [y + s for y, s in zip(series.y, series.spread, strict=True)]
        place.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _draw_points(series: Series, place: Any, x: list[float]) -> None:
    """Points, some of them hollow; one legend entry for both."""
    colour = COLOURS[series.colour % len(COLOURS)]
    label: str | None = shown(series.label)
    for hollow in (False, True):
        members = [i for i, each in enumerate(series.hollow) if each is hollow]
        if members:
            place.plot(
                [x[i] for i in members],
                [series.y[i] for i in members],
                linestyle="",
                marker=MARKERS[series.sign % len(MARKERS)],
                markersize=4,
                color=colour,
                markerfacecolor="none" if hollow else colour,
                label=label,
            )
            label = None
