"""Commands for many runs at once: grid list, plan, run, status, cancel; and report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import counted
from calisr_tui.cli import complete
from calisr_tui.cli.options import (
    DataDir,
    Devices,
    Gpus,
    Jobs,
    Json,
    OutputDir,
    Ray,
    Sets,
    Threads,
)
from calisr_tui.cli.out import put, put_json, say

if TYPE_CHECKING:
    from calisr_engine.grid import Grid, GridRun
    from calisr_engine.grid.state import RunState

GridArgument = Annotated[
    str,
    typer.Argument(
        metavar="GRID",
        help="A grid file, or the name of one that ships.",
        autocompletion=complete.names_of_grids,
    ),
]
AnyGrid = Annotated[
    str,
    typer.Argument(
        metavar="GRID",
        help="A grid's file or name, or a folder of its runs.",
        autocompletion=complete.names_of_grids,
    ),
]
grid_app = typer.Typer(
    help="Many runs from one file: every combination of the values on its axes.",
    no_args_is_help=True,
    epilog="Example: calisr grid run small/table2 --data-dir GLUE --jobs 2",
)


Only = Annotated[
    str,
    typer.Option(
        metavar="FILTER",
        help="Only these runs (and those whose steps they take): 'method=lora seed=1'.",
    ),
]


def add_to(app: typer.Typer) -> None:
    grid_app.command("list", epilog="Example: calisr grid list")(listing)
    grid_app.command("plan", epilog="Example: calisr grid plan paper/table2")(plan)
    grid_app.command("run", epilog="Example: calisr grid run my-grid.toml --jobs 2")(run)
    grid_app.command("status", epilog="Example: calisr grid status small/table2")(status)
    grid_app.command("cancel", epilog="Example: calisr grid cancel small/table2")(cancel)
    app.add_typer(grid_app, name="grid")
    app.command("report", epilog="Example: calisr report small/table2 --format latex")(report)


def plan(
    name: GridArgument,
    sets: Sets = None,
    only: Only = "",
    data_dir: DataDir = None,
    output_dir: OutputDir = Path("runs"),
    probe: Annotated[
        bool, typer.Option("--probe", help="Estimate the time from a few measured steps.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the runs of a grid and what is left to do; train nothing."""
    _show_plan(_expanded(name, output_dir, data_dir, sets), only, probe, as_json)


def run(
    name: GridArgument,
    sets: Sets = None,
    only: Only = "",
    data_dir: DataDir = None,
    output_dir: OutputDir = Path("runs"),
    jobs: Jobs = None,
    devices: Devices = None,
    threads: Threads = None,
    ray: Ray = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Train as SLURM jobs; --jobs limits how many at a time.")
    ] = False,
    gpus: Gpus = 0,
    partition: Annotated[str | None, typer.Option(help="SLURM partition.")] = None,
    time: Annotated[
        int | None,
        typer.Option(min=1, metavar="MINUTES", help="Of a SLURM job (1440); a run may take more."),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(min=0.1, metavar="GB", help="Of a SLURM job.")
    ] = None,
    sbatch: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Another option of sbatch.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Begin runs again that failed before.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Like `grid plan`.")] = False,
    probe: Annotated[bool, typer.Option("--probe", help="With --dry-run: estimate time.")] = False,
    as_json: Json = False,
) -> int:
    """Train every run that is not complete; run it again to go on after any interruption."""
    from calisr_engine.grid.state import count_states, read_states, why_failed
    from calisr_engine.grid.train import train_grid
    from calisr_tui.cli.grid_live import GridLive
    from calisr_tui.cli.grid_places import Place, at_work

    grid = _expanded(name, output_dir, data_dir, sets)
    if dry_run:
        _show_plan(grid, only, probe, as_json)
        return 0
    states = _chosen(grid, only)
    done, total = count_states(states)["completed"], len(states)
    words = f"{total} of {counted(len(grid.runs), 'run')}" if only else counted(total, "run")
    say(f"{grid.head.name}: {words} in {grid.folder}, {done} complete")
    if not (ray or slurm):  # whose nodes may have what is not here
        _check_waiting(grid, states)
    place = Place(
        jobs, devices, threads, gpus, ray, slurm, partition, time, memory, tuple(sbatch or ())
    )
    executor = place.executor(grid.folder)

    def on_change(run: GridRun, what: str) -> None:
        nonlocal done
        done += what == "completed"
        run_dir = grid.folder / run.run_id
        why = _because(why_failed(run_dir)) if what == "failed" else ""
        live.say(f"[{done}/{total}] {what}: {run.run_id}{why}")
        live.change(run_dir, what)

    with at_work(executor) as stop, GridLive(total, done) as live:
        result = train_grid(
            grid, executor, retry_failed, states, on_change, live.update, stop.is_set
        )
    ended = read_states(grid)
    counts = count_states({run_id: ended[run_id] for run_id in states})
    if counts["failed"]:
        say(
            f"{counts['failed']} failed: `calisr grid status {name}` says why, "
            "--retry-failed begins them again"
        )
    if as_json:
        put_json(dict(counts))
    else:
        put(grid.folder)
        say(f"the table: calisr report {name} --output-dir {output_dir}")
    return result


def listing(as_json: Json = False) -> None:
    """List the grids that ship."""
    from calisr_engine.grid.spec import grid_names, read_grid
    from calisr_tui.cli.listings import print_table

    titles = {name: read_grid(name)[0].grid.title for name in grid_names()}
    if as_json:
        put_json([{"name": name, "title": title} for name, title in titles.items()])
        return
    rows = [[name, title] for name, title in titles.items()]
    print_table("Grids (calisr grid run NAME)", ["name", "what"], rows)


