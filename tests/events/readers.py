"""Everything that reads run directories, as functions of a folder of runs and one damaged run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from calisr_engine.analysis.outlook import next_decision
from calisr_engine.config.load import from_resolved
from calisr_engine.errors import CalisrError
from calisr_engine.events.log import EventReader, EventWriter, last_attempt
from calisr_engine.events.types import Warned
from calisr_engine.figures.catalog import make_figure
from calisr_engine.forecast.grid_time import remaining_seconds
from calisr_engine.grid import slurm, state
from calisr_engine.grid.folders import grid_folders
from calisr_engine.grid.render import FORMATS, render
from calisr_engine.grid.room import MeasuredRoom
from calisr_engine.results.best_model import open_best
from calisr_engine.runs import control, load_view, store
from calisr_engine.runs.changes import check_as_recorded, go_on
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of, is_locked
from calisr_engine.submission import build as building
from calisr_engine.trackers.scalars import scalars
from calisr_tui import happening
from calisr_tui.charts import grid_text, plots
from calisr_tui.charts.compare_plots import AXES, MEASURES, overlay
from calisr_tui.charts.drawing import draw, draw_lines
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.srs_table import caption, rows, table_text
from calisr_tui.charts.timeline import picture, timeline_text
from calisr_tui.cli import export, inspect_runs
from calisr_tui.cli import grid as grid_command
from calisr_tui.cli.epilogue import what_just_happened
from calisr_tui.cli.grid_live import GridLive
from calisr_tui.cli.live_text import LiveText, follow
from calisr_tui.cli.live_text import render as render_live
from calisr_tui.cli.options import find_run
from calisr_tui.cli.out import print_figure
from calisr_tui.feed import Feed, ReplayFeed, RunFeed
from calisr_tui.grid_source import GridSource
from calisr_tui.widgets.status_line import status_text
from calisr_tui.words import explain_counter

WHOLE = "whole"
"""Name of the run that is left as it is."""

Reader = Callable[[Path, Path], object]
STYLES = dict.fromkeys((*ROLES, "row", "raw", "strong", "good", "bad", "warn", "dim"), "")


def draw_feed(feed: Feed) -> None:
    """What the live screen draws, without the screen."""
    view = feed.view
    assert isinstance(feed.problem, str)
    for width, height in ((40, 6), (120, 20)):
        status_text(view, width, [], STYLES)
        timeline_text(picture(view), width, height, 0, STYLES)
        delta = view.delta if view.delta is not None else 0.5
        if table := rows(view, {}):
            table_text(table, delta, width, 0, 0, {}, STYLES)
        charts = [
            plots.loss_and_metric(view, 0.9, False, float(view.step)),
            plots.loss_and_metric(view, 0.0, True, None),
            plots.rates(view, False, None),
            plots.rates(view, True, 1.0),
            *(each for name in view.groups for each in plots.stable_rank(view, name, 1.0)),
        ]
        if small := plots.all_stable_ranks(view, 1.0):
            draw_lines(small, width, height, STYLES)
        for chart in charts[:8]:
            draw(chart, width, height, STYLES)
    for group in list(view.groups.values())[:5]:
        explain_counter(view, group)
        step = next_decision(view)
        said = [*happening.now(view, group, step), *happening.notes(view, group)]
        assert all(len(line) <= 40 for line, _ in caption(group.name, said, 40, 3))
    assert isinstance(happening.overfitting(view), str)
    json.dumps(view.to_dict(), allow_nan=False)


def _live(root: Path, run: Path) -> None:
    feed = RunFeed(run)
    feed.poll()
    feed.poll()
    draw_feed(feed)


def _replay(root: Path, run: Path) -> None:
    feed = ReplayFeed(run)
    for part in (0.3, 0.9, 0.1, 1.0):
        feed.seek(part * feed.duration)
        json.dumps(feed.view.to_dict(), allow_nan=False)
    draw_feed(feed)
    feed.moment_of_step(5)


def _live_text(root: Path, run: Path) -> None:
    with LiveText(run) as live:
        for said in live.update(final=True):
            json.dumps(said)
        Console().print(render_live(live.view))


def _grid_live(root: Path, run: Path) -> None:
    live = GridLive(2, 1, Console(force_terminal=True))
    with live:
        live.change(run, "began")
        live.update()
        live.render()


def _watch(root: Path, run: Path) -> None:
    if store.summarise(run).state != "created":  # it would be waited for
        follow(run, as_json=True)


def _tracked(root: Path, run: Path) -> None:
    for said in EventReader(RunPaths(run).events).stream():
        with contextlib.suppress(CalisrError):
            scalars(said)


def _compare(root: Path, run: Path) -> None:
    names = [str(root / WHOLE), str(run)]
    inspect_runs.compare([*names, names[0]], root)
    inspect_runs.compare(names, root, as_json=True)


def _compare_charts(root: Path, run: Path) -> None:
    views = {"a": load_view(root / WHOLE), "b": load_view(run)}
    for measure in MEASURES:
        for axis in AXES:
            draw(overlay(views, measure, axis, together=[["a", "b"]]), 80, 12, STYLES)
            draw(overlay(views, measure, axis), 80, 12, STYLES)


def _report(root: Path, run: Path) -> None:
    found = GridSource(str(root), root.parent).read()
    for style in FORMATS:
        render(found.table, style)
    states = state.read_states(found.grid)
    assert WHOLE in states, "the other run is not in the report"
    for run_id in states:
        grid_text.run_detail(next(each for each in found.table.runs if each.run_id == run_id))
    remaining_seconds(found.table.runs)
    grid_command.report(str(root), root.parent)
    grid_command.status(str(root), root.parent)
    grid_folders(root.parent)


def _settings(root: Path, run: Path) -> None:
    state.recorded_settings(RunPaths(run))


def _around(root: Path, run: Path) -> None:
    state.why_failed(run)
    slurm.job_of(run)
    control.take_requests(run)
    control.forget_requests(run, 0.0)
    is_locked(RunPaths(run))
    holder_of(RunPaths(run))
    MeasuredRoom().more([run])
    open_best(run, from_resolved(RunPaths(run).config), (), "classification")


def _resume(root: Path, run: Path) -> None:
    """All that a resume reads and writes of the log before it trains."""
    paths = RunPaths(find_run(str(run), root))
    go_on(paths.root, ["output.keep_checkpoints=7"])
    check_as_recorded(paths, from_resolved(paths.config))
    with EventWriter(paths.events, last_attempt(paths.events) + 1) as writer:
        writer.write(1, Warned(message="here"))
    assert load_view(run).messages[-1].text.startswith("warning: here")


def _figures(root: Path, run: Path) -> None:
    for name in ("2a", "2b", "3", "5a", "5b"):
        print_figure(make_figure(name, (str(root),), root.parent))


READERS: dict[str, Reader] = {
    "runs": lambda root, run: inspect_runs.runs(root),
    "runs --json": lambda root, run: inspect_runs.runs(root, as_json=True),
    "show": lambda root, run: inspect_runs.show(str(run), root),
    "show --json": lambda root, run: inspect_runs.show(str(run), root, as_json=True),
    "compare": _compare,
    "compare screen": _compare_charts,
    "audit": lambda root, run: inspect_runs.audit(str(run), root),
    "export": lambda root, run: export.export(str(run), run / "out", output_dir=root),
    "report, status": _report,
    "settings of a grid": _settings,
    "files beside the log": _around,
    "figure": _figures,
    "submit": lambda root, run: building.plan([root], {}, None),
    "submit --run": lambda root, run: building.plan([root], {"rte": str(run)}, None),
    "watch": _watch,
    "live text": _live_text,
    "grid live": _grid_live,
    "live screen": _live,
    "replay": _replay,
    "trackers": _tracked,
    "epilogue": lambda root, run: what_just_happened(run),
    "resume": _resume,  # the last: it writes
}


def whole_is_listed(root: Path, as_before: store.RunSummary) -> None:
    """The other run is listed as it was, and the damaged one is there or has gone for good."""
    found = {each.run_id: each for each in store.list_runs(root)}
    assert found[WHOLE] == as_before, (asdict(found[WHOLE]), asdict(as_before))
    assert {path.name for path in root.iterdir() if store.is_run(path)} == set(found)
