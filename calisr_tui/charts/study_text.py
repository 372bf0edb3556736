"""What the study screen writes: rows of trials, totals, the best settings, the search's curve.

Pure: no widget, no screen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from calisr_engine.tune.reading import ENDED, StudyReading, StudyRun
from calisr_tui import form, words
from calisr_tui.charts.grid_text import bar
from calisr_tui.charts.plot import Line, Plot
from calisr_tui.verbatim import Text

EARLY = ("↧", "ended early", "warn")
STATES = {state: (sign, state, role) for state, (sign, _, role) in words.STATES.items()} | {
    "ended early": EARLY,
    "completed": ("✓", "complete", "good"),
}
"""State -> sign, word, role of its colour."""

ORDER = ("running", "paused", "created", "stopped", "interrupted", "failed", "ended early")

NO_STUDY = (
    "No search is here yet. Mark fields in the setup with Ctrl-Y (F2), press F7 to search them "
    "instead of taking every combination, and start; or `calisr tune`. o chooses one."
)


def state_of(run: StudyRun) -> tuple[str, str, str]:
    """Sign, word and role of the colour of a run's state."""
    return STATES.get(run.state, ("?", run.state, "dim"))


def columns(study: StudyReading) -> list[str]:
    """The titles of the table."""
    searched = [form.label(each.key, whole=True) for each in study.plan.space]
    return ["trial", *searched, study.metric or "metric", "best so far", "state", "steps"]


def row(
    study: StudyReading, run: StudyRun, marked: Collection[str], styles: Mapping[str, str]
) -> list[Text]:
    """The cells of one run."""
    best = study.best is not None and run.name == study.best.name
    sign, word, role = state_of(run)
    name = f"{run.number}" if run.seed is None else f"seed {run.seed}"
    mark = "● " if run.name in marked else "★ " if best else "  "
    figure = "–" if run.score is None else f"{run.score:.4f}"
    so_far = "" if run.best is None else f"{run.best:.4f}"
    steps = f"{run.step}/{run.total_steps}" if run.total_steps else "–"
    score_style = "bold" if best else styles["dim"] if run.state == "ended early" else ""
    return [
        Text(f"{mark}{name}", "bold" if best else ""),
        *(Text(value(run.values.get(each.key, ""))) for each in study.plan.space),
        Text(figure, score_style),
        Text(so_far, styles["dim"]),
        Text(f"{sign} {word}", styles[role]),
        Text(steps),
    ]


def value(given: float | str) -> str:
    """A value of a setting, in few digits."""
    return given if isinstance(given, str) else form.written_as(float(f"{given:.4g}"))


def totals(study: StudyReading, styles: Mapping[str, str], width: int) -> Text:
    """The whole study in a line, or two where it is narrow."""
    plan, counts = study.plan, study.counts
    ended = sum(counts[state] for state in ENDED)
    text = bar(study.fraction, 8 if width < 100 else 24, dict(styles))
    text.append(f" {ended} of {max(plan.trials, len(study.trials))} trials", "bold")
    for state in ORDER:
        if counts[state]:
            sign, word, role = STATES.get(state, ("?", state, "dim"))
            text.append(f"  {sign} {counts[state]} {word}", styles[role])
    if study.seeds:
        done = len(study.fresh)
        text.append(f"  seeds {done} of {max(plan.seeds, len(study.seeds))}")
    if study.eta_seconds is not None:
        left = f"about {words.seconds(study.eta_seconds)} left"
        text.append(("  " if text.cell_len + 2 + len(left) <= width - 2 else "\n") + left)
    return text


def best_text(study: StudyReading) -> Text:
    """The best settings, and how far they vary with the seed."""
    best = study.best
    if best is None:
        return Text("No trial has been evaluated yet.", "dim")
    values = ", ".join(
        f"{form.label(each.key, whole=True)} {value(best.values.get(each.key, ''))}"
        for each in study.plan.space
    )
    text = Text.assemble(
        (f"★ Best: trial {best.number}, {best.metric} {best.score:.4f}", "bold"), f" with {values}"
    )
    if study.spread is None:
        if study.plan.seeds:
            many = study.plan.seeds > 1
            seeds = f"{study.plan.seeds} further seeds tell" if many else "1 further seed tells"
            text.append(f"\n{seeds} at the end how much of that is luck.", "dim")
        return text
    mean, deviation = study.spread
    count = len(study.fresh)
    spread = "" if deviation is None else f" ± {deviation:.4f}"
    others = "1 other seed" if count == 1 else f"{count} other seeds"
    return text.append(
        f"\nWith {others}: {mean:.4f}{spread}. Expect that: the best of many trials is partly luck."
    )


def detail(run: StudyRun, study: StudyReading) -> Text:
    """The run under the cursor in words."""
    _, word, _ = state_of(run)
    kind = f"trial {run.number}" if run.seed is None else f"seed {run.seed} of trial {run.number}"
    said = f"{kind}: {word}, step {run.step} of {run.total_steps or '?'}"
    if run.score is not None:
        said += f", {run.metric} {run.score:.4f}"
    if run.state == "ended early":
        said += "; it lagged behind the others, and N begins a run from its settings"
    return Text(f"{said}\n{run.message}" if run.message else said)


def curve(study: StudyReading) -> Plot:
    """The score of each trial, and the best so far: the search's curve."""
    scored = [run for run in study.trials if run.score is not None]
    whole = [run for run in scored if run.state != "ended early"]
    early = [run for run in scored if run.state == "ended early"]
    so_far = [run for run in study.trials if run.best is not None]
    lines = []
    if so_far:
        lines.append(
            Line(
                tuple(float(run.number) for run in so_far),
                tuple(float(run.best or 0.0) for run in so_far),
                "metric",
                "steps",
                label="best so far",
                end=True,
            )
        )
    for runs, role, glyph, label in (
        (early, "warn", "↧", "ended early"),
        (whole, "valid", "●", "trial"),
    ):
        if runs:
            lines.append(
                Line(
                    tuple(float(run.number) for run in runs),
                    tuple(float(run.score or 0.0) for run in runs),
                    role,
                    "points",
                    glyph,
                    label,
                )
            )
    last = max(study.plan.trials, len(study.trials), 2)
    return Plot(tuple(lines), x_range=(1.0, float(last)), empty="no trial has been evaluated yet")
