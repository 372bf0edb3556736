"""Figure 4, and the pictures of `calisr analyze spectrum`: singular values and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import ConfigError
from calisr_engine.figures.data import Figure, Panel, Series
from calisr_engine.figures.runs import FigureRun, RunSet
from calisr_engine.runs.layout import RunPaths

if TYPE_CHECKING:
    from calisr_engine.analysis.spectrum import Comparison

MOST = 8
"""Matrices in one picture."""


def singular_panels(runs: RunSet, wanted: Sequence[str], names: Sequence[str]) -> list[Panel]:
    """The panels of Figure 4 among `names`: FFT (a, c) and LFT (b, d) against their start.

    Panels a and b show signed differences of singular values, c and d |cos| between left singular
    vectors. Of runs that differ in the seed alone the one with the lowest seed is taken.

    Args:
        wanted: targets; the last layer's `intermediate` where there is none.

    Raises:
        NotFoundError: there are no such runs or targets.
        CalisrError: weights are damaged, or the start cannot be had.
    """
    from calisr_engine.analysis.spectrum import compare
    from calisr_engine.analysis.weights import run_weights, same_targets, start_weights

    panels = []
    several = len({run.task for run in runs.runs}) > 1
    for kind, letters, title in (("fft", "ac", "FFT"), ("lft", "bd", "LFT")):
        letters = "".join(letter for letter in letters if f"4{letter}" in names)
        if not letters:
            continue
        found = runs.only(
            lambda run, kind=kind: run.kind == kind,  # type: ignore[misc]
            "in full fine-tuning" if kind == "fft" else "with the light method from the start",
        )
        compared: list[tuple[str, Comparison]] = []
        for run in _one_each(found):
            start = start_weights(from_resolved(RunPaths(run.path).config))
            end = run_weights(run.path)
            same_targets(start, end)
            last = list(start.matrices)[-1].partition(".")[0]
            targets = start.choose(wanted or [f"{last}.intermediate"])
            for name in targets:
                words = [run.light_method, name]
                words.insert(1, run.task if several else "")
                label = " ".join(word for word in words if word)
                compared.append((label, compare(name, start.matrices[name], end.matrices[name])))
        if len(compared) > MOST:
            raise ConfigError(
                f"{len(compared)} curves are too many for one picture (at most {MOST})",
                "choose fewer with --target LAYER.component",
            )
        panels += _pair(letters, title, compared)
    return sorted(panels, key=lambda panel: panel.name)


def spectrum_figure(title: str, compared: Sequence[Comparison]) -> Figure:
    """Singular values' differences and vectors' alignment of a few matrices; the stable ranks'
    change of all where there are more than `MOST`."""
    if len(compared) <= MOST:
        labelled = [(each.name, each) for each in compared]
        return Figure(title, tuple(_pair("ab", "", labelled)))
    by_component: dict[str, list[Comparison]] = {}
    for each in compared:
        by_component.setdefault(each.component, []).append(each)

    def series(value: str) -> tuple[Series, ...]:
        return tuple(
            Series(
                component,
                tuple(float(each.layer) for each in own),
                tuple(
                    each.stable_rank_after - each.stable_rank_before
                    if value == "rank"
                    else each.mean_alignment or 0.0
                    for each in own
                ),
                style="line+points",
                colour=number,
            )
            for number, (component, own) in enumerate(by_component.items())
        )

    layers = tuple(str(number) for number in range(max(each.layer for each in compared) + 1))
    return Figure(
        title,
        (
            Panel(
                "a",
                "Change of the stable rank",
                "layer",
                "SR(B) - SR(A)",
                series("rank"),
                layers,
                levels=(0.0,),
            ),
            Panel("b", "Left singular vectors", "layer", "mean |cos|", series("vectors"), layers),
        ),
    )


def _pair(letters: str, title: str, compared: Sequence[tuple[str, Comparison]]) -> list[Panel]:
    before = f"{title}: " if title else ""
    number = "4" if title else ""
    panels = []
    for letter in letters:
        values = letter == "b" if title == "LFT" else letter == "a"
        series = []
        for colour, (label, each) in enumerate(compared):
            y = each.change if values else each.alignment
            series.append(
                Series(
                    label,
                    tuple(float(i) for i in range(1, len(y) + 1)),
                    y,
                    hollow=() if values else each.degenerate,
                    style="line" if values else "points",
                    colour=colour,
                )
            )
        loose = sum(sum(each.degenerate) for _, each in compared)
        panels.append(
            Panel(
                f"{number}{letter}",
                before + ("change of singular values" if values else "left singular vectors"),
                "index i, largest singular value first",
                "s_i after - s_i before" if values else "|cos|",
                tuple(series),
                levels=(0.0,) if values else (),
                notes=(f"hollow: {loose} vectors that nearly equal singular values leave open",)
                if loose and not values
                else (),
            )
        )
    return panels


def _one_each(runs: list[FigureRun]) -> list[FigureRun]:
    """The run with the lowest seed of each method and task."""
    chosen: dict[tuple[str, str], FigureRun] = {}
    for run in runs:
        chosen.setdefault((run.task, run.method), run)
    return list(chosen.values())
