"""`calisr show` and `calisr compare` as text: timeline, charts, tables."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from calisr_engine.analysis.score import in_words
from calisr_engine.events.series import Series
from calisr_engine.events.view import Generalised, RunView
from calisr_engine.models.grouping import by_layer_and_component
from calisr_engine.plain_words import one_line
from calisr_engine.regularizers import catalog as regularizers
from calisr_tui import words
from calisr_tui.charts.group_map import is_map, shorter
from calisr_tui.charts.runs_text import lines_of
from calisr_tui.cli.out import PlainConsole, put, terminal_width

if TYPE_CHECKING:
    from calisr_tui.charts.compare_text import Comparison

FULL, LIGHT, SWITCH = "█", "░", "◆"


def describe(view: RunView, run_dir: Path) -> Text:
    """The whole text of `calisr show`."""
    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    blocks = [Text(_facts(view, run_dir))]
    marks = sorted({group.switch.step for group in view.groups.values() if group.switch})
    if is_map(list(view.groups)) and view.total_steps:
        blocks.append(Text(switch_steps(view, width)))
    elif view.groups and view.total_steps:
        blocks.append(Text(timeline(view, width)))
    if len(view.trainable_share) > 1:
        share = Series([*view.trainable_share.x], [100 * y for y in view.trainable_share.y])
        share.add(view.step, share.y[-1])
        blocks.append(
            chart("trainable parameters, % of the dense model", "share", share, marks, width, 10)
        )
    if len(view.loss) > 1:
        blocks.append(chart("training loss", "loss", view.loss, marks, width, 12))
    gaps = Series([], [])
    for each in view.generalisation:
        gaps.add(each.step, each.gap)
    if len(gaps) > 1:
        blocks.append(chart("validation loss - training loss", "loss", gaps, marks, width, 10))
    return Text("\n\n").join(blocks)


def _facts(view: RunView, run_dir: Path) -> str:
    rows = [
        ("run", f"{run_dir.name} ({view.state})"),
        ("model", view.model_summary or view.model),
        ("task", view.task + (" (synthetic data)" if view.synthetic_data else "")),
        ("method", f"{view.method}, calibration {view.variant}{_control(view)}"),
    ]
    if view.regularizer != regularizers.OFF:
        rows.append(("regularizer", regularizers.label(view.regularizer)))
    if view.variant != "off" and view.control in ("off", "coin"):
        rows.append(("delta", words.number(view.delta)))
    rows.append(("steps", f"{view.step} of {view.total_steps}, seed {words.seed(view.seed)}"))
    if view.best is not None and view.last is not None:
        rows.append(
            (
                view.metric,
                f"best {words.figure(view.best)} at step {view.best_step}, "
                f"last {words.figure(view.last)}",
            )
        )
    if view.generalisation:
        rows.append(("gap", _gap(view.generalisation[-1])))
    if view.total:
        share = words.share(view.share)
        rows.append(("trainable", f"{view.trainable:,} of {view.total:,} = {share}"))
    if view.duration is not None:
        rows.append(("time", words.seconds(view.duration)))
    if view.failure is not None:
        rows.append(("failed", view.failure.message))
        if view.failure.hint:
            rows.append(("hint", view.failure.hint))
    many = is_map(list(view.groups))
    if many:
        at = Counter((switch.step, switch.cause) for switch in view.switches)
        for (step, cause), count in sorted(at.items()):
            rows.append(("switch", f"step {step}: {count} of {len(view.groups)} groups ({cause})"))
        if any(group.counted for group in view.groups.values()):
            rows.append(("score", f"of each group: calisr analyze score {run_dir}"))
    for switch in () if many else view.switches:
        why = f"{switch.cause}: {switch.why}"
        rows.append(("switch", f"step {switch.step}: {switch.group} - {why}"))
    for group in () if many else view.groups.values():
        told = in_words(view, group)
        if told:
            rows.append(("score", f"{group.name}: {told}"))
    for step, key, before, after in view.changes:
        rows.append(("changed", f"step {step}: {key} from {before} to {after}"))
    if view.problem:
        rows.append(("damaged", view.problem))
    for warning in view.warnings:
        rows.append(("warning", warning.text))
    return "\n".join(f"{key:10} {value}" for key, value in rows)


def _control(view: RunView) -> str:
    if view.variant == "off" or view.control == "off":
        return ""
    source = view.setting("calibration", "matched_to") if view.control != "coin" else None
    return f", control {view.control}" + (f" to {source}" if source else "")


def _gap(said: Generalised) -> str:
    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    return (
        f"{number(said.gap, 4)} at step {said.step}: validation loss "
        f"{number(said.validation_loss, 4)}, training loss {number(said.train_loss, 4)} "
        f"({said.train_examples:,} examples); total stable rank {number(said.stable_rank, 1)}, "
        f"ln of the bound {number(said.log_bound, 2)}"
    )


def timeline(view: RunView, width: int) -> str:
    """A lane a group: full fine-tuning, the switch, the light method, over the run's steps."""
    label = max(len(name) for name in view.groups) + 2
    lane = max(10, width - label - 12)
    lines = [f"switch timeline: {FULL} full fine-tuning, {SWITCH} switch, {LIGHT} light method"]
    done = round(lane * view.fraction)
    for group in view.groups.values():
        if group.switch is None:
            bar, note = FULL * done, ""
        else:
            at = round((lane - 1) * min(1.0, group.switch.step / view.total_steps))
            bar = FULL * at + SWITCH + LIGHT * max(0, done - at - 1)
            note = f" {group.switch.step}"
        lines.append(f"{group.name:<{label}}{bar:<{lane}}{note}")
    lines.append(" " * label + f"0{view.total_steps:>{lane - 1}}")
    return "\n".join(lines)


