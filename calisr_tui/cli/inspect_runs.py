"""Commands that look at runs: runs, note, show, compare, audit, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import ConfigError, DamagedError, NotFoundError
from calisr_engine.plain_words import a_sentence, command, one_line
from calisr_tui.cli.complete import names_of_runs
from calisr_tui.cli.options import Json, OutputDir, RunArgument, find_run
from calisr_tui.cli.out import PlainConsole, check_one_form, put, put_json, say, terminal_width


def add_to(app: typer.Typer) -> None:
    examples = "Examples: calisr runs · calisr runs --filter 'best>0.8 lr=3e-4' --sort -best"
    app.command("runs", epilog=examples)(runs)
    app.command("note", epilog="Example: calisr note RUN --tag baseline --text 'to repeat'")(note)
    app.command("show", epilog="Example: calisr show demo-demo-bert")(show)
    app.command("compare", epilog="Example: calisr compare RUN_A RUN_B")(compare)
    app.command("audit", epilog="Example: calisr audit runs/my-run")(audit)
    app.command("replay", epilog="Example: calisr replay --example")(replay)


COLUMNS = (
    *("run", "state", "best", "metric", "task", "method", "calibration", "delta", "time", "tags"),
    *("name", "last", "share", "steps", "seed", "lr", "created", "switched"),
)
"""What `calisr runs` shows, the first ones where little fits."""


def runs(
    output_dir: OutputDir = Path("runs"),
    wanted: Annotated[
        str,
        typer.Option(
            "--filter", metavar="TEXT", help="Only runs such as: 'best>0.8 lr=3e-4 tag:x'."
        ),
    ] = "",
    sort: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Order by a column or setting; -COLUMN for down."),
    ] = "-created",
    columns: Annotated[
        str, typer.Option(metavar="A,B,...", help="Columns and settings to show, in this order.")
    ] = "",
    group: Annotated[
        str,
        typer.Option(
            metavar="A,B,...", help="Group by columns and settings, one inside the other."
        ),
    ] = "",
    folded: Annotated[
        bool, typer.Option("--folded", help="With --group: the groups without their runs.")
    ] = False,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="A CSV table of the columns; with --group of the groups."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the runs, newest first: one line each.

    Where a terminal is too narrow for all columns, the last ones are left out. A filter is words
    and comparisons, as in the app: calisr runs --filter 'best>0.8 method=lora,mpop -tag:old loss'.

    A group tells how many of its runs are in which state, the best metric, and the mean and
    standard deviation over the complete ones: calisr runs --group task,method --folded.
    """
    from calisr_engine.runs import arrange, store
    from calisr_engine.runs.columns import column
    from calisr_engine.runs.filter import parse
    from calisr_tui.charts import runs_text

    keep, order = parse(wanted), column(sort.removeprefix("-"))
    named = [column(name) for name in (columns.split(",") if columns else COLUMNS)]
    by = [column(name) for name in (group.split(",") if group else ())]
    check_one_form(as_csv, as_json)
    if folded and not by:
        raise ConfigError("--folded leaves out the runs of groups", "add --group, such as task")
    listed = store.list_runs(output_dir)
    found = arrange.ordered(filter(keep, listed), order, down=sort.startswith("-"))
    if as_json:
        listed_as = arrange.innermost(found, by) if by else found
        put_json([each.to_dict() for each in listed_as])
        return
    if as_csv:
        text = arrange.groups_as_csv(found, by) if by else arrange.as_csv(found, named)
        put(text.removesuffix("\n"))
        return
    if not found:
        none = f"none of the {len(listed)} runs in {output_dir} is such"
        say(a_sentence(none if listed else _no_runs(output_dir)))
        return
    room = terminal_width()
    shown = named if columns else runs_text.without_empty(found, named)
    layout = runs_text.laid_out(found, shown, room)
    if not folded:
        put(layout.heading())
    for row in arrange.grouped(found, by):
        if isinstance(row, arrange.Group):
            put(runs_text.group_line(row, room))
        elif not folded:
            put(layout.line(runs_text.said(row, one) for one in layout.columns))
    for each in found:
        if each.problem:
            say(f"{each.run_id}: {each.problem}")


