"""Commands for many runs at once: grid list, plan, run, status, cancel; and report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calisr_engine.errors import ConfigError
from calisr_tui.cli.options import Json, OutputDir, print_json, say

if TYPE_CHECKING:
    from calisr_engine.grid import Cell, GridPlan

GridArgument = Annotated[
    str, typer.Argument(metavar="GRID", help="A grid file, or the name of one that ships.")
]
AnyGrid = Annotated[
    str, typer.Argument(metavar="GRID", help="A grid's file or name, or a folder of its runs.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one setting of every run."),
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder with the official GLUE files.")
]

grid_app = typer.Typer(
    help="Many runs from one file: every combination of the values on its axes.",
    no_args_is_help=True,
    epilog="Example: calisr grid run small/table2 --data-dir GLUE --jobs 2",
)


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
    data_dir: DataDir = None,
    output_dir: OutputDir = Path("runs"),
    probe: Annotated[
        bool, typer.Option("--probe", help="Estimate the time from a few measured steps.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the runs of a grid and what is left to do; train nothing."""
    planned = _plan(name, output_dir, data_dir, sets)
    _show_plan(planned, probe, as_json)


def run(
    name: GridArgument,
    sets: Sets = None,
    data_dir: DataDir = None,
    output_dir: OutputDir = Path("runs"),
    jobs: Annotated[
        str | None,
        typer.Option("--jobs", "-j", help="Runs at a time (1); auto: what cores and memory allow."),
    ] = None,
    devices: Annotated[
        str | None, typer.Option(help="CUDA devices, such as 0,1; each takes jobs / devices runs.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each run; none shares the cores.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train on a Ray cluster: auto, local or an address."),
    ] = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Train as SLURM jobs; --jobs limits how many at a time.")
    ] = False,
    gpus: Annotated[
        float, typer.Option(help="GPUs one run takes on Ray (0.5: two share one) or SLURM.")
    ] = 0,
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
    from calisr_engine.grid.schedule import read_state, run_grid
    from calisr_tui.cli.grid_live import GridLive
    from calisr_tui.cli.grid_places import Place

    planned = _plan(name, output_dir, data_dir, sets)
    if dry_run:
        _show_plan(planned, probe, as_json)
        return 0
    counts = read_state(planned).counts(planned)
    done, total = counts["completed"], len(planned.cells)
    say(f"{planned.grid.grid.name}: {total} runs in {planned.folder}, {done} complete")
    place = Place(
        jobs, devices, threads, gpus, ray, slurm, partition, time, memory, tuple(sbatch or ())
    )
    executor = place.executor(planned.folder)

    def on_change(cell: Cell, what: str) -> None:
        nonlocal done
        done += what == "completed"
        run_dir = planned.folder / cell.run_id
        why = _failure(run_dir) if what == "failed" else ""
        live.say(f"[{done}/{total}] {what}: {cell.run_id}{why}")
        live.change(run_dir, what)

    try:
        with GridLive(total, done) as live:
            result = run_grid(planned, executor, retry_failed, on_change, live.update)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            say("asking the runs to stop and save ...")
        executor.stop()
        executor.close()
        if isinstance(error, KeyboardInterrupt):
            say("go on with the same command")
        raise
    executor.close()
    counts = read_state(planned).counts(planned)
    if counts["failed"]:
        say(
            f"{counts['failed']} failed: `calisr grid status {name}` says why, "
            "--retry-failed begins them again"
        )
    if as_json:
        print_json(dict(counts))
    else:
        print(planned.folder)
        say(f"the table: calisr report {name} --output-dir {output_dir}")
    return result


def listing(as_json: Json = False) -> None:
    """List the grids that ship."""
    from calisr_engine.grid.spec import grid_names, read_grid
    from calisr_tui.cli.listings import print_table

    titles = {name: read_grid(name)[0].grid.title for name in grid_names()}
    if as_json:
        print_json([{"name": name, "title": title} for name, title in titles.items()])
        return
    rows = [[name, title] for name, title in titles.items()]
    print_table("Grids (calisr grid run NAME)", ["name", "what"], rows)