def _check_waiting(grid: Grid, states: Mapping[str, RunState]) -> None:
    """Refuse to begin where runs that have no directory yet could not train.

    Raises:
        ConfigError: with the mistakes and their runs.
    """
    from calisr_engine.forecast.before_start import require_all
    from calisr_engine.grid.sources import without_source
    from calisr_engine.grid.state import WAITING

    require_all(
        {
            run.run_id: without_source(run.resolved.config) if run.source else run.resolved.config
            for run in grid.runs
            if run.run_id in states and states[run.run_id].state == WAITING
        },
        grid.folder,
    )


def status(name: AnyGrid, output_dir: OutputDir = Path("runs"), as_json: Json = False) -> None:
    """How many runs are complete, in training, failed, waiting."""
    from calisr_engine.grid.render import table_fields
    from calisr_engine.grid.table import grid_table

    grid = _as_trained(name, output_dir)
    table = grid_table(grid)
    if as_json:
        runs = [asdict(run) for run in table.runs]
        head = {"counts": dict(table.counts), "folder": str(grid.folder)}
        put_json({**head, "runs": runs, "table": table_fields(table)})
        return
    put(f"{grid.head.name}: {counted(len(grid.runs), 'run')} in {grid.folder}")
    for word, count in table.counts.most_common():
        put(f"  {word:<12}{count}")
    for run in table.notable:
        steps = f"step {run.step}/{run.total_steps}"
        put(f"  {run.state}: {run.run_id} {steps}{_because(run.message)}")
    for run_id, why in table.left_out.items():
        put(f"  left out: {run_id}{_because(why)}")


def cancel(name: AnyGrid, output_dir: OutputDir = Path("runs")) -> None:
    """Ask the runs of a grid to stop and save; `grid run` goes on with them later."""
    from calisr_engine.grid.train import cancel_grid

    asked = cancel_grid(_as_trained(name, output_dir))
    say(f"asked {counted(asked, 'run')} to stop and save")


def report(
    name: AnyGrid,
    output_dir: OutputDir = Path("runs"),
    style: Annotated[
        str, typer.Option("--format", "-f", help="text, markdown, latex, csv or json.")
    ] = "text",
    against: Annotated[
        str | None, typer.Option(help="Compare every row with this one (its label).")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="best or last evaluation of a run; the grid's own if none.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what each cell's comparison tells, in full.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The table of a grid: mean and spread over seeds, paired tests, the paper's figures."""
    from calisr_engine.grid.render import FORMATS, render
    from calisr_engine.grid.table import grid_table

    style = "json" if as_json else style
    if style not in FORMATS:
        raise ConfigError(f"--format: {style!r} is not one of {', '.join(FORMATS)}")
    grid = _as_trained(name, output_dir)
    if policy is not None:
        if policy not in ("best", "last"):
            raise ConfigError(f"--policy: {policy!r} is not best or last")
        grid = grid.with_head(policy=policy)
    put(render(grid_table(grid, against=against), style, explain).removesuffix("\n"))


def _expanded(name: str, output_dir: Path, data_dir: Path | None, sets: list[str] | None) -> Grid:
    from calisr_engine.grid import expand_grid

    grid = expand_grid(name, output_dir, data_dir, tuple(sets or ()))
    for note in grid.notes:
        say(f"note: {note}")
    return grid


def _as_trained(name: str, output_dir: Path) -> Grid:
    from calisr_engine.grid.folders import grid_as_trained

    grid = grid_as_trained(name, output_dir)
    if grid.sets:
        say(f"as it was trained, with --set {' --set '.join(grid.sets)}")
    if grid.earlier:
        earlier = counted(grid.earlier, "run")
        say(f"beside {earlier} of earlier trainings, with other values on its axes")
    return grid


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _chosen(grid: Grid, only: str) -> dict[str, RunState]:
    """The states of the runs that the filter `only` takes.

    Raises:
        ConfigError: the filter cannot be used, or takes none.
    """
    from calisr_engine.grid.state import chosen, read_states
    from calisr_engine.runs.filter import parse

    states = read_states(grid)
    if not only:
        return states
    ids = chosen(grid, states, parse(only))
    if not ids:
        raise ConfigError(
            f"--only {only}: none of the {len(grid.runs)} runs is so",
            "`calisr grid plan` lists them; filters are those of `calisr runs`",
        )
    return {name: each for name, each in states.items() if name in ids}


def _show_plan(grid: Grid, only: str, probe: bool, as_json: bool) -> None:
    from calisr_engine.grid.state import count_states

    states = _chosen(grid, only)
    counts = count_states(states)
    runs = [run for run in grid.runs if run.run_id in states]
    waiting = [run for run in runs if states[run.run_id].state != "completed"]
    seconds = None
    if probe and waiting:
        from calisr_engine.forecast.grid_time import estimate_seconds

        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        seconds = estimate_seconds(waiting)
    if as_json:
        put_json(
            {
                "name": grid.head.name,
                "folder": str(grid.folder),
                "counts": dict(counts),
                "excluded": grid.excluded,
                "seconds_one_by_one": seconds,
                "runs": [{"id": run.run_id, **run.values} for run in runs],
            }
        )
        return
    for run_id, found in states.items():
        put(f"{found.state:<12} {run_id}{_because(found.message)}")
    say(
        f"{counted(len(runs), 'run')} ({', '.join(f'{n} {w}' for w, n in counts.items())}; "
        f"{grid.excluded} excluded) in {grid.folder}"
    )
    if seconds is not None:
        say(f"about {seconds / 60:.0f} min one after the other, from a few steps of each kind")