def note(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs.", autocompletion=names_of_runs),
    ],
    name: Annotated[str | None, typer.Option(help="A name beside the id; '' for none.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Notes; '' for none.")] = None,
    add: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Add a tag (repeatable).")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--untag", metavar="TAG", help="Take a tag away.")
    ] = None,
    pinned: Annotated[
        bool | None, typer.Option("--pin/--no-pin", help="Keep on top of lists.")
    ] = None,
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Name, tag, pin runs and note something about them; without options, show what was said.

    It stands in about.json beside the log and changes nothing that the run is or does.
    """
    from dataclasses import asdict, replace

    from calisr_engine.runs import store
    from calisr_engine.runs.about import read_about, retagged, write_about

    told = {}
    for run_dir in [store.find(each, output_dir) for each in names]:
        before = read_about(run_dir)
        about = retagged(before, [*(add or ()), *(f"-{tag}" for tag in remove or ())])
        about = replace(
            about,
            name=about.name if name is None else name,
            notes=about.notes if text is None else text,
            pinned=about.pinned if pinned is None else pinned,
        )
        if about != before:
            write_about(run_dir, about)
        told[run_dir.name] = read_about(run_dir)
    if as_json:
        put_json({run_id: asdict(about) for run_id, about in told.items()})
        return
    for run_id, about in told.items():
        pin = "pinned" if about.pinned else ""
        parts = (about.name, " ".join(about.tags), pin, one_line(about.notes))
        put(f"{run_id}: {' · '.join(filter(None, parts)) or 'nothing noted'}")


def show(name: RunArgument, output_dir: OutputDir = Path("runs"), as_json: Json = False) -> None:
    """Show one run: summary, switch timeline, trainable share and loss."""
    from calisr_engine.runs import load_view, store

    run_dir = store.find(name, output_dir)
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
    """Compare runs: settings that differ, results, mean and spread over seeds."""
    from calisr_engine.grid.compare import differences, fields, names_of
    from calisr_engine.grid.paper import figure_beside_run
    from calisr_engine.runs import load_views, store
    from calisr_tui.charts.compare_text import comparison

    if not 2 <= len(names) <= 8:
        raise ConfigError(f"compare takes two to eight runs, not {len(names)}")
    run_dirs = [store.find(name, output_dir) for name in names]
    if len({each.resolve() for each in run_dirs}) < len(run_dirs):
        raise ConfigError("compare takes different runs, and one of these is named twice")
    found, problems = load_views(run_dirs)
    for problem in problems.values():
        say(problem)
    if len(found) < 2:
        raise DamagedError("fewer than two of these runs can be read", "compare others")
    called = names_of(found)
    views = {called[run]: view for run, view in found.items()}
    said = comparison(views)
    for each in said.warnings:
        say(each)
    if as_json:
        put_json(
            {
                "runs": {
                    name: {"best": v.best, "last": v.last, "paper": figure_beside_run(v.config)}
                    for name, v in views.items()
                },
                "differences": differences(views),
                "over_seeds": [fields(cell) for cell in said.seeds],
                "left_out": said.left_out,
                "warnings": list(said.warnings),
            }
        )
        return
    from calisr_tui.cli.show_text import print_comparison

    print_comparison(said)


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


def _no_runs(output_dir: Path) -> str:
    from calisr_engine.runs.store import folders_of_runs

    folders = folders_of_runs(output_dir)
    if not folders:
        return f"no runs in {output_dir}; start one with: calisr demo"
    more = f", and {len(folders) - 1} more such folders" if len(folders) > 1 else ""
    return (
        f"no runs in {output_dir} itself; those of a grid or a search: "
        f"{command('runs', '--output-dir', folders[0])}{more}"
    )