def status(name: AnyGrid, output_dir: OutputDir = Path("runs"), as_json: Json = False) -> None:
    """How many runs are complete, in training, failed, waiting."""
    from calisr_engine.grid.schedule import read_state

    planned = _as_trained(name, output_dir)
    state = read_state(planned)
    counts = state.counts(planned)
    if as_json:
        print_json({"counts": dict(counts), "folder": str(planned.folder)})
        return
    print(f"{planned.grid.grid.name}: {len(planned.cells)} runs in {planned.folder}")
    for word, count in counts.most_common():
        print(f"  {word:<12}{count}")
    for cell in planned.cells:
        summary = state.runs.get(cell.run_id)
        if summary is not None and summary.state in ("running", "failed", "interrupted"):
            why = _failure(planned.folder / cell.run_id) if summary.state == "failed" else ""
            steps = f"step {summary.step}/{summary.total_steps}"
            print(f"  {summary.state}: {cell.run_id} {steps}{why}")


def cancel(name: AnyGrid, output_dir: OutputDir = Path("runs")) -> None:
    """Ask the runs of a grid to stop and save; `grid run` goes on with them later."""
    from calisr_engine.grid.schedule import cancel as ask

    asked = ask(_as_trained(name, output_dir))
    say(f"asked {asked} runs to stop and save")


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
) -> None:
    """The table of a grid: mean and spread over seeds, paired tests, the paper's figures."""
    from calisr_engine.grid.report import FORMATS, make_report

    if style not in FORMATS:
        raise ConfigError(f"--format: {style!r} is not one of {', '.join(FORMATS)}")
    planned = _as_trained(name, output_dir)
    if policy is not None:
        if policy not in ("best", "last"):
            raise ConfigError(f"--policy: {policy!r} is not best or last")
        planned = planned.with_head(policy=policy)
    sys.stdout.write(make_report(planned, against).render(style))


def _plan(name: str, output_dir: Path, data_dir: Path | None, sets: list[str] | None) -> GridPlan:
    from calisr_engine.grid import plan_grid

    return plan_grid(name, output_dir, data_dir, tuple(sets or ()))


def _as_trained(name: str, output_dir: Path) -> GridPlan:
    from calisr_engine.grid.folders import plan_as_trained

    planned = plan_as_trained(name, output_dir)
    if planned.sets:
        say(f"as it was trained, with --set {' --set '.join(planned.sets)}")
    return planned


def _failure(run_dir: Path) -> str:
    """ ": REASON" of a run that failed; "" where its log has none."""
    from calisr_engine.runs import load_view

    failure = load_view(run_dir).failure
    return f": {failure.message}" if failure is not None else ""


def _show_plan(planned: GridPlan, probe: bool, as_json: bool) -> None:
    from calisr_engine.grid.schedule import read_state

    state = read_state(planned)
    counts = state.counts(planned)
    waiting = [
        cell
        for cell in planned.cells
        if cell.run_id not in state.runs or state.runs[cell.run_id].state != "completed"
    ]
    seconds = None
    if probe and waiting:
        from calisr_engine.forecast.grid_time import estimate_seconds

        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        seconds = estimate_seconds(planned, waiting)
    if as_json:
        print_json(
            {
                "name": planned.grid.grid.name,
                "folder": str(planned.folder),
                "counts": dict(counts),
                "excluded": planned.excluded,
                "seconds_one_by_one": seconds,
                "runs": [{"id": cell.run_id, **cell.values} for cell in planned.cells],
            }
        )
        return
    for cell in planned.cells:
        word = state.runs[cell.run_id].state if cell.run_id in state.runs else "waiting"
        print(f"{word:<12} {cell.run_id}")
    say(
        f"{len(planned.cells)} runs ({', '.join(f'{n} {w}' for w, n in counts.items())}; "
        f"{planned.excluded} excluded) in {planned.folder}"
    )
    if seconds is not None:
        say(f"about {seconds / 60:.0f} min one after the other, from a few steps of each kind")
