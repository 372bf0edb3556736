"""A run or a study in one line of the home screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.cells import cell_len

from calisr_engine.plain_words import one_line
from calisr_tui import form, words
from calisr_tui.verbatim import Text

if TYPE_CHECKING:
    from calisr_engine.runs.store import RunSummary
    from calisr_engine.tune.reading import StudyReading

LEAST_SETTINGS = 8
"""Cells below which settings are left out: fewer say nothing."""


def run_line(run: RunSummary, room: int, styles: Mapping[str, str]) -> Text:
    """A run in `room` cells: its state, best metric, name, how far it is, settings."""
    steps = f"step {run.step}/{run.total_steps}" if run.total_steps else ""
    calibration = words.calibration(run.variant, run.delta, run.control)
    return _named_whole(
        run.state,
        "" if run.best is None else f"{run.metric} {words.figure(run.best)}",
        run.name or run.run_id,
        "" if run.state == "completed" else steps or _state(run.state)[1].lower(),
        f"{run.task} · {run.method} · {calibration}",
        room,
        styles,
    )


def study_line(study: StudyReading, room: int, styles: Mapping[str, str]) -> Text:
    """A study in `room` cells: its state, its best, name, how far it is, what is searched."""
    best = study.best
    ended = sum(run.ended for run in study.trials)
    return _named_whole(
        "running" if study.worker else "completed" if study.complete else "stopped",
        "" if best is None or best.score is None else f"{best.metric} {words.figure(best.score)}",
        study.folder.name,
        f"{ended} of {max(study.plan.trials, len(study.trials))} trials",
        ", ".join(form.label(each.key, whole=True) for each in study.plan.space),
        room,
        styles,
    )


def _state(state: str) -> tuple[str, str, str]:
    return words.STATES.get(state, ("?", state, "dim"))


def _named_whole(
    state: str, best: str, name: str, far: str, settings: str, room: int, styles: Mapping[str, str]
) -> Text:
    """The name whole, metric and progress whole or not at all, and of the settings what fits."""
    glyph, _, role = _state(state)
    best, name, far = map(one_line, (best, name, far))
    left = room - 2 - cell_len(name)
    text = Text.assemble((f"{glyph} ", styles[role]))
    if best and cell_len(best) + 2 <= left:
        left -= cell_len(best) + 2
        text.append(f"{best}  ", "bold")
    text.append(name)
    if far and cell_len(far) + 2 <= left:
        left -= cell_len(far) + 2
        text.append(f"  {far}")
    if min(left - 2, LEAST_SETTINGS) >= min(cell_len(settings), LEAST_SETTINGS):
        text.append(f"  {one_line(settings)}", styles["dim"])
    return text
