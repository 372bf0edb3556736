"""Commands that look at runs: runs, show, compare, audit, replay."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import ConfigError, DamagedError, NotFoundError
from calisr_engine.plain_words import a_sentence
from calisr_tui.cli.complete import names_of_runs
from calisr_tui.cli.options import Json, OutputDir, RunArgument, find_run
from calisr_tui.cli.out import PlainConsole, put, put_json, say


def add_to(app: typer.Typer) -> None:
    app.command("runs", epilog="Example: calisr runs --json")(runs)
    app.command("show", epilog="Example: calisr show demo-demo-bert")(show)
    app.command("compare", epilog="Example: calisr compare RUN_A RUN_B")(compare)
    app.command("audit", epilog="Example: calisr audit runs/my-run")(audit)
    app.command("replay", epilog="Example: calisr replay --example")(replay)


def runs(output_dir: OutputDir = Path("runs"), as_json: Json = False) -> None:
    """List the runs, newest first."""
    from rich.table import Table

    from calisr_engine.runs import store

    found = store.list_runs(output_dir)
    if as_json:
        put_json([asdict(each) for each in found])
        return
    if not found:
        say(a_sentence(f"no runs in {output_dir}; start one with: calisr demo"))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("run", "state", "step", "metric", "best", "last", "trainable", "switched"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(
            each.run_id,
            each.state,
            f"{each.step}/{each.total_steps}",
            each.metric,
            "" if each.best is None else f"{each.best:.4f}",
            "" if each.last is None else f"{each.last:.4f}",
            "" if each.share is None else f"{each.share:.1%}",
            ", ".join(f"{g} {s}" for g, s in (each.switched or {}).items()),
        )
    PlainConsole().print(table)
    for each in found:
        if each.problem:
            say(f"{each.run_id}: {each.problem}")


def show(name: RunArgument, output_dir: OutputDir = Path("runs"), as_json: Json = False) -> None:
    """Show one run: summary, switch timeline, trainable share and loss."""
    from calisr_engine.runs import load_view

    run_dir = find_run(name, output_dir)
    view = load_view(run_dir)
    if as_json:
        put_json(view.to_dict())
        return
    from calisr_tui.cli.show_text import describe

    PlainConsole().print(describe(view, run_dir), soft_wrap=True)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Two to eight runs.", autocompletion=names_of_runs),
    ],
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Compare runs: results, differing settings, mean and spread over seeds."""
    from calisr_engine.grid.compare import differences, fields, over_seeds, warnings
    from calisr_engine.grid.paper import figure_beside_run
    from calisr_engine.runs import load_views

    if not 2 <= len(names) <= 8:
        raise ConfigError(f"compare takes two to eight runs, not {len(names)}")
    found, problems = load_views(find_run(name, output_dir) for name in names)
    for problem in problems.values():
        say(problem)
    if len(found) < 2:
        raise DamagedError("fewer than two of these runs can be read", "compare others")
    views = {run.name: view for run, view in found.items()}
    differing = differences(views)
    seeds = over_seeds(views)
    for each in warnings(views):
        say(each)
    if as_json:
        put_json(
            {
                "runs": {
                    name: {"best": v.best, "last": v.last, "paper": figure_beside_run(v.config)}
                    for name, v in views.items()
                },
                "differences": differing,
                "over_seeds": [fields(cell) for cell in seeds],
                "warnings": warnings(views),
            }
        )
        return
    from calisr_tui.cli.show_text import comparison

    comparison(views, differing, seeds)


def audit(name: RunArgument, output_dir: OutputDir = Path("runs"), as_json: Json = False) -> int:
    """Recompute every stable rank, hit and decision of a run with a full float64 SVD."""
    from calisr_engine.results.audit import audit as recompute

    run_dir = find_run(name, output_dir)
    say(f"recomputing {run_dir.name} ...")
    report = recompute(run_dir)
    if as_json:
        put_json(report.to_dict())
    else:
        put(
            f"{report.samples} samples, {report.groups} group comparisons over {report.matrices} "
            f"matrix pairs, {report.decisions} decisions recomputed"
        )
        if report.switches:
            put(f"{report.switches} groups held against the steps that they are to switch at")
        if report.flips:
            put(f"{report.flips} coin flips made again from the seed")
        put(
            f"the run took the exact value for {report.fallbacks} of {report.matrices} matrix pairs"
        )
        put(f"largest relative error of a logged stable rank: {report.largest_error:.1e}")
        if report.undecidable:
            put(f"{report.undecidable} comparisons are closer than float64 can tell")
        for line in [*report.disagreements, *(f"missing: {m}" for m in report.missing)]:
            put(line)
        put("no disagreement" if report.clean else "DISAGREEMENT: see the lines above")
    return 0 if report.clean else 1


def replay(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A finished run.", autocompletion=names_of_runs),
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="The recorded run that ships with the package.")
    ] = False,
    output_dir: OutputDir = Path("runs"),
) -> int:
    """Replay a run in the terminal app."""
    from calisr_tui.cli.open_app import run_app

    if example:
        folder = Path(__file__).parent.parent / "example"
        if not (folder / "events.jsonl").is_file():
            raise NotFoundError("the recorded run is missing from this installation")
        return run_app(replay=folder, output_dir=output_dir)
    if name is None:
        raise ConfigError("replay needs a run, or --example", "`calisr runs` lists the runs")
    return run_app(replay=find_run(name, output_dir), output_dir=output_dir)
