"""The figures by name, and making one from runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calisr_engine.config.names import nearest
from calisr_engine.errors import NotFoundError
from calisr_engine.figures import curves, spectra, switches, thresholds
from calisr_engine.figures.data import Figure, Panel
from calisr_engine.figures.runs import gather

NAMES: dict[str, tuple[str, ...]] = {
    "2": ("2a", "2b"),
    "2a": ("2a",),
    "2b": ("2b",),
    "3": ("3",),
    "4": ("4a", "4b", "4c", "4d"),
    "4a": ("4a",),
    "4b": ("4b",),
    "4c": ("4c",),
    "4d": ("4d",),
    "5": ("5a", "5b"),
    "5a": ("5a",),
    "5b": ("5b",),
}
"""What can be asked for -> its panels."""

TITLES = {
    "2": "Switches, and what they save",
    "3": "Full fine-tuning beside the light method",
    "4": "Singular values and vectors before and after training",
    "5": "The threshold delta",
}


def panel_names(name: str) -> tuple[str, ...]:
    """The panels of a figure ("2a", "4", "figure5").

    Raises:
        NotFoundError: there is no such figure.
    """
    plain = name.lower().removeprefix("figure").strip(" -_")
    if plain not in NAMES:
        near = nearest(plain, NAMES, 0.4)
        raise NotFoundError(
            f"there is no figure {name!r}",
            f"the figures are {', '.join(NAMES)}" + (f"; did you mean {near}?" if near else ""),
        )
    return NAMES[plain]


def default_grid(name: str) -> str:
    """The shipped small grid whose runs a figure is drawn from where none are named."""
    return f"small/figure{panel_names(name)[0][0]}"


def make_figure(
    name: str,
    sources: Sequence[str] = (),
    output_dir: Path = Path("runs"),
    targets: Sequence[str] = (),
    sets: tuple[str, ...] = (),
) -> Figure:
    """One figure of the paper from complete runs.

    Args:
        sources: grids, run directories, ids or folders of runs; the figure's small grid if empty.
        targets: matrices that Figure 4 shows.
        sets: `key=value` settings with which the grids were run.

    Raises:
        NotFoundError: there is no such figure, source, run or target.
        CalisrError: a grid or weights cannot be read.
    """
    names = panel_names(name)
    runs = gather(tuple(sources) or (default_grid(name),), output_dir, sets)
    panels: list[Panel] = []
    if "2a" in names:
        panels.append(switches.switch_steps(runs))
    if "2b" in names:
        panels.append(switches.trainable_shares(runs))
    if "3" in names:
        panels += curves.curves(runs)
    if names[0].startswith("4"):
        panels += spectra.singular_panels(runs, targets, names)
    if "5a" in names:
        panels.append(thresholds.best_thresholds(runs))
    if "5b" in names:
        panels += thresholds.metric_by_threshold(runs)
    return Figure(TITLES[names[0][0]], tuple(panels), runs.notes())