def switch_steps(view: RunView, width: int) -> str:
    """When each of many groups switched: by layer and component, or each with its name."""
    at = {name: "–" if g.switch is None else str(g.switch.step) for name, g in view.groups.items()}
    found = by_layer_and_component(tuple(at))
    title = "step of each group's switch (– for none)"
    if found is None:
        names = max(map(len, at)) + 2
        cells = [f"{name:<{names}}{step:<8}" for name, step in at.items()]
        across = max(1, width // (names + 8))
        lines = ["".join(cells[n : n + across]) for n in range(0, len(cells), across)]
        return "\n".join([title, *(line.rstrip() for line in lines)])
    layers, components, cells_of = found
    steps = dict(zip(cells_of, at.values(), strict=True))
    wide = max(len(step) for step in ("layer", *at.values(), *components)) + 2
    wide = min(wide, max(8, (width - 7) // len(components)))
    head = "".join(f"{shorter(each, wide - 1):>{wide}}" for each in components)
    body = (
        f"{layer:<7}" + "".join(f"{steps.get((layer, each), ''):>{wide}}" for each in components)
        for layer in layers
    )
    return "\n".join([title, f"{'layer':<7}{head}", *body])


STYLES = {"loss": "cyan", "share": "green", "axis": "dim", "dim": "dim", "mark": "yellow"}


def chart(
    title: str, role: str, series: Series, marks: Sequence[int], width: int, rows: int
) -> Text:
    """A line chart by plotext under its title."""
    from calisr_tui.charts.drawing import draw
    from calisr_tui.charts.plot import Line, Plot, thinned
    from calisr_tui.charts.roles import ROLES

    line = thinned(Line(tuple(series.x), tuple(series.y), role), 2 * width)
    plot = Plot((line,), marks=tuple(float(mark) for mark in marks))
    text = draw(plot, width, rows, {name: STYLES.get(name, "") for name in ROLES})
    text.rstrip()
    return Text(f"{title}\n").append_text(text)


def print_comparison(said: Comparison) -> None:
    """Print differing settings, results and spreads as tables."""
    from rich.table import Table

    console = PlainConsole()
    if said.differing:
        settings = Table(title="settings that differ", title_justify="left", box=None)
        settings.add_column("setting")
        for name in said.names:
            settings.add_column(name, overflow="fold")
        for key, values in said.differing.items():
            settings.add_row(key, *values)
        console.print(settings)
    rows = [(one_line(name), *row) for name, row in zip(said.names, said.results, strict=True)]
    for line in lines_of([("run", *said.headings), *rows], terminal_width()):
        put(line)
    for cell, row in zip(said.seeds, said.seed_rows, strict=True):
        if cell.deviation is not None:
            label, metric, mean, deviation, *_ = row
            count = len(cell.seeds)
            console.print(f"{label}: best {metric} {mean} ± {deviation} over {count} seeds")
    if said.left_out and said.together:
        put(said.left_out_text)
